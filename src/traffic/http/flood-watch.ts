import { Chain, ChainEntry } from '../../base/chain.ts';
import type { Clock, Timer } from '../../base/clock.ts';

/** Interval of the checks of what peers spend. */
const LOOK_MS = 500;

/** Checks each connection regularly, with one timer for all. */
export class FloodWatch {
  readonly #clock: Clock;
  readonly #looks = new Chain<ChainEntry<() => void>>();
  #timer: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns the function that stops it. */
  add(look: () => void): () => void {
    const entry = new ChainEntry(look);
    this.#looks.add(entry);
    this.#timer ??= this.#clock.every(LOOK_MS, () => {
      for (const { value } of this.#looks) value();
    });
    return () => {
      this.#looks.remove(entry);
      if (this.#looks.size > 0) return;
      this.#timer?.cancel();
      this.#timer = null;
    };
  }
}
