import { adminAt } from '../admin-at.ts';
import type { AdminAt } from '../admin-at.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { choice, FIND_OPTIONS, findText } from '../find-options.ts';
import { noPositional, readOptions, required } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { outputForm } from '../values.ts';

export interface DecisionsCommand {
  readonly at: AdminAt;
  /** Parameters of the page. */
  readonly query: Readonly<Record<string, string>>;
  readonly follow: boolean;
  readonly output: 'text' | 'json';
}

const OPTIONS: OptionTable = {
  ...FIND_OPTIONS,
  reason: { kind: 'text', value: 'CODE', help: 'only this reason, e.g. denied' },
  outcome: { kind: 'text', value: 'OUTCOME', help: 'only served or only refused' },
  since: {
    kind: 'text',
    value: 'TIME',
    help: 'only what began since then: a duration such as 10m, or a time such as 2026-01-31T12:00:00Z',
  },
  limit: {
    kind: 'count',
    value: 'N',
    help: 'the most sessions, and the most requests; default 100, with --follow 0',
    most: 10_000,
  },
  follow: { kind: 'flag', short: 'f', help: 'print those to come too, until it is interrupted' },
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', help: 'text, or json: a line of JSON for each' },
};

export const decisionsEntry: CommandEntry = command({
  usage: [
    'zone-egress decisions --admin URL [--reason CODE] [--outcome served|refused] [--mesh NAME] [--destination NAME] [--client ID] [--since 10m] [--limit N] [--follow] [-o text|json]',
    'Lists the sessions that ended and the requests that were refused lately in a running egress, the oldest first, with the reason of each.',
  ],
  options: OPTIONS,
  parse(argv, env): DecisionsCommand {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'decisions');
    const [reason, since, limit] = [given.text('reason'), given.text('since'), given.text('limit')];
    const outcome = given.text('outcome') === null ? null : choice(given, 'outcome', ['served', 'refused']);
    const query = {
      ...findText(given),
      ...(reason === null ? {} : { reason }),
      ...(outcome === null ? {} : { outcome }),
      ...(since === null ? {} : { since }),
      ...(limit === null ? {} : { limit }),
    };
    const output = outputForm(given.text('output') ?? 'text');
    return { at: adminAt(given, required(given, 'admin', 'decisions')), query, follow: given.flag('follow'), output };
  },
  run: async (parsed, terminal) => (await import('../run-decisions.ts')).decisionsCommand(parsed, terminal),
});
