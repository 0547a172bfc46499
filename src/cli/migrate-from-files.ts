import { systemClock } from '../base/clock.ts';
import { formatProblem } from '../base/problem.ts';
import { knownOfResources } from '../explain/migration-known.ts';
import { readResourceFolder } from '../files/read-folder.ts';
import type { CertificateAndKey } from '../identity/issue.ts';
import { chooseEgress } from '../resources/choose-egress.ts';
import type { SourceFile } from '../resources/compile.ts';
import { createFindings } from '../resources/findings.ts';
import { createParseCache } from '../resources/parse-cache.ts';
import { readResources } from '../resources/resource-set.ts';
import type { ApiSource } from './commands/migrate.ts';
import { readControlPlaneApi } from './control-plane-api.ts';
import type { ApiResources } from './control-plane-api.ts';
import { EXIT_CONFIG, EXIT_NO_INPUT, EXIT_UNAVAILABLE } from './exit-codes.ts';
import { fileText } from './file-text.ts';
import { folderProblem, Stopped } from './load-folder.ts';
import { compiledFor } from './migration-input.ts';
import type { MigrationInput } from './migration-input.ts';
import type { Terminal } from './terminal.ts';

export async function filesOfFolder(dir: string, terminal: Terminal): Promise<readonly SourceFile[]> {
  const missing = folderProblem(dir);
  if (missing !== null) throw new Stopped(EXIT_NO_INPUT, missing);
  const { files, problems } = await readResourceFolder(dir);
  for (const problem of problems) terminal.err(`${formatProblem(problem)}\n`);
  return files;
}

export async function filesOfApi(source: ApiSource, terminal: Terminal): Promise<ApiResources> {
  const { url, caCert, caCertFile, clientCertFile, clientKeyFile, skipVerify, tokenFile } = source;
  const token = tokenFile === null ? null : fileText(tokenFile).trim();
  if (token !== null && !/^[\x21-\x7e]+$/.test(token))
    throw new Stopped(EXIT_CONFIG, `${tokenFile ?? ''}: is no token: one line without blanks`);
  if (token !== null && url.protocol === 'http:')
    terminal.err(
      `zone-egress: warning: the token goes unencrypted to ${url.host}: use the https port of the API where there is one\n`,
    );
  const client =
    clientCertFile === null || clientKeyFile === null ? null : { cert: fileText(clientCertFile), key: fileText(clientKeyFile) };
  const access = { url, caCert: caCert ?? (caCertFile === null ? null : fileText(caCertFile)), client, skipVerify, token };
  try {
    return await readControlPlaneApi(access, systemClock());
  } catch (error) {
    throw new Stopped(EXIT_UNAVAILABLE, error instanceof Error ? error.message : String(error));
  }
}

export interface FilesToMigrate {
  readonly name: string | null;
  readonly zone: string | null;
  /** The source, for messages. */
  readonly where: string;
  readonly ca: CertificateAndKey;
  readonly terminal: Terminal;
}

/** Throws `Stopped` where there is no ZoneEgress, or the resources have errors. */
export function migrateFromFiles(files: readonly SourceFile[], of: FilesToMigrate): MigrationInput {
  const { name, zone, where, ca, terminal } = of;
  const { egresses, meshes } = readResources(files, createParseCache(), createFindings(false));
  const egress = chooseEgress(egresses, [], name ?? undefined, createFindings(false));
  if (egress === null)
    throw new Stopped(EXIT_CONFIG, `${where}: no ZoneEgress to migrate, or --name has to say which of several`);
  // Certificates say nothing of who may pass: any pair stands for those of the control plane.
  const options = {
    ...(zone === null ? {} : { zone }),
    name: egress.meta.name,
    identities: 'any',
    readFile: (path: string) => ({ text: path.endsWith('.key') ? ca.key : ca.cert }),
  };
  const { snapshot } = compiledFor(files, options, terminal);
  return {
    source: { snapshot, meshes: meshes.map(knownOfResources), zone: snapshot.zone, at: egress },
    name: egress.meta.name,
    files,
    existing: new Map(
      meshes.map(({ mesh, meshIdentities, secrets }) => [
        mesh.meta.name,
        { identities: meshIdentities.map(({ meta }) => meta.displayName), secrets: new Set(secrets.keys()) },
      ]),
    ),
  };
}
