import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { onePositional, readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';

export interface GenerateZoneCommand {
  readonly dir: string;
  readonly force: boolean;
}

const OPTIONS: OptionTable = { force: { kind: 'flag', help: 'overwrite existing files' } };

export const generateZoneEntry: CommandEntry = command({
  usage: [
    'zone-egress generate zone DIR [--force]',
    'Writes a sample zone to start from: resources, and certificates with their keys.',
  ],
  options: OPTIONS,
  parse(argv, env): GenerateZoneCommand {
    const given = readOptions(argv, env, OPTIONS);
    return { dir: onePositional(given, 'generate zone needs the folder to write'), force: given.flag('force') };
  },
  run: async (parsed, terminal) => (await import('../generate-zone.ts')).generateZoneCommand(parsed, terminal),
});
