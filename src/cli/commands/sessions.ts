import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { choice, FIND_OPTIONS, findText } from '../find-options.ts';
import { noPositional, readOptions, required } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { adminUrl, outputForm } from '../values.ts';

export interface SessionsCommand {
  readonly url: string;
  /** Parameters of the page. */
  readonly query: Readonly<Record<string, string>>;
  readonly output: 'text' | 'json';
}

const OPTIONS: OptionTable = {
  ...FIND_OPTIONS,
  sort: { kind: 'text', fallback: 'age', value: 'BY', help: 'age, idle, bytes or rate; the largest first' },
  limit: { kind: 'count', fallback: '100', most: 10_000, help: 'the most sessions' },
  offset: { kind: 'count', fallback: '0', most: 10_000, help: 'leave out this many of the first' },
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', help: 'text or json' },
};

export const sessionsEntry: CommandEntry = command({
  usage: [
    'zone-egress sessions --admin URL [--mesh NAME] [--destination NAME] [--client ID] [--sort age|idle|bytes|rate] [--limit N] [--offset N] [-o text|json]',
    'Lists the sessions that are open in a running egress: client, destination, endpoint, age, bytes and rate.',
  ],
  options: OPTIONS,
  parse(argv, env): SessionsCommand {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'sessions');
    const sort = choice(given, 'sort', ['age', 'idle', 'bytes', 'rate']);
    const query = { ...findText(given), sort, limit: String(given.count('limit')), offset: String(given.count('offset')) };
    return { url: adminUrl(required(given, 'admin', 'sessions')), query, output: outputForm(given.text('output') ?? 'text') };
  },
  run: async (parsed, terminal) => (await import('../run-sessions.ts')).sessionsCommand(parsed, terminal),
});
