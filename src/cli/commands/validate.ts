import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { onePositional, readOptions } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';

export interface ValidateCommand {
  readonly dir: string;
  readonly strict: boolean;
  readonly name: string | null;
  readonly zone: string | null;
  readonly identities: string | null;
}

export const validate: CommandEntry = command({
  usage: [
    'zone-egress validate DIR [--strict] [--name NAME] [--zone ZONE] [--identities DIR]',
    'Prints every problem as file:line:col field: message. Exit 0, or 78 when something is wrong.',
  ],
  options: {},
  parse(argv, env): ValidateCommand {
    const given = readOptions(argv, env, SOURCE_OPTIONS);
    return {
      dir: onePositional(given, 'validate needs the folder of resources'),
      strict: given.flag('strict'),
      name: given.text('name'),
      zone: given.text('zone'),
      identities: given.text('identities'),
    };
  },
  run: async (parsed, terminal) => (await import('../validate.ts')).validateCommand(parsed, terminal),
});
