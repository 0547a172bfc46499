import { adminAt } from '../admin-at.ts';
import type { AdminAt } from '../admin-at.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { ADMIN_TLS_OPTIONS, TOKEN_OPTION } from '../find-options.ts';
import { readOptions } from '../options.ts';
import type { OptionTable, ParsedOptions } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';
import type { FolderOptions } from '../load-folder.ts';
import { outputForm } from '../values.ts';

export interface ProbeCommand {
  /** A server name, or the name of a destination. */
  readonly target: string;
  /** This process dials, with a folder of resources; or a running egress does. */
  readonly against:
    | { readonly kind: 'folder'; readonly folder: FolderOptions; readonly allowedResolved: readonly string[] }
    | { readonly kind: 'admin'; readonly at: AdminAt; readonly tokenFile: string | null };
  readonly timeoutMs: number;
  readonly waitMs: number;
  readonly output: 'text' | 'json';
}

const { name, zone, identities } = SOURCE_OPTIONS;

const OPTIONS: OptionTable = {
  resources: {
    kind: 'text',
    env: ['ZONE_EGRESS_RESOURCES'],
    value: 'DIR',
    help: 'the folder of resources that has the destination; this command dials',
  },
  admin: {
    kind: 'text',
    value: 'URL',
    help: 'the egress with these admin pages dials, with its configuration of now, e.g. http://127.0.0.1:9901 or the path of its --admin-socket',
  },
  ...ADMIN_TLS_OPTIONS,
  ...TOKEN_OPTION,
  timeout: { kind: 'duration', fallback: '5s', value: 'DUR', help: 'the most time for one connection with its TLS' },
  wait: {
    kind: 'duration',
    fallback: '500ms',
    value: 'DUR',
    help: 'how long a server has after the handshake to refuse the certificate of its client',
  },
  'allow-resolved': {
    kind: 'cidrs',
    env: ['ZONE_EGRESS_ALLOW_RESOLVED'],
    value: 'CIDR',
    help: 'loopback or link-local block that names may resolve to, as for run; repeat or separate by commas',
  },
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', choices: ['text', 'json'], help: 'text or json' },
  name,
  zone,
  identities,
};

export const probeEntry: CommandEntry = command({
  usage: [
    'zone-egress probe SNI|DESTINATION --resources DIR | --admin URL [--admin-token-file FILE] [--timeout DUR] [-o text|json]',
    'Connects to each endpoint of a destination with the TLS settings of the egress, and says what is wrong and what to write into the resource. Exit 0 good, 3 something is wrong.',
  ],
  options: OPTIONS,
  parse(argv, env): ProbeCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [target, extra] = given.positionals;
    if (target === undefined) throw new Error('probe needs the SNI or the name of a destination, e.g. api{mesh=default} or api');
    if (extra !== undefined) throw new Error(`probe takes one destination, got ${JSON.stringify(extra)} too`);
    return {
      target,
      against: againstIn(given),
      timeoutMs: given.duration('timeout'),
      waitMs: given.duration('wait'),
      output: outputForm(given.text('output') ?? 'text'),
    };
  },
  run: async (parsed, terminal) => (await import('../run-probe.ts')).probeCommand(parsed, terminal),
});

function againstIn(given: ParsedOptions): ProbeCommand['against'] {
  const url = given.text('admin');
  const dir = url !== null && given.source('resources') !== '--resources' ? null : given.text('resources');
  if (url !== null && dir !== null) throw new Error('give only one of --resources and --admin');
  if (url !== null) {
    const alien = ['allow-resolved', 'name', 'zone', 'identities'].find((option) => given.source(option) === `--${option}`);
    if (alien !== undefined) throw new Error(`--${alien} goes with --resources: a running egress has its own`);
    return { kind: 'admin', at: adminAt(given, url), tokenFile: given.text('admin-token-file') };
  }
  if (dir === null) throw new Error('probe needs --resources DIR, or --admin URL of a running egress');
  const folder = { dir, name: given.text('name'), zone: given.text('zone'), identities: given.text('identities') };
  return { kind: 'folder', folder, allowedResolved: given.list('allow-resolved') };
}
