import type { Clock } from '../base/clock.ts';
import { safeJson } from '../base/plain-text.ts';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { isDecisionFoundBy } from './decisions.ts';
import type { DecisionQuery } from './decisions.ts';
import type { Observer } from './observer.ts';

/** Each costs a line of JSON for each record that it wants. */
const MAX_FOLLOWERS = 8;
/** About 1 MB; a follower that reads slowly misses what is above it. */
const MAX_WAITING = 1_000;
/** An empty line after this much quiet shows that the connection is good. */
const QUIET_MS = 5_000;

/** Writes a record as a line of JSON. */
export function recordLine(kind: 'session' | 'request', record: SessionRecord | RequestRecord): string {
  return `${safeJson({ kind, ...record })}\n`;
}

/** The clients that get each record as it comes. None of them holds up another, or the traffic. */
export class RecordFeed {
  readonly #observer: Pick<Observer, 'onRecord' | 'onRequest' | 'decisions' | 'requests'>;
  readonly #clock: Clock;
  #following = 0;

  constructor(observer: Pick<Observer, 'onRecord' | 'onRequest' | 'decisions' | 'requests'>, clock: Clock) {
    this.#observer = observer;
    this.#clock = clock;
  }

  /**
   * Yields lines: first the last `limit` records that the query finds, the oldest first, then those
   * to come. A line `{"kind":"missed","count":3}` says how many a slow reader has missed. Returns
   * null while too many follow already. It ends when its caller stops to iterate.
   */
  follow(query: DecisionQuery): AsyncIterable<string> | null {
    return this.#following >= MAX_FOLLOWERS ? null : this.#lines(query);
  }

  async *#lines(query: DecisionQuery): AsyncGenerator<string> {
    const waiting = this.#before(query);
    let missed = 0;
    let wake = (): void => {};
    const add = (kind: 'session' | 'request', record: SessionRecord | RequestRecord): void => {
      if (!isDecisionFoundBy(query, record)) return;
      if (waiting.length < MAX_WAITING) waiting.push(recordLine(kind, record));
      else missed++;
      wake();
    };
    const stops = [
      this.#observer.onRecord((record) => add('session', record)),
      this.#observer.onRequest((record) => {
        if (!Object.hasOwn(NORMAL_ENDS, record.reason)) add('request', record);
      }),
    ];
    const beat = this.#clock.every(QUIET_MS, () => wake());
    this.#following++;
    try {
      for (;;) {
        if (waiting.length === 0 && missed === 0) await new Promise<void>((resolve) => (wake = resolve));
        const late = missed === 0 ? '' : `${JSON.stringify({ kind: 'missed', count: missed })}\n`;
        missed = 0;
        const lines = waiting.splice(0).join('') + late;
        yield lines === '' ? '\n' : lines;
      }
    } finally {
      this.#following--;
      beat.cancel();
      for (const stop of stops) stop();
    }
  }

  #before(query: DecisionQuery): string[] {
    const { limit = 0 } = query;
    const sessions = this.#observer.decisions(query).map((record) => ({ kind: 'session', record }) as const);
    const requests = this.#observer.requests(query).map((record) => ({ kind: 'request', record }) as const);
    const newest = [...sessions, ...requests].sort((a, b) => b.record.startedAt - a.record.startedAt).slice(0, limit);
    return newest.reverse().map(({ kind, record }) => recordLine(kind, record));
  }
}
