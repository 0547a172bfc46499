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

export interface SuggestCommand {
  /** Recorded sessions and requests. Empty asks the running egress for its last ones. */
  readonly records: readonly string[];
  readonly against:
    | { readonly kind: 'folder'; readonly folder: FolderOptions }
    | { readonly kind: 'admin'; readonly at: AdminAt; readonly zone: string | null };
  readonly includeRefused: boolean;
  /** Null takes the kind that the mesh has. */
  readonly kind: 'MeshTrafficPermission' | 'TrafficPermission' | null;
  readonly form: 'universal' | 'kubernetes';
  readonly output: 'yaml' | 'json';
}

const { name, zone, identities } = SOURCE_OPTIONS;

const KINDS = ['MeshTrafficPermission', 'TrafficPermission'] as const;
const FORMS = ['universal', 'kubernetes'] as const;
const OUTPUTS = ['yaml', 'json'] as const;

const OPTIONS: OptionTable = {
  records: {
    kind: 'list',
    value: 'FILE',
    help: 'sessions and requests that were recorded: of run --record, or a saved page /decisions; repeat or separate by commas',
  },
  resources: {
    kind: 'text',
    env: ['ZONE_EGRESS_RESOURCES'],
    value: 'DIR',
    help: 'the resources of today, to which the permissions are added',
  },
  admin: {
    kind: 'text',
    value: 'URL',
    help: 'what a control plane has sent to the egress with these admin pages; without --records also its last sessions',
  },
  ...ADMIN_TLS_OPTIONS,
  'include-refused': { kind: 'flag', help: 'let in what permissions have refused, too' },
  kind: { kind: 'text', value: 'KIND', choices: KINDS, help: `${KINDS.join(' or ')}; default: the one that the mesh has` },
  form: {
    kind: 'text',
    fallback: 'universal',
    value: 'FORM',
    choices: FORMS,
    help: 'form of the resources: universal or kubernetes',
  },
  output: {
    kind: 'text',
    short: 'o',
    fallback: 'yaml',
    value: 'OUTPUT',
    choices: OUTPUTS,
    help: 'yaml (to apply, with comments) or json',
  },
  name,
  zone,
  identities,
};

export const suggestEntry: CommandEntry = command({
  usage: [
    'zone-egress suggest --records FILE --resources DIR | --admin URL [--include-refused] [--kind KIND] [--form universal|kubernetes]',
    'Prints the smallest permissions that let in exactly what was recorded, with who uses what, and proves them by simulate. Exit 0 proved, 3 not.',
  ],
  options: OPTIONS,
  parse(argv, env): SuggestCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [extra] = given.positionals;
    if (extra !== undefined) throw strayArgument('suggest', extra);
    const against = againstIn(given);
    const records = given.list('records');
    if (records.length === 0 && against.kind === 'folder')
      throw new Error('suggest needs --records FILE: sessions and requests that were recorded (run --record)');
    return {
      records,
      against,
      includeRefused: given.flag('include-refused'),
      kind: given.text('kind') === null ? null : oneOf(given, 'kind', KINDS),
      form: oneOf(given, 'form', FORMS),
      output: oneOf(given, 'output', OUTPUTS),
    };
  },
  run: async (parsed, terminal) => (await import('../run-suggest.ts')).suggestCommand(parsed, terminal),
});

function againstIn(given: ParsedOptions): SuggestCommand['against'] {
  const dir = given.text('resources');
  const url = given.text('admin');
  if (dir !== null && url !== null) throw new Error('give only one of --resources and --admin');
  if (url !== null) return { kind: 'admin', at: adminAt(given, url), zone: given.text('zone') };
  if (dir === null)
    throw new Error('suggest needs --resources DIR, the resources of today, or --admin URL of an egress with a control plane');
  return {
    kind: 'folder',
    folder: { dir, name: given.text('name'), zone: given.text('zone'), identities: given.text('identities') },
  };
}

function oneOf<Choice extends string>(given: ParsedOptions, option: string, choices: readonly Choice[]): Choice {
  const text = given.text(option) ?? '';
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new Error(`--${option} ${JSON.stringify(text)}: allowed are ${choices.join(' and ')}`);
  return found;
}
