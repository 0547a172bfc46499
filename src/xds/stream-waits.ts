import type { Clock } from '../base/clock.ts';
import type { ProblemReason } from './stream-problem.ts';

const FIRST_MS = 500;
const LAST_MS = 30_000;
/** A name stays busy for 10 s after a stream ended: that gap must not grow by waiting. */
const BUSY_MS = 1_000;
/** So long, and it is no gap any more but another proxy of that name. */
const BUSY_FOR_LONG_MS = 30_000;
const TAKEN_MS = 5_000;

/**
 * How long to wait before the next stream: up to 0.5 s, then up to twice as long each time until 30 s, with full jitter. While the control plane
 * only says that the name is busy, about a second; after 30 s of that about five.
 */
export class StreamWaits {
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Monotonic milliseconds. */
  #busySince: number | null = null;
  /** Ended in a row, since a stream lasted. */
  failures = 0;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Milliseconds, after an end for this reason. */
  next(reason: ProblemReason): number {
    this.failures++;
    if (reason !== 'busy') {
      this.#busySince = null;
      return this.#random() * Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(this.failures - 1, 16));
    }
    this.#busySince ??= this.#clock.now();
    return (this.takenForMs() === null ? BUSY_MS : TAKEN_MS) * (0.8 + 0.2 * this.#random());
  }

  /** How long the name has been busy, once that is too long for a gap; null before. */
  takenForMs(): number | null {
    const forMs = this.#busySince === null ? 0 : this.#clock.now() - this.#busySince;
    return forMs < BUSY_FOR_LONG_MS ? null : forMs;
  }

  responded(): void {
    this.#busySince = null;
  }

  /** A stream had responses, and lasted. */
  lasted(): void {
    this.failures = 0;
  }
}
