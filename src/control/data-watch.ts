import type { Clock, Timer } from '../base/clock.ts';

export interface DataWatchOptions {
  /**
   * Real time: a clock that a test turns would run ahead of the threads, which have one of their
   * own.
   */
  readonly clock: Clock;
  readonly count: number;
  readonly ask: (worker: number) => void;
  readonly onSilent: (worker: number, forMs: number) => void;
  readonly onBack: (worker: number, afterMs: number) => void;
  readonly onHung: (worker: number, forMs: number) => void;
}

const EVERY_MS = 1_000;
/** Misses, not milliseconds: a process that was stopped for an hour misses one. */
const SAY_AFTER = 5;
const HUNG_AFTER = 30;
/** A thread reads its code first, on a machine that may be busy. */
const HUNG_AT_START_AFTER = 120;

/**
 * Asks each data side again and again whether it still takes messages. A thread in an endless loop
 * keeps its share of new connections, answers none of them, and holds up each change of the
 * configuration.
 */
export class DataWatch {
  readonly #options: DataWatchOptions;
  /** By data side: asked and not answered; whether it has ever answered. */
  readonly #sides: { missed: number; started: boolean }[];
  #timer: Timer | null = null;

  constructor(options: DataWatchOptions) {
    this.#options = options;
    this.#sides = Array.from({ length: options.count }, () => ({ missed: 0, started: false }));
  }

  start(): void {
    this.#timer ??= this.#options.clock.every(EVERY_MS, () => this.#look());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  answered(worker: number): void {
    const side = this.#sides[worker];
    if (side === undefined) return;
    if (side.missed > SAY_AFTER) this.#options.onBack(worker, side.missed * EVERY_MS);
    side.missed = 0;
    side.started = true;
  }

  /** Another thread has taken its place. */
  replaced(worker: number): void {
    this.#sides[worker] = { missed: 0, started: false };
  }

  #look(): void {
    const { ask, onSilent, onHung } = this.#options;
    for (const [worker, side] of this.#sides.entries()) {
      // One question at a time: what hangs must not gather a queue.
      if (side.missed === 0) ask(worker);
      side.missed++;
      const forMs = side.missed * EVERY_MS;
      if (side.missed === SAY_AFTER + 1) onSilent(worker, forMs);
      if (side.missed === (side.started ? HUNG_AFTER : HUNG_AT_START_AFTER)) onHung(worker, forMs);
    }
  }
}
