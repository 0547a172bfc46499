import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { onePositional, readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';

export interface ValidateCommand {
  readonly dir: string;
  readonly strict: boolean;
  readonly name: string | null;
  readonly zone: string | null;
  readonly identities: string | null;
  readonly output: 'text' | 'json';
}

const OPTIONS: OptionTable = {
  ...SOURCE_OPTIONS,
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', choices: ['text', 'json'], help: 'text or json' },
};

export const validateEntry: CommandEntry = command({
  usage: [
    'zone-egress validate DIR [--strict] [--name NAME] [--zone ZONE] [--identities DIR] [-o text|json]',
    'Prints every problem as file:line:col field: message. Exit 0, 78 when something is wrong, or 66 when there is no such folder.',
  ],
  options: OPTIONS,
  parse(argv, env): ValidateCommand {
    const given = readOptions(argv, env, OPTIONS);
    return {
      dir: onePositional(given, 'validate needs the folder of resources'),
      strict: given.flag('strict'),
      name: given.text('name'),
      zone: given.text('zone'),
      identities: given.text('identities'),
      output: output(given.text('output') ?? 'text'),
    };
  },
  run: async (parsed, terminal) => (await import('../validate.ts')).validateCommand(parsed, terminal),
});

function output(text: string): ValidateCommand['output'] {
  if (text === 'text' || text === 'json') return text;
  throw new Error(`--output ${JSON.stringify(text)}: allowed are text and json`);
}
