/** Parses the queries of the pages that find sessions. Each returns a sentence for a bad query. */
import { durationMs } from '../base/duration.ts';
import { NORMAL_ENDS, REFUSALS } from '../base/refusal.ts';
import { SHOWN_SORTS } from '../model/shown-session.ts';
import type { FindBy, ShownQuery } from '../model/shown-session.ts';
import type { DecisionQuery } from '../observe/decisions.ts';

const DEFAULT_LIMIT = 100;
/** Ten thousand open sessions are 6 MB of JSON. */
const MOST_OPEN = 10_000;

export interface AskedDecisions {
  readonly query: DecisionQuery & { readonly limit: number };
  readonly output: 'json' | 'ndjson';
  readonly follow: boolean;
}

export interface AskedSessions {
  readonly query: ShownQuery;
  /** The first of them that is shown, from 0. */
  readonly offset: number;
  readonly output: 'json' | 'table';
}

const DECISION_NAMES = ['limit', 'reason', 'outcome', 'mesh', 'destination', 'client', 'since', 'output', 'follow'] as const;

export function parseDecisionsQuery(search: string, wallMs: number): AskedDecisions | string {
  const given = parameters(search, DECISION_NAMES);
  if (typeof given === 'string') return given;
  const limit = given.get('limit');
  if (limit !== undefined && !isCount(limit)) return 'limit must be a whole number';
  const reason = given.get('reason');
  if (reason !== undefined && !Object.hasOwn(REFUSALS, reason) && !Object.hasOwn(NORMAL_ENDS, reason))
    return `reason must be one of ${[...Object.keys(REFUSALS), ...Object.keys(NORMAL_ENDS)].join(', ')}`;
  const outcome = given.get('outcome');
  if (outcome !== undefined && outcome !== 'served' && outcome !== 'refused') return 'outcome must be served or refused';
  const since = given.get('since');
  const sinceMs = since === undefined ? undefined : timeOf(since, wallMs);
  if (sinceMs === null) return 'since must be a duration such as 10m, or a time such as 2026-01-31T12:00:00Z';
  const follow = given.get('follow') ?? 'false';
  if (follow !== 'true' && follow !== 'false') return 'follow must be true or false';
  const output = given.get('output') ?? (follow === 'true' ? 'ndjson' : 'json');
  if (output !== 'json' && output !== 'ndjson') return 'output must be json or ndjson';
  if (follow === 'true' && output === 'json') return 'follow writes lines: output must be ndjson';
  const query: AskedDecisions['query'] = {
    limit: limit === undefined ? (follow === 'true' ? 0 : DEFAULT_LIMIT) : Number(limit),
    ...findBy(given),
    ...(reason === undefined ? {} : { reason }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
  };
  return { query, output, follow: follow === 'true' };
}

const SESSION_NAMES = ['limit', 'offset', 'sort', 'id', 'mesh', 'destination', 'client', 'output'] as const;

export function parseSessionsQuery(search: string): AskedSessions | string {
  const given = parameters(search, SESSION_NAMES);
  if (typeof given === 'string') return given;
  const [limit, offset] = [given.get('limit') ?? String(DEFAULT_LIMIT), given.get('offset') ?? '0'];
  if (!isCount(limit)) return 'limit must be a whole number';
  if (!isCount(offset)) return 'offset must be a whole number';
  const most = Number(limit) + Number(offset);
  if (most > MOST_OPEN) return `offset and limit must be ${MOST_OPEN} at most together: narrow by mesh, destination or client`;
  const wanted = given.get('sort') ?? 'age';
  const sort = SHOWN_SORTS.find((name) => name === wanted);
  if (sort === undefined) return `sort must be one of ${SHOWN_SORTS.join(', ')}`;
  const output = given.get('output') ?? 'json';
  if (output !== 'json' && output !== 'table') return 'output must be json or table';
  return { query: { sort, most, ...findBy(given) }, offset: Number(offset), output };
}

const END_NAMES = ['id', 'mesh', 'destination', 'client', 'all'] as const;

/** Returns which sessions to end. A query that names none has to say that all are meant. */
export function parseEndQuery(search: string): FindBy | string {
  const given = parameters(search, END_NAMES);
  if (typeof given === 'string') return given;
  const which = findBy(given);
  const all = given.get('all');
  if (all !== undefined && all !== 'true') return 'all must be true';
  const isNarrowed = Object.keys(which).length > 0;
  if (all === undefined && !isNarrowed) return 'id, mesh, destination or client is needed; all=true ends every session';
  if (all !== undefined && isNarrowed) return 'all goes alone, without id, mesh, destination and client';
  return which;
}

export interface AskedProbe {
  /** An SNI, or the name of a destination. */
  readonly target: string;
  readonly timeoutMs: number;
  readonly waitMs: number;
}

const PROBE_NAMES = ['target', 'timeout', 'wait'] as const;
const PROBE_TIMEOUT = '5s';
const PROBE_WAIT = '500ms';
/** A probe takes at most a look-up, two connections and the wait. */
const MOST_TIMEOUT_MS = 15_000;
const MOST_WAIT_MS = 5_000;
const MOST_TARGET = 1_000;

export function parseProbeQuery(search: string): AskedProbe | string {
  const given = parameters(search, PROBE_NAMES);
  if (typeof given === 'string') return given;
  const target = given.get('target') ?? '';
  if (target === '') return 'target is needed: the SNI or the name of a destination';
  if (target.length > MOST_TARGET) return `target must have ${MOST_TARGET} characters at most`;
  const [timeoutMs, waitMs] = [durationMs(given.get('timeout') ?? PROBE_TIMEOUT), durationMs(given.get('wait') ?? PROBE_WAIT)];
  if (timeoutMs === null || timeoutMs < 1 || timeoutMs > MOST_TIMEOUT_MS) return 'timeout must be a duration from 1ms to 15s';
  if (waitMs === null || waitMs > MOST_WAIT_MS) return 'wait must be a duration from 0s to 5s';
  return { target, timeoutMs, waitMs };
}

function findBy(given: ReadonlyMap<string, string>): FindBy {
  const [mesh, destination, client] = [given.get('mesh'), given.get('destination'), given.get('client')];
  const id = given.get('id');
  return {
    ...(id === undefined ? {} : { id }),
    ...(mesh === undefined ? {} : { mesh }),
    ...(destination === undefined ? {} : { destination }),
    ...(client === undefined ? {} : { client }),
  };
}

/** Returns the parameters by name; each may occur once. */
function parameters(search: string, names: readonly string[]): ReadonlyMap<string, string> | string {
  const given = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(search)) {
    if (!names.includes(name)) return `allowed parameters are ${names.slice(0, -1).join(', ')} and ${names.at(-1) ?? ''}`;
    if (given.has(name)) return `${name} is given twice`;
    given.set(name, value);
  }
  return given;
}

function isCount(text: string): boolean {
  return /^[0-9]{1,9}$/.test(text);
}

/** Returns a time in milliseconds since the Unix epoch; null where the text is none. */
function timeOf(text: string, wallMs: number): number | null {
  const ago = durationMs(text);
  if (ago !== null) return wallMs - ago;
  const time = /^\d{4}-\d{2}-\d{2}T[0-9:.]+(Z|[+-]\d{2}:\d{2})$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? null : time;
}
