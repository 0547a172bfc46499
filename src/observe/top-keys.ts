/**
 * Chooses the keys that get series of their own: the busiest, at most so many. What a peer or the
 * answer of a name server can add to is bounded by this, and an operator sees the ones that matter.
 * A key that once has a series keeps it until another one is far busier, because each change costs
 * a reader of the graph a line.
 */
import type { Clock } from '../base/clock.ts';

/** The most keys that wait for a series; a new one then replaces the one that waits for longest. */
const MAX_WAITING = 1_000;
/** Uses count half after this time. */
const HALF_LIFE_MS = 600_000;
/** Several readers at the same time do not rank more often. */
const RANK_EVERY_MS = 10_000;
/** A key that waits takes the place of another one when it is so many times as busy. */
const FAR_BUSIER = 2;
/** Below this a key that waits is forgotten. */
const FORGOTTEN = 0.5;

interface Shown<Of> {
  readonly of: Of;
  weight: number;
}

export class TopKeys<Of> {
  readonly #most: number;
  readonly #make: (key: string) => Of;
  readonly #clock: Clock;
  readonly #shown = new Map<string, Shown<Of>>();
  readonly #waiting = new Map<string, number>();
  #rankedAt: number;

  constructor(options: { readonly most: number; readonly clock: Clock; readonly make: (key: string) => Of }) {
    this.#most = options.most;
    this.#make = options.make;
    this.#clock = options.clock;
    this.#rankedAt = options.clock.now();
  }

  /** Notes a use. Returns what belongs to the key, or null where it has no series of its own. */
  use(key: string): Of | null {
    const shown = this.#shown.get(key);
    if (shown !== undefined) {
      shown.weight++;
      return shown.of;
    }
    if (this.#shown.size < this.#most) return this.#show(key, 1).of;
    if (this.#most === 0) return null;
    const waited = this.#waiting.get(key);
    if (waited === undefined && this.#waiting.size >= MAX_WAITING) this.#forgetOldest();
    this.#waiting.set(key, (waited ?? 0) + 1);
    return null;
  }

  /**
   * Sets the keys that exist. Others lose their series. Where all fit, each has its series before
   * its first use, so that a rate misses none.
   */
  keep(keys: ReadonlySet<string>): void {
    for (const map of [this.#shown, this.#waiting]) for (const key of map.keys()) if (!keys.has(key)) map.delete(key);
    if (keys.size > this.#most) return;
    for (const key of keys) if (!this.#shown.has(key)) this.#show(key, 0);
  }

  /** Ranks again where it is time, and returns what has a series now. */
  ranked(): Iterable<Of> {
    const now = this.#clock.now();
    if (now - this.#rankedAt >= RANK_EVERY_MS) this.#rank(0.5 ** ((now - this.#rankedAt) / HALF_LIFE_MS));
    return [...this.#shown.values()].map(({ of }) => of);
  }

  #rank(decay: number): void {
    this.#rankedAt = this.#clock.now();
    for (const shown of this.#shown.values()) shown.weight *= decay;
    for (const [key, weight] of this.#waiting) {
      if (weight * decay < FORGOTTEN) this.#waiting.delete(key);
      else this.#waiting.set(key, weight * decay);
    }
    const busiest = [...this.#waiting].sort(([, a], [, b]) => b - a);
    const weakest = [...this.#shown].sort(([, a], [, b]) => a.weight - b.weight);
    for (const [key, weight] of busiest) {
      const [out] = this.#shown.size < this.#most ? [] : weakest.splice(0, 1);
      if (out === undefined && this.#shown.size >= this.#most) return;
      if (out !== undefined && weight <= FAR_BUSIER * out[1].weight) return;
      if (out !== undefined) this.#shown.delete(out[0]);
      this.#waiting.delete(key);
      this.#show(key, weight);
    }
  }

  #show(key: string, weight: number): Shown<Of> {
    const shown = { of: this.#make(key), weight };
    this.#shown.set(key, shown);
    return shown;
  }

  #forgetOldest(): void {
    const [oldest] = this.#waiting.keys();
    if (oldest !== undefined) this.#waiting.delete(oldest);
  }
}
