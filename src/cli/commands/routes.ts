import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { onePositional, readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';

export interface RoutesCommand {
  readonly dir: string;
  readonly output: 'table' | 'json' | 'yaml';
  readonly name: string | null;
  readonly zone: string | null;
  readonly identities: string | null;
}

const { name, zone, identities } = SOURCE_OPTIONS;

const OPTIONS: OptionTable = {
  name,
  zone,
  identities,
  output: {
    kind: 'text',
    short: 'o',
    fallback: 'table',
    value: 'FORM',
    choices: ['table', 'json', 'yaml'],
    help: 'table, json or yaml',
  },
};

export const routesEntry: CommandEntry = command({
  usage: [
    'zone-egress routes DIR [-o table|json|yaml] [--name NAME] [--zone ZONE] [--identities DIR]',
    'Prints what an egress serves from the folder: SNI, destination, endpoints, allowed clients, TLS. Exit 0, or 78 when something is wrong.',
  ],
  options: OPTIONS,
  parse(argv, env): RoutesCommand {
    const given = readOptions(argv, env, OPTIONS);
    return {
      dir: onePositional(given, 'routes needs the folder of resources'),
      output: output(given.text('output') ?? 'table'),
      name: given.text('name'),
      zone: given.text('zone'),
      identities: given.text('identities'),
    };
  },
  run: async (parsed, terminal) => (await import('../routes.ts')).routesCommand(parsed, terminal),
});

function output(text: string): RoutesCommand['output'] {
  if (text === 'table' || text === 'json' || text === 'yaml') return text;
  throw new Error(`--output ${JSON.stringify(text)}: allowed are table, json and yaml`);
}
