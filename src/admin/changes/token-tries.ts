import { LRUCache } from 'lru-cache';
import { takeToken } from '../../base/token-bucket.ts';
import type { Clock } from '../../base/clock.ts';

/** Wrong tokens that one address may send at once, and the time after which all are given back. */
const TRIES = 10;
const INTERVAL_MS = 60_000;
const MAX_ADDRESSES = 1_000;

/** Bounds the wrong tokens of each address. */
export class TokenTries {
  readonly #clock: Clock;
  readonly #buckets = new LRUCache<string, number>({ max: MAX_ADDRESSES });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a try before its outcome is known, so that many at the same time count too. */
  take(address: string): boolean {
    // The monotonic clock: a jump of the wall clock neither locks out nor lets in.
    const wallMs = this.#clock.now() + INTERVAL_MS;
    const taken = takeToken(this.#buckets.get(address) ?? 0, { wallMs, tokens: TRIES, intervalMs: INTERVAL_MS });
    this.#buckets.set(address, taken.next);
    return taken.admitted;
  }

  /** Gives the try of a right token back. */
  giveBack(address: string): void {
    const taken = this.#buckets.get(address);
    if (taken !== undefined) this.#buckets.set(address, taken - (INTERVAL_MS * 1_000) / TRIES);
  }
}
