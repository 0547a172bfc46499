import { nextTurn } from '../base/clock.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { amount, options as optionsOf } from '../base/shape.ts';

interface Pending {
  dueAt: number;
  readonly everyMs: number | null;
  readonly fn: () => void;
}

const clockOptions = optionsOf<{ readonly wall?: number }>({ wall: amount });

/**
 * A clock that moves only when a test moves it. Timers that fall due together fire in the order of
 * their times.
 */
export class FakeClock implements Clock {
  #now = 0;
  #wall: number;
  readonly #pending = new Set<Pending>();

  constructor(options: { readonly wall?: number } = {}) {
    clockOptions(options, 'FakeClock');
    this.#wall = options.wall ?? Date.UTC(2026, 0, 1);
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#wall;
  }

  after(ms: number, fn: () => void): Timer {
    return this.#add({ dueAt: this.#now + ms, everyMs: null, fn });
  }

  every(ms: number, fn: () => void): Timer {
    return this.#add({ dueAt: this.#now + ms, everyMs: ms, fn });
  }

  /** Number of waiting timers; zero when nothing leaked. */
  get timers(): number {
    return this.#pending.size;
  }

  /** Moves both clocks and fires what falls due on the way, including timers that timers set. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#move(Math.max(next.dueAt, this.#now));
      if (next.everyMs === null) this.#pending.delete(next);
      else next.dueAt += Math.max(next.everyMs, 1);
      next.fn();
    }
    this.#move(end);
  }

  /** Moves only the wall clock, as when it is set or a machine wakes up; no timer notices. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  /**
   * Moves in steps, with a turn of the loop after each, until `done` settles, for code that waits
   * for timers and sockets in turn. Returns the value of `done`.
   */
  async advanceUntil<Value>(done: Promise<Value>, stepMs: number): Promise<Value> {
    let settled = false;
    const settle = (): void => void (settled = true);
    done.then(settle, settle);
    for (await nextTurn(); !settled; await nextTurn()) this.advance(stepMs);
    return done;
  }

  #add(pending: Pending): Timer {
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  #next(end: number): Pending | undefined {
    let first: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.dueAt <= end && (first === undefined || pending.dueAt < first.dueAt)) first = pending;
    }
    return first;
  }

  #move(to: number): void {
    this.#wall += to - this.#now;
    this.#now = to;
  }
}
