import { Buffer } from 'node:buffer';
import { formatProblem } from '../base/problem.ts';
import { accessReports, planMigration } from '../explain/migration.ts';
import type { MigrationPlan } from '../explain/migration.ts';
import { migrationText } from '../explain/print-migration.ts';
import { readResourceFolder } from '../files/read-folder.ts';
import { createCa } from '../identity/issue.ts';
import type { CertificateAndKey } from '../identity/issue.ts';
import type { GoodConfig } from '../model/compiled.ts';
import { chooseEgress } from '../resources/choose-egress.ts';
import { compile } from '../resources/compile.ts';
import type { SourceFile } from '../resources/compile.ts';
import { createFindings } from '../resources/findings.ts';
import { formatYaml } from '../resources/format-yaml.ts';
import { createParseCache } from '../resources/parse-cache.ts';
import { readResources } from '../resources/resource-set.ts';
import type { MeshResources } from '../resources/resource-set.ts';
import type { MigrateCommand } from './commands/migrate.ts';
import { EXIT_CONFIG, EXIT_NO_INPUT } from './exit-codes.ts';
import { folderProblem, Stopped, untilStopped } from './load-folder.ts';
import type { Terminal } from './terminal.ts';

const EXIT_ACCESS_CHANGES = 3;

/** Reads the folder and nothing else; exit 3 where the migration changes who may pass. */
export function migrateCommand({ dir, name, zone, output }: MigrateCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const missing = folderProblem(dir);
    if (missing !== null) throw new Stopped(EXIT_NO_INPUT, missing);
    const { files, problems } = await readResourceFolder(dir);
    for (const problem of problems) terminal.err(`${formatProblem(problem)}\n`);
    const ca = await createCa({ mesh: 'migration', keyType: 'ec', nowMs: Date.now() });
    const options = { ...(name === null ? {} : { name }), ...(zone === null ? {} : { zone }) };
    const { egresses, meshes } = readResources(files, createParseCache(), createFindings(false));
    const egress = chooseEgress(egresses, [], name ?? undefined, createFindings(false));
    if (egress === null)
      throw new Stopped(EXIT_CONFIG, `${dir}: no ZoneEgress to migrate, or --name has to say which of several`);
    // Certificates say nothing of who may pass: any pair stands for those of the control plane.
    const before = compiled(files, { ...options, name: egress.meta.name, identities: 'any', readFile: pairOf(ca) }, terminal);
    const here = before.snapshot.zone;
    const plan = planMigration({ snapshot: before.snapshot, meshes, zone: here }, egress);
    if (plan.meshes.length === 0)
      throw new Stopped(EXIT_CONFIG, `${dir}: no mesh has a destination whose mTLS ends at the ZoneEgress`);
    const made = plannedFiles(plan, meshes, ca);
    const after = compiled([...files, ...made], { zone: here, name: egress.meta.name }, terminal);
    const access = accessReports(plan, before.snapshot, after.snapshot);
    terminal.out(
      output === 'json'
        ? `${JSON.stringify({ ...plan, access }, null, 2)}\n`
        : migrationText(plan, access, { zone: here, toYaml: formatYaml }),
    );
    const isLost = plan.meshes.some(({ destinations }) => destinations.some(({ lost }) => lost !== ''));
    return access.length > 0 || isLost ? EXIT_ACCESS_CHANGES : 0;
  });
}

function compiled(files: readonly SourceFile[], options: Parameters<typeof compile>[1], terminal: Terminal): GoodConfig {
  const config = compile(files, options);
  if (config.kind === 'compiled') return config;
  for (const problem of config.problems) if (problem.severity === 'error') terminal.err(`${formatProblem(problem)}\n`);
  throw new Stopped(EXIT_CONFIG, 'the resources have errors: `zone-egress validate` says which');
}

function pairOf({ cert, key }: CertificateAndKey): (path: string) => { readonly text: string } {
  return (path) => ({ text: path.endsWith('.key') ? key : cert });
}

/**
 * Writes the resources of the plan, with Secrets instead of those that a control plane or an
 * operator will make.
 */
function plannedFiles(
  { meshes }: MigrationPlan,
  existing: readonly MeshResources[],
  { cert, key }: CertificateAndKey,
): readonly SourceFile[] {
  const all = meshes.flatMap((plan): readonly object[] => {
    const { meshIdentities = [], secrets } = existing.find(({ mesh }) => mesh.meta.name === plan.mesh) ?? {};
    const names = [
      ...meshIdentities.map(({ meta }) => meta.displayName),
      ...(plan.identity === null ? [] : [plan.identity.name]),
    ];
    const pairs = names.flatMap((name) => [[`${name}-root-ca`, cert] as const, [`${name}-private-key`, key] as const]);
    const made = pairs
      .filter(([name]) => secrets?.has(name) !== true)
      .map(([name, text]) => ({ type: 'Secret', mesh: plan.mesh, name, data: Buffer.from(text).toString('base64') }));
    return [plan.identity, ...plan.services, plan.permission, plan.dataplane, ...made].filter((each) => each !== null);
  });
  return [{ path: 'migration', text: all.map((resource) => formatYaml(resource)).join('---\n') }];
}
