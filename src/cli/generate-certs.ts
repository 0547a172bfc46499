import { plural } from '../base/plural.ts';
import { createCa, issueDataplaneIdentity } from '../identity/issue.ts';
import type { GenerateCertsOptions } from './commands/generate-certs.ts';
import type { Terminal } from './terminal.ts';
import { writeFiles } from './write-files.ts';
import type { FileToWrite } from './write-files.ts';

const DAY_MS = 24 * 3_600_000;

/**
 * Writes `ca.crt`, `ca.key` and, for each service, `<service>.crt` and `<service>.key`, with the
 * SANs that Kuma gives a data plane.
 */
export async function generateCertsCommand(options: GenerateCertsOptions, terminal: Terminal): Promise<number> {
  const { dir, mesh, services, keyType, days, force } = options;
  const nowMs = Date.now();
  const ca = await createCa({ mesh, keyType, nowMs });
  const files: FileToWrite[] = [
    { path: 'ca.crt', text: ca.cert },
    { path: 'ca.key', text: ca.key, secret: true },
  ];
  for (const service of services) {
    const leaf = await issueDataplaneIdentity({
      mesh,
      services: [service],
      tags: {},
      caCert: ca.cert,
      caKey: ca.key,
      keyType,
      lifetimeMs: days * DAY_MS,
      nowMs,
    });
    files.push({ path: `${service}.crt`, text: leaf.cert }, { path: `${service}.key`, text: leaf.key, secret: true });
  }
  const code = writeFiles(dir, files, { force, terminal });
  if (code !== 0) return code;
  for (const { path } of files) terminal.out(`${dir}/${path}\n`);
  terminal.out(
    `mesh ${mesh}: a CA and ${plural(services.length, 'client certificate')}. For tests only: the keys lie open in files.\n`,
  );
  return 0;
}
