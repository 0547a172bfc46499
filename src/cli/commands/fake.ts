import { strayArgument } from '../misplaced.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';

export interface FakeCommand {
  readonly dir: string;
  /** Service, or mesh and service. */
  readonly clients: readonly { readonly mesh: string | null; readonly service: string }[];
  readonly overrides: Readonly<Record<string, string>>;
  readonly allowOutside: readonly string[];
  readonly zone: string | null;
  readonly port: number;
}

const OPTIONS: OptionTable = {
  resources: {
    kind: 'text',
    env: ['ZONE_EGRESS_RESOURCES'],
    value: 'DIR',
    help: 'folder of resources; a mesh without the Secrets of its CA gets a CA',
  },
  client: { kind: 'list', value: 'MESH/SERVICE', help: 'make a certificate for this client; repeat or separate by commas' },
  override: {
    kind: 'pairs',
    value: 'NAME=HOST:PORT',
    help: 'address of a service that replaces the one in the resources, by its name or its address; repeat or separate by commas',
  },
  'allow-outside': {
    kind: 'list',
    value: 'HOST[:PORT]',
    help: 'address outside of loopback that may be dialled; repeat or separate by commas',
  },
  zone: { kind: 'text', value: 'ZONE', help: 'name of the zone, where the resources have no ZoneEgress' },
  port: { kind: 'port', fallback: '0', value: 'PORT', help: 'port of the egress; 0 takes a free one' },
};

export const fakeEntry: CommandEntry = command({
  usage: [
    'zone-egress fake --resources DIR [--client MESH/SERVICE] [--override NAME=HOST:PORT]',
    'Runs an egress for tests in any language on loopback: prints one line of JSON with addresses and certificate files, ends when standard input does.',
  ],
  options: OPTIONS,
  parse(argv, env): FakeCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [extra] = given.positionals;
    if (extra !== undefined) throw strayArgument('fake', extra);
    const dir = given.text('resources');
    if (dir === null) throw new Error('fake needs --resources DIR');
    return {
      dir,
      clients: given.list('client').map(clientOf),
      overrides: Object.fromEntries(given.list('override').map(overrideOf)),
      allowOutside: given.list('allow-outside'),
      zone: given.text('zone'),
      port: given.count('port'),
    };
  },
  run: async (parsed, terminal) => (await import('../fake.ts')).fakeCommand(parsed, terminal),
});

function clientOf(text: string): FakeCommand['clients'][number] {
  const match = /^(?:([^/]+)\/)?([^/]+)$/.exec(text);
  if (match === null) throw new Error(`--client ${JSON.stringify(text)}: allowed are SERVICE and MESH/SERVICE`);
  return { mesh: match[1] ?? null, service: match[2] ?? '' };
}

function overrideOf(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  return [text.slice(0, at), text.slice(at + 1)];
}
