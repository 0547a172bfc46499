/**
 * Time as everything here reads it. Deadlines and durations run on the monotonic side, certificates
 * on the wall clock. Tests hand in a clock that they crank; nothing else calls setTimeout.
 */
export interface Clock {
  /** Monotonic, in milliseconds, with fractions. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wall(): number;
  /** Calls `fn` once, at least `ms` from now. `ms` 0 means the next turn, not at once. */
  after(ms: number, fn: () => void): Timer;
  /** Calls `fn` again and again, `ms` apart. */
  every(ms: number, fn: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** The longest delay that setTimeout keeps; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * `keepAlive: false` gives timers that do not hold the process open: for a process that has
 * listeners, and for other people's tests.
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
 * Lets everything that waits for the loop have its turn: between the parts of a work that would
 * hold it up too long in one piece.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

const TURN_MS = 4;

/** Does the steps, as many in a turn as take some milliseconds of real time. */
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
