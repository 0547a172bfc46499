import type { EventEmitter } from 'node:events';
import type { Clock, Timer } from './clock.ts';

/**
 * Holds what one session (or server) owns: listeners, timers, and what else was handed to `add`.
 * `end` releases it in reverse order and may be called again; what is added after the end is
 * released at once.
 */
export class Scope {
  readonly #clock: Clock;
  #releases: (() => void)[] = [];
  #ended = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get ended(): boolean {
    return this.#ended;
  }

  add(release: () => void): void {
    if (this.#ended) release();
    else this.#releases.push(release);
  }

  on<Args extends unknown[]>(emitter: EventEmitter, event: string, listener: (...args: Args) => void): void {
    const plain = listener as (...args: unknown[]) => void;
    emitter.on(event, plain);
    this.add(() => emitter.removeListener(event, plain));
  }

  after(ms: number, fn: () => void): Timer {
    const timer = this.#clock.after(ms, fn);
    this.add(() => timer.cancel());
    return timer;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const releases = this.#releases;
    this.#releases = [];
    for (let i = releases.length - 1; i >= 0; i--) releases[i]?.();
  }
}
