import { adminAt } from '../admin-at.ts';
import type { AdminAt } from '../admin-at.ts';
import { durationMs } from '../../base/duration.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { CHANGE_OPTIONS, choice } from '../find-options.ts';
import { noPositional, readOptions, required } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { TOP_SORTS } from '../top/top-state.ts';
import type { TopSort } from '../top/top-state.ts';
import { outputForm } from '../values.ts';

export interface TopCommand {
  readonly at: AdminAt;
  readonly tokenFile: string | null;
  readonly once: boolean;
  readonly intervalMs: number;
  readonly sort: TopSort;
  readonly filter: string;
  readonly output: 'text' | 'json';
  readonly colours: boolean;
  /** True for a terminal that only prints. */
  readonly isDumb: boolean;
}

const OPTIONS: OptionTable = {
  ...CHANGE_OPTIONS,
  interval: { kind: 'duration', value: 'DUR', fallback: '2s', help: 'time between two looks' },
  sort: {
    kind: 'text',
    value: 'BY',
    fallback: 'rate',
    choices: TOP_SORTS,
    help: 'rate, open, ended, refused, client or destination',
  },
  filter: { kind: 'text', value: 'TEXT', help: 'only lines with this part of a client, mesh, destination, endpoint or reason' },
  once: { kind: 'flag', help: 'print one frame and end' },
  output: {
    kind: 'text',
    short: 'o',
    fallback: 'text',
    value: 'FORM',
    choices: ['text', 'json'],
    help: 'text, or json with --once',
  },
};

const LEAST_MS = 100;

export const topEntry: CommandEntry = command({
  usage: [
    'zone-egress top --admin URL [--interval 2s] [--sort BY] [--filter TEXT] [--once [-o text|json]] [--admin-token-file FILE]',
    'Shows live who talks to what through a running egress: rates, bytes, refusals, health, configuration and alarms. Keys sort, filter, explain and end.',
  ],
  options: OPTIONS,
  parse(argv, env): TopCommand {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'top');
    const output = outputForm(given.text('output') ?? 'text');
    if (output === 'json' && !given.flag('once')) throw new Error('top prints json only with --once');
    const intervalMs = durationMs(given.text('interval') ?? '') ?? 0;
    if (intervalMs < LEAST_MS) throw new Error(`--interval ${JSON.stringify(given.text('interval'))}: allowed is 100ms or more`);
    return {
      at: adminAt(given, required(given, 'admin', 'top')),
      tokenFile: given.text('admin-token-file'),
      once: given.flag('once'),
      intervalMs,
      sort: choice(given, 'sort', TOP_SORTS),
      filter: given.text('filter') ?? '',
      output,
      colours: (env['NO_COLOR'] ?? '') === '',
      isDumb: (env['TERM'] ?? 'dumb') === 'dumb',
    };
  },
  run: async (parsed, terminal) => (await import('../run-top.ts')).topCommand(parsed, terminal),
});
