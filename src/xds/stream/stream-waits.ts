import type { Clock } from '../../base/clock.ts';
import type { ProblemReason } from './stream-problem.ts';

const FIRST_MS = 500;
const LAST_MS = 30_000;
/**
 * A control plane that restarts and has not loaded its signing key yet is back within this time;
 * until then it is tried at least every second.
 */
const BACK_SOON_MS = 30_000;
const EARLY_MS = 1_000;
/** A name stays busy for 10 s after a stream ended; the waits must not make that gap longer. */
const BUSY_MS = 1_000;
/** A name still busy after this time is in use by another proxy, not merely being deregistered. */
const BUSY_FOR_LONG_MS = 30_000;
const TAKEN_MS = 5_000;

/**
 * Computes the wait before the next stream: up to 0.5 s, then up to 1 s for half a minute, then up
 * to twice as long each time until 30 s, with full jitter. While the control plane only answers
 * that the name is busy, it waits about 1 s, and after 30 s of that about 5 s.
 */
export class StreamWaits {
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Monotonic milliseconds. */
  #busySince: number | null = null;
  #failingSince: number | null = null;
  /** Ends after the time in which a restarted control plane comes back. */
  #late = 0;
  /** Consecutive ends since a stream lasted. */
  failures = 0;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Returns the wait in milliseconds after an end for this reason. */
  next(reason: ProblemReason): number {
    this.failures++;
    const now = this.#clock.now();
    this.#failingSince ??= now;
    if (reason !== 'busy') {
      this.#busySince = null;
      if (now - this.#failingSince < BACK_SOON_MS) return this.#random() * Math.min(EARLY_MS, FIRST_MS * this.failures);
      return this.#random() * Math.min(LAST_MS, EARLY_MS * 2 ** Math.min(++this.#late, 16));
    }
    this.#busySince ??= this.#clock.now();
    return (this.takenForMs() === null ? BUSY_MS : TAKEN_MS) * (0.8 + 0.2 * this.#random());
  }

  /** Returns how long the name has been busy, once that is too long for a gap; null before. */
  takenForMs(): number | null {
    const forMs = this.#busySince === null ? 0 : this.#clock.now() - this.#busySince;
    return forMs < BUSY_FOR_LONG_MS ? null : forMs;
  }

  responded(): void {
    this.#busySince = null;
  }

  /** Call it for a stream that had responses, and lasted. */
  lasted(): void {
    this.failures = 0;
    this.#failingSince = null;
    this.#late = 0;
  }
}
