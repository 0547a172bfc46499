export interface DecisionQuery {
  /** At most this many; all without it. */
  readonly limit?: number;
  readonly reason?: string;
  readonly mesh?: string;
}

/** A record takes about 1 KB, 10 KB at the very most. */
const REMEMBERED = 10_000;

export type Remembered = { readonly id: string; readonly reason: string; readonly mesh: string };

/**
 * The last records that came. Holds `capacity` records and forgets the oldest;
 * 0 holds none.
 */
export class RecentDecisions<Of extends Remembered> {
  readonly capacity: number;
  readonly #ring: Of[] = [];
  /** Where the next record goes; once the ring is full that is the oldest one's place. */
  #next = 0;

  constructor(capacity: number = REMEMBERED) {
    this.capacity = capacity;
  }

  add(record: Of): void {
    if (this.capacity < 1) return;
    this.#ring[this.#next] = record;
    this.#next = (this.#next + 1) % this.capacity;
  }

  /** Newest first. */
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
