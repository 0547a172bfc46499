import { NORMAL_ENDS } from '../base/refusal.ts';
import { isFoundBy } from '../model/shown-session.ts';
import type { FindBy } from '../model/shown-session.ts';

export interface DecisionQuery extends FindBy {
  /** The most records; without it all. */
  readonly limit?: number;
  readonly reason?: string;
  readonly outcome?: DecisionOutcome;
  /** Only what began at this time or later, in milliseconds since the Unix epoch. */
  readonly sinceMs?: number;
}

/** `served`: both sides ended it, or one of them. Everything else is `refused`. */
export type DecisionOutcome = 'served' | 'refused';

export function isDecisionFoundBy(query: DecisionQuery, record: Remembered): boolean {
  const { reason, outcome, sinceMs } = query;
  if (reason !== undefined && record.reason !== reason) return false;
  if (outcome !== undefined && (outcome === 'served') !== Object.hasOwn(NORMAL_ENDS, record.reason)) return false;
  if (sinceMs !== undefined && record.startedAt < sinceMs) return false;
  return isFoundBy(query, record);
}

/** A record takes about 1 KB, and 10 KB at most. */
const REMEMBERED = 10_000;

export interface Remembered {
  readonly id: string;
  readonly reason: string;
  readonly startedAt: number;
  readonly mesh: string;
  readonly destination: string;
  readonly clientAddress: string;
  readonly spiffeIds: readonly string[];
}

/** Holds the last `capacity` records and drops the oldest; 0 holds none. */
export class RecentDecisions<Of extends Remembered> {
  readonly capacity: number;
  readonly #ring: Of[] = [];
  /** The place of the next record; in a full ring it is that of the oldest. */
  #next = 0;

  constructor(capacity: number = REMEMBERED) {
    this.capacity = capacity;
  }

  add(record: Of): void {
    if (this.capacity < 1) return;
    this.#ring[this.#next] = record;
    this.#next = (this.#next + 1) % this.capacity;
  }

  /** Returns records newest first. */
  list(query: DecisionQuery = {}): readonly Of[] {
    const { limit = this.capacity } = query;
    const found: Of[] = [];
    for (const record of this.#newestFirst()) {
      if (found.length >= limit) break;
      if (isDecisionFoundBy(query, record)) found.push(record);
    }
    return found;
  }

  get(id: string): Of | null {
    return this.#ring.find((record) => record.id === id) ?? null;
  }

  *#newestFirst(): Generator<Of> {
    const held = this.#ring.length;
    for (let age = 1; age <= held; age++) {
      const record = this.#ring[(this.#next - age + held) % held];
      if (record !== undefined) yield record;
    }
  }
}
