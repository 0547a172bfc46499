import { Buffer } from 'node:buffer';
import { accessReports, planMigration } from '../explain/migration.ts';
import type { MigrationPlan } from '../explain/migration.ts';
import { helmValues, standInFor } from '../explain/migration-resources.ts';
import { migrationText } from '../explain/print-migration.ts';
import { createCa } from '../identity/issue.ts';
import type { CertificateAndKey } from '../identity/issue.ts';
import type { GoodConfig } from '../model/compiled.ts';
import type { SourceFile } from '../resources/compile.ts';
import { formatYaml } from '../resources/format-yaml.ts';
import type { MigrateCommand } from './commands/migrate.ts';
import { EXIT_CONFIG } from './exit-codes.ts';
import { Stopped, untilStopped } from './load-folder.ts';
import { migrateFromAdmin } from './migrate-from-admin.ts';
import { filesOfApi, filesOfFolder, migrateFromFiles } from './migrate-from-files.ts';
import { compiledFor } from './migration-input.ts';
import type { MigrationInput } from './migration-input.ts';
import type { Terminal } from './terminal.ts';
import { shownAdmin } from './values.ts';

const EXIT_ACCESS_CHANGES = 3;

/** Reads and nothing else; exit 3 where the migration changes who may pass. */
export function migrateCommand(command: MigrateCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const { from, output } = command;
    const ca = await createCa({ mesh: 'migration', keyType: 'ec', nowMs: Date.now() });
    const input = await readInput(command, ca, terminal);
    const plan = planMigration(input.source);
    if (plan.meshes.length === 0)
      throw new Stopped(EXIT_CONFIG, `${nameOf(from)}: no mesh has a destination whose mTLS ends at the ZoneEgress`);
    const access = accessReports(plan, input.source.snapshot, afterwards(plan, input, { ca, terminal }).snapshot);
    const { zone } = input.source;
    terminal.out(
      output === 'json'
        ? `${JSON.stringify({ ...plan, access, helm: helmValues(plan.meshes) }, null, 2)}\n`
        : migrationText(plan, access, { zone, toYaml: formatYaml }),
    );
    const isLost = plan.meshes.some(({ destinations }) => destinations.some(({ lost }) => lost !== ''));
    return access.length > 0 || isLost ? EXIT_ACCESS_CHANGES : 0;
  });
}

async function readInput(command: MigrateCommand, ca: CertificateAndKey, terminal: Terminal): Promise<MigrationInput> {
  const { from } = command;
  switch (from.kind) {
    case 'folder':
      return migrateFromFiles(await filesOfFolder(from.dir, terminal), { ...command, where: from.dir, ca, terminal });
    case 'api': {
      const { files, zone } = await filesOfApi(from, terminal);
      return migrateFromFiles(files, { ...command, zone: command.zone ?? zone, where: nameOf(from), ca, terminal });
    }
    case 'admin':
      return migrateFromAdmin(from.at, { zone: command.zone, ca, terminal });
    default:
      return from satisfies never;
  }
}

function nameOf(from: MigrateCommand['from']): string {
  return from.kind === 'folder' ? from.dir : from.kind === 'api' ? from.url.href : shownAdmin(from.at.url);
}

function afterwards(
  plan: MigrationPlan,
  { source, files, name, existing }: MigrationInput,
  { ca, terminal }: { readonly ca: CertificateAndKey; readonly terminal: Terminal },
): GoodConfig {
  const made = plannedFile(plan, { existing, ca, isComplete: files.length > 0 });
  const options = files.length > 0 ? { zone: source.zone, name } : { zone: source.zone };
  return compiledFor([...files, made], options, terminal);
}

/**
 * Writes the resources of the plan, with Secrets instead of those that a control plane or an
 * operator will make, and, where no resources are known, with a stand-in for each that is served.
 */
function plannedFile(
  { meshes }: MigrationPlan,
  {
    existing,
    ca,
    isComplete,
  }: Pick<MigrationInput, 'existing'> & { readonly ca: CertificateAndKey; readonly isComplete: boolean },
): SourceFile {
  const all = meshes.flatMap((plan): readonly (object | null)[] => {
    const { identities = [], secrets = new Set<string>() } = existing.get(plan.mesh) ?? {};
    const names = [...identities, ...(plan.identity === null ? [] : [plan.identity.name])];
    const pairs = names.flatMap((name) => [[`${name}-root-ca`, ca.cert] as const, [`${name}-private-key`, ca.key] as const]);
    const made = pairs
      .filter(([name]) => !secrets.has(name))
      .map(([name, text]) => ({ type: 'Secret', mesh: plan.mesh, name, data: Buffer.from(text).toString('base64') }));
    const unknown = plan.destinations.filter(({ from, lost }) => from === 'MeshExternalService' && lost === '');
    const standIns = isComplete ? [] : [{ type: 'Mesh', name: plan.mesh }, ...unknown.map(({ after }) => standInFor(after))];
    return [plan.identity, ...plan.services, plan.permission, plan.dataplane, ...made, ...standIns];
  });
  return { path: 'migration', text: all.flatMap((each) => (each === null ? [] : [formatYaml(each)])).join('---\n') };
}
