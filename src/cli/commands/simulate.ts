import { adminAt } from '../admin-at.ts';
import type { AdminAt } from '../admin-at.ts';
import { strayArgument } from '../misplaced.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { ADMIN_TLS_OPTIONS } from '../find-options.ts';
import { readOptions } from '../options.ts';
import type { ParsedOptions, OptionTable } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';
import type { FolderOptions } from '../load-folder.ts';
import { outputForm } from '../values.ts';

export interface SimulateCommand {
  readonly resources: FolderOptions;
  readonly from: { readonly kind: 'files'; readonly files: readonly string[] } | { readonly kind: 'admin'; readonly at: AdminAt };
  readonly expect: string | null;
  readonly output: 'text' | 'json';
}

const { name, zone, identities } = SOURCE_OPTIONS;

const OPTIONS: OptionTable = {
  resources: { kind: 'text', env: ['ZONE_EGRESS_RESOURCES'], value: 'DIR', help: 'the folder of resources to try' },
  decisions: {
    kind: 'list',
    value: 'FILE',
    help: 'sessions and requests that were recorded: of run --record, or a saved page /decisions; repeat or separate by commas',
  },
  admin: { kind: 'text', value: 'URL', help: 'the last sessions and refused requests of the egress whose admin pages are here' },
  ...ADMIN_TLS_OPTIONS,
  expect: {
    kind: 'text',
    value: 'FILE',
    help: 'YAML or JSON: the intended changes, a list of sni, outcome and perhaps client, change, method and path',
  },
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', choices: ['text', 'json'], help: 'text or json' },
  name,
  zone,
  identities,
};

export const simulateEntry: CommandEntry = command({
  usage: [
    'zone-egress simulate --resources DIR --decisions FILE | --admin URL [--expect FILE] [-o text|json]',
    'Replays recorded sessions and requests over another configuration and prints the changes, newly allowed clients first. Exit 0 nothing, 3 a change that was not expected.',
  ],
  options: OPTIONS,
  parse(argv, env): SimulateCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [extra] = given.positionals;
    if (extra !== undefined) throw strayArgument('simulate', extra);
    const dir = given.text('resources');
    if (dir === null) throw new Error('simulate needs --resources DIR, the configuration to try');
    return {
      resources: { dir, name: given.text('name'), zone: given.text('zone'), identities: given.text('identities') },
      from: sessionsFrom(given),
      expect: given.text('expect'),
      output: outputForm(given.text('output') ?? 'text'),
    };
  },
  run: async (parsed, terminal) => (await import('../run-simulate.ts')).simulateCommand(parsed, terminal),
});

function sessionsFrom(given: ParsedOptions): SimulateCommand['from'] {
  const files = given.list('decisions');
  const url = given.text('admin');
  if (url !== null && files.length > 0) throw new Error('give only one of --decisions and --admin');
  if (url !== null) return { kind: 'admin', at: adminAt(given, url) };
  if (files.length === 0)
    throw new Error('simulate needs --decisions FILE of recorded sessions, or --admin URL of a running egress');
  return { kind: 'files', files };
}
