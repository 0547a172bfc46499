import type { Clock, Timer } from '../base/clock.ts';

export interface DataWatchOptions {
  /** Has to be the real one: threads have clocks of their own, which a test cannot turn. */
  readonly clock: Clock;
  readonly count: number;
  readonly ask: (worker: number) => void;
  readonly onSilent: (worker: number, forMs: number) => void;
  readonly onBack: (worker: number, afterMs: number) => void;
  readonly onHung: (worker: number, forMs: number) => void;
}

const EVERY_MS = 1_000;
interface Patience {
  /** Counts misses, not milliseconds: a process that was stopped for an hour misses one. */
  readonly sayAfter: number;
  readonly hungAfter: number;
}

const RUNNING: Patience = { sayAfter: 5, hungAfter: 30 };
/** A thread loads its code first, and the machine may be busy. */
const STARTING: Patience = { sayAfter: 60, hungAfter: 120 };

function patience(side: { readonly started: boolean }): Patience {
  return side.started ? RUNNING : STARTING;
}

/**
 * Asks each data side again and again whether it still takes messages. A thread in an endless loop
 * keeps its share of new connections, answers none of them, and holds up each change of the
 * configuration.
 */
export class DataWatch {
  readonly #options: DataWatchOptions;
  /** One entry per data side: the questions without an answer, and whether it has ever answered. */
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

  /** Lists the data sides that are reported as silent. */
  get silent(): readonly { readonly side: number; readonly forMs: number }[] {
    return [...this.#sides.entries()].flatMap(([worker, side]) =>
      side.missed > patience(side).sayAfter ? [{ side: worker, forMs: side.missed * EVERY_MS }] : [],
    );
  }

  answered(worker: number): void {
    const side = this.#sides[worker];
    if (side === undefined) return;
    if (side.missed > patience(side).sayAfter) this.#options.onBack(worker, side.missed * EVERY_MS);
    side.missed = 0;
    side.started = true;
  }

  /** Begins again for a data side that another thread has replaced. */
  replaced(worker: number): void {
    this.#sides[worker] = { missed: 0, started: false };
  }

  #look(): void {
    const { ask, onSilent, onHung } = this.#options;
    for (const [worker, side] of this.#sides.entries()) {
      // Asks one question at a time: a thread that hangs must not gather a queue.
      if (side.missed === 0) ask(worker);
      side.missed++;
      const forMs = side.missed * EVERY_MS;
      const { sayAfter, hungAfter } = patience(side);
      if (side.missed === sayAfter + 1) onSilent(worker, forMs);
      if (side.missed === hungAfter) onHung(worker, forMs);
    }
  }
}
