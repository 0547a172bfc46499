export interface DecisionQuery {
  /** The most records; without it all. */
  readonly limit?: number;
  readonly reason?: string;
  readonly mesh?: string;
}

/** A record takes about 1 KB, and 10 KB at most. */
const REMEMBERED = 10_000;

export type Remembered = { readonly id: string; readonly reason: string; readonly mesh: string };

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
    const { limit = this.capacity, reason, mesh } = query;
    const found: Of[] = [];
    for (const record of this.#newestFirst()) {
      if (found.length >= limit) break;
      if (reason !== undefined && record.reason !== reason) continue;
      if (mesh !== undefined && record.mesh !== mesh) continue;
      found.push(record);
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
