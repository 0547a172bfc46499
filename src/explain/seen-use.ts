/**
 * Collects from records which clients used which destinations, and the sessions of which that
 * cannot be known.
 */
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { NOT_JUDGED } from './simulate-requests.ts';

/** All sessions and requests of one client at one server name that passed in the same way. */
export interface SeenUse {
  readonly mesh: string;
  readonly destination: string;
  readonly sni: string;
  /** All URI SANs of the client. */
  readonly uris: readonly string[];
  /** How it passed: by a permission, because of report-only, or not at all. */
  readonly passed: 'permission' | 'report-only' | 'refused';
  /** Names of the permissions that let it in. */
  readonly by: readonly string[];
  readonly sessions: readonly SessionRecord[];
  readonly requests: readonly RequestRecord[];
  /** Milliseconds since the Unix epoch. */
  readonly lastAt: number;
}

/** Sessions or requests about which nothing is suggested, with the reason as a sentence. */
export interface LeftOut {
  readonly why: string;
  readonly sessions: number;
  readonly requests: number;
  /** The id of one of them. */
  readonly example: string;
}

export interface Seen {
  /** Sorted by mesh, destination and client. */
  readonly uses: readonly SeenUse[];
  readonly leftOut: readonly LeftOut[];
  /** The time that the records cover; null without records. */
  readonly period: { readonly from: number; readonly to: number } | null;
}

export function seenIn(sessions: readonly SessionRecord[], requests: readonly RequestRecord[]): Seen {
  const uses = new Map<string, Gathered>();
  const leftOut = new OmissionTally();
  const use = (record: SessionRecord | RequestRecord, passed: SeenUse['passed']): Gathered => {
    const key = JSON.stringify([record.mesh, record.destination, record.sni.toLowerCase(), record.uris, passed]);
    const known = uses.get(key) ?? { ...gathered(record), passed };
    uses.set(key, known);
    known.lastAt = Math.max(known.lastAt, record.startedAt);
    return known;
  };
  for (const record of sessions) {
    const found = passedIn(record);
    if (found === null) continue;
    if ('why' in found) leftOut.add(found.why, record.id, 'sessions');
    else {
      const to = use(record, found.passed);
      to.sessions.push(record);
      if (record.permission !== '') to.by.add(record.permission);
    }
  }
  for (const record of requests) {
    const found = requestPassed(record);
    if ('why' in found) leftOut.add(found.why, record.id, 'requests');
    else use(record, found.passed).requests.push(record);
  }
  const times = [...sessions, ...requests].map(({ startedAt }) => startedAt);
  const [from, to] = [times.reduce((a, b) => Math.min(a, b), Infinity), times.reduce((a, b) => Math.max(a, b), -Infinity)];
  return {
    uses: [...uses.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { by, ...each }]) => ({ ...each, by: [...by].sort() })),
    leftOut: leftOut.list(),
    period: times.length === 0 ? null : { from, to },
  };
}

interface Gathered extends Omit<SeenUse, 'by' | 'sessions' | 'requests' | 'lastAt'> {
  readonly by: Set<string>;
  readonly sessions: SessionRecord[];
  readonly requests: RequestRecord[];
  lastAt: number;
}

function gathered({ mesh, destination, sni, uris }: SessionRecord | RequestRecord): Omit<Gathered, 'passed'> {
  return { mesh, destination, sni, uris: [...uris].sort(), by: new Set(), sessions: [], requests: [], lastAt: 0 };
}

type Passed = { readonly passed: SeenUse['passed'] } | { readonly why: string };

/** Returns null for a session whose requests were judged, and are in records of their own. */
function passedIn(record: SessionRecord): Passed | null {
  const { mode, reason, uris, permission, connectMs } = record;
  if (mode === '') return { why: `ended before a destination was known (${reason})` };
  if (mode === 'passthrough') return { why: 'were passed through to another zone, which decides who may' };
  if (uris.length === 0) return { why: `ended before the client was known (${reason})` };
  if (record.wouldRefuse !== undefined) return { passed: 'report-only' };
  if (permission !== '' || connectMs >= 0) return { passed: 'permission' };
  if (reason === 'denied') return { passed: 'refused' };
  if (record.requests !== undefined) return null;
  return { why: `ended before a permission was judged (${reason})` };
}

function requestPassed({ uris, reason, forwarded, method, wouldRefuse }: RequestRecord): Passed {
  if (uris.length === 0) return { why: `ended before the client was known (${reason})` };
  if (reason === 'denied') return { passed: 'refused' };
  if (wouldRefuse !== undefined) return { passed: 'report-only' };
  const isJudged = forwarded || !MAYBE_NOT_JUDGED.has(reason);
  return isJudged && method !== '' ? { passed: 'permission' } : { why: `ended before a permission was judged (${reason})` };
}

/** Ends of a request that may come before its permission is judged. */
const MAYBE_NOT_JUDGED: ReadonlySet<string> = new Set([...NOT_JUDGED, 'unsupported-policy']);

/** Counts by reason. */
export class OmissionTally {
  readonly #found = new Map<string, { sessions: number; requests: number; readonly example: string }>();

  add(why: string, example: string, what: 'sessions' | 'requests', count = 1): void {
    const known = this.#found.get(why) ?? { sessions: 0, requests: 0, example };
    known[what] += count;
    this.#found.set(why, known);
  }

  list(): readonly LeftOut[] {
    return [...this.#found]
      .map(([why, { sessions, requests, example }]) => ({ why, sessions, requests, example }))
      .sort((a, b) => (a.why < b.why ? -1 : 1));
  }
}
