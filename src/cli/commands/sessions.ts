import { adminAt } from '../admin-at.ts';
import type { AdminAt } from '../admin-at.ts';
import type { ChangeCommand } from '../change-command.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { choice, FIND_OPTIONS, findText, TOKEN_OPTION } from '../find-options.ts';
import { noPositional, readOptions, required } from '../options.ts';
import type { OptionTable, ParsedOptions } from '../options.ts';
import { outputForm } from '../values.ts';

export interface SessionsCommand {
  readonly at: AdminAt;
  /** Parameters of the page. */
  readonly query: Readonly<Record<string, string>>;
  readonly output: 'text' | 'json';
  /** Ends the sessions in place of listing them; null lists. */
  readonly end: ChangeCommand | null;
}

const OPTIONS: OptionTable = {
  ...FIND_OPTIONS,
  id: { kind: 'text', value: 'ID', help: 'only the session with this id' },
  end: { kind: 'flag', help: 'end the sessions that --id, --mesh, --destination or --client name, in place of listing them' },
  all: { kind: 'flag', help: 'with --end: every session' },
  ...TOKEN_OPTION,
  sort: { kind: 'text', fallback: 'age', value: 'BY', help: 'age, idle, bytes or rate; the largest first' },
  limit: { kind: 'count', fallback: '100', most: 10_000, help: 'the most sessions' },
  offset: { kind: 'count', fallback: '0', most: 10_000, help: 'leave out this many of the first' },
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', help: 'text or json' },
};

export const sessionsEntry: CommandEntry = command({
  usage: [
    'zone-egress sessions --admin URL [--mesh NAME] [--destination NAME] [--client ID] [--id ID] [--sort age|idle|bytes|rate] [--limit N] [--offset N] [-o text|json] [--end [--all]]',
    'Lists the sessions that are open in a running egress: client, destination, endpoint, age, bytes and rate; or ends them.',
  ],
  options: OPTIONS,
  parse(argv, env): SessionsCommand {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'sessions');
    const sort = choice(given, 'sort', ['age', 'idle', 'bytes', 'rate']);
    const id = given.text('id');
    const which = { ...(id === null ? {} : { id }), ...findText(given) };
    const query = { ...which, sort, limit: String(given.count('limit')), offset: String(given.count('offset')) };
    const at = adminAt(given, required(given, 'admin', 'sessions'));
    return { at, query, output: outputForm(given.text('output') ?? 'text'), end: endIn(given, at, which) };
  },
  run: async (parsed, terminal) => (await import('../run-sessions.ts')).sessionsCommand(parsed, terminal),
});

function endIn(given: ParsedOptions, at: AdminAt, which: Readonly<Record<string, string>>): ChangeCommand | null {
  const all = given.flag('all');
  if (!given.flag('end')) {
    if (all) throw new Error('--all: allowed with --end');
    return null;
  }
  const only = ['sort', 'limit', 'offset', 'output'].find((name) => given.source(name) !== null);
  if (only !== undefined) throw new Error(`--end and --${only}: sessions are ended by --id, --mesh, --destination and --client`);
  if (all === Object.keys(which).length > 0)
    throw new Error('--end needs --id, --mesh, --destination or --client; --all, alone, ends every session');
  const search = new URLSearchParams(all ? { all: 'true' } : which);
  return { at, target: `/sessions/end?${search.toString()}`, tokenFile: given.text('admin-token-file'), says: null };
}
