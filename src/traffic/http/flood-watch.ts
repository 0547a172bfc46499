import type { Clock, Timer } from '../../base/clock.ts';

/** Interval of the checks of what peers spend. */
const LOOK_MS = 500;

/** Checks each connection regularly, with one timer for all. */
export class FloodWatch {
  readonly #clock: Clock;
  readonly #looks = new Set<() => void>();
  #timer: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns the function that stops it. */
  add(look: () => void): () => void {
    this.#looks.add(look);
    this.#timer ??= this.#clock.every(LOOK_MS, () => {
      for (const each of this.#looks) each();
    });
    return () => {
      this.#looks.delete(look);
      if (this.#looks.size > 0) return;
      this.#timer?.cancel();
      this.#timer = null;
    };
  }
}
