import { knownOfSnapshot } from '../explain/migration-known.ts';
import type { CertificateAndKey } from '../identity/issue.ts';
import { readConfigDump } from '../xds/dump/read-config-dump.ts';
import type { DumpRead } from '../xds/dump/read-config-dump.ts';
import { createTranslator } from '../xds/translate/translate.ts';
import type { AdminAt } from './admin-at.ts';
import { askAdmin, noAnswer } from './ask-admin.ts';
import { EXIT_CONFIG, EXIT_UNAVAILABLE } from './exit-codes.ts';
import { Stopped } from './load-folder.ts';
import type { MigrationInput } from './migration-input.ts';
import type { Terminal } from './terminal.ts';
import { shownAdmin } from './values.ts';

/** The translation asks for a port of admin pages; the plan does not use it. */
const ADMIN_PORT = 0;

/** Reads what the control plane of a running ZoneEgress sent it, of Envoy or of this program. */
export async function migrateFromAdmin(
  at: AdminAt,
  { zone, ca, terminal }: { readonly zone: string | null; readonly ca: CertificateAndKey; readonly terminal: Terminal },
): Promise<MigrationInput> {
  const page = `${shownAdmin(at.url)}/config_dump`;
  const dump = await dumpOf(at, page, ca);
  for (const problem of dump.problems) terminal.err(`${page}: it cannot be read here: ${problem}\n`);
  const { resource } = dump;
  if (resource !== null && resource['type'] !== 'ZoneEgress')
    throw new Stopped(
      EXIT_CONFIG,
      `${page}: this is no ZoneEgress but a ${textIn(resource['type']) ?? 'proxy of another type'}: it needs no migration`,
    );
  const name = textIn(resource?.['name']) ?? 'zone-egress';
  const here = zone ?? textIn(resource?.['zone']);
  if (here === null) throw new Stopped(EXIT_CONFIG, `${page}: it does not say the name of its zone: give it by --zone`);
  const { snapshot, listener } = createTranslator()(dump.state, { name, zone: here, adminPort: ADMIN_PORT });
  if (listener === null)
    throw new Stopped(
      EXIT_CONFIG,
      `${page}: no listener for clients is among its listeners, so this is no ZoneEgress with a configuration`,
    );
  const meshes = [...new Set([...snapshot.routes.values()].map(({ mesh }) => mesh))].sort();
  return {
    source: { snapshot, meshes: meshes.map((mesh) => knownOfSnapshot(snapshot, mesh, page)), zone: here, at: listener },
    name,
    files: [],
    existing: new Map(),
  };
}

async function dumpOf(at: AdminAt, page: string, ca: CertificateAndKey): Promise<DumpRead> {
  const { status, body } = await askAdmin(at, '/config_dump').catch((error: unknown) => {
    throw noAnswer(at, error);
  });
  if (status === 404)
    throw new Stopped(
      EXIT_UNAVAILABLE,
      `ask ${page}: 404: an egress that is fed by files has no such page: give the folder of its resources`,
    );
  if (status !== 200) throw new Stopped(EXIT_UNAVAILABLE, `ask ${page}: ${status}: ${body.trim()}`);
  try {
    return readConfigDump(body, ca);
  } catch (error) {
    throw new Stopped(EXIT_CONFIG, `${page}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function textIn(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
