/**
 * The time that all of the code reads. Deadlines and durations use the monotonic clock,
 * certificates the wall clock. Tests pass in a clock that they advance by hand; no other file calls
 * setTimeout.
 */
export interface Clock {
  /** Monotonic, in milliseconds, with fractions. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wall(): number;
  /**
   * Calls `fn` once, at least `ms` from now. `ms` 0 means the next turn of the loop, never this
   * one.
   */
  after(ms: number, fn: () => void): Timer;
  /** Calls `fn` repeatedly, every `ms`. */
  every(ms: number, fn: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** The longest delay that setTimeout keeps; it fires at once for a longer one. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * `keepAlive: false` makes timers that do not hold the process open. A process that has listeners
 * uses it, and so do the tests of people who embed the egress.
 */
export function systemClock(options: { readonly keepAlive: boolean } = { keepAlive: true }): Clock {
  const own = (timer: NodeJS.Timeout): NodeJS.Timeout => (options.keepAlive ? timer : timer.unref());
  return {
    now: () => performance.now(),
    wall: () => Date.now(),
    after(ms, fn) {
      const timer = own(setTimeout(fn, Math.min(ms, MAX_DELAY_MS)));
      return { cancel: () => clearTimeout(timer) };
    },
    every(ms, fn) {
      const timer = own(setInterval(fn, Math.min(ms, MAX_DELAY_MS)));
      return { cancel: () => clearInterval(timer) };
    },
  };
}

/**
 * Gives everything that waits for the event loop its turn. Call it between the parts of long work.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

const TURN_MS = 4;

/** Runs the steps; each turn of the event loop takes as many as fit into some milliseconds. */
export async function inTurns<Result>(steps: Generator<void, Result>): Promise<Result> {
  for (;;) {
    const startedAt = performance.now();
    while (performance.now() - startedAt < TURN_MS) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
    await nextTurn();
  }
}
