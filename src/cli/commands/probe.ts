import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';
import type { FolderOptions } from '../load-folder.ts';
import { outputForm } from '../values.ts';

export interface ProbeCommand {
  /** A server name, or the name of a destination. */
  readonly target: string;
  readonly folder: FolderOptions;
  readonly timeoutMs: number;
  readonly waitMs: number;
  readonly allowedResolved: readonly string[];
  readonly output: 'text' | 'json';
}

const { name, zone, identities } = SOURCE_OPTIONS;

const OPTIONS: OptionTable = {
  resources: {
    kind: 'text',
    env: ['ZONE_EGRESS_RESOURCES'],
    value: 'DIR',
    help: 'the folder of resources that has the destination',
  },
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
    'zone-egress probe SNI|DESTINATION --resources DIR [--timeout DUR] [-o text|json]',
    'Connects to each endpoint of a destination with the TLS settings of the egress, and says what is wrong and what to write into the resource. Exit 0 good, 3 something is wrong.',
  ],
  options: OPTIONS,
  parse(argv, env): ProbeCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [target, extra] = given.positionals;
    if (target === undefined) throw new Error('probe needs the SNI or the name of a destination, e.g. api{mesh=default} or api');
    if (extra !== undefined) throw new Error(`probe takes one destination, got ${JSON.stringify(extra)} too`);
    const dir = given.text('resources');
    if (dir === null)
      throw new Error(
        'probe needs --resources DIR; a running egress dials by itself: zone-egress explain --sni NAME --from ID --probe --admin URL',
      );
    return {
      target,
      folder: { dir, name: given.text('name'), zone: given.text('zone'), identities: given.text('identities') },
      timeoutMs: given.duration('timeout'),
      waitMs: given.duration('wait'),
      allowedResolved: given.list('allow-resolved'),
      output: outputForm(given.text('output') ?? 'text'),
    };
  },
  run: async (parsed, terminal) => (await import('../run-probe.ts')).probeCommand(parsed, terminal),
});
