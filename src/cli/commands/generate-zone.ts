import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { onePositional, readOptions } from '../options.ts';

export interface GenerateZoneCommand {
  readonly dir: string;
  readonly force: boolean;
}

export const generateZoneEntry: CommandEntry = command({
  usage: ['zone-egress generate zone DIR [--force]', 'Writes a sample zone to start from: resources, certificates, a README.'],
  options: {},
  parse(argv, env): GenerateZoneCommand {
    const given = readOptions(argv, env, { force: { kind: 'flag', help: '' } });
    return { dir: onePositional(given, 'generate zone needs the folder to write'), force: given.flag('force') };
  },
  run: async (parsed, terminal) => (await import('../generate-zone.ts')).generateZoneCommand(parsed, terminal),
});
