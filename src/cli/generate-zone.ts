import { sampleZone } from './sample-zone.ts';
import type { GenerateZoneCommand } from './commands/generate-zone.ts';
import type { Terminal } from './terminal.ts';
import { writeFiles } from './write-files.ts';

/**
 * Writes the sample zone that `npm start` runs: resources to start from, and certificates for its
 * clients and services.
 */
export async function generateZoneCommand(command: GenerateZoneCommand, terminal: Terminal): Promise<number> {
  const { dir, force } = command;
  const zone = await sampleZone();
  const code = writeFiles(dir, zone.files, { force, terminal });
  if (code !== 0) return code;
  for (const { path } of zone.files) terminal.out(`${dir}/${path}\n`);
  terminal.out(`\nserve it:  zone-egress run --resources ${dir}/resources\n`);
  return 0;
}
