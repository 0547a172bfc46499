import { systemClock } from '../../base/clock.ts';
import { amount, options as optionsOf } from '../../base/shape.ts';
import type { Check } from '../../base/shape.ts';
import { mismatches, showWants } from './match.ts';
import type { Wants } from './match.ts';

/**
 * The clock of a test's patience, in real time. It holds the process open, so that the test fails
 * with a message instead of just ending.
 */
const patience = systemClock({ keepAlive: true });

/** Resolves after this many milliseconds of real time. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void patience.after(ms, resolve));
}

/** The default timeout of `waitFor`. */
export const DEFAULT_TIMEOUT_MS = 2_000;

export interface WaitOptions {
  /** Milliseconds of real time, with any injected clock. */
  readonly timeout?: number;
}

export const waitOptions: Check = optionsOf<WaitOptions>({ timeout: amount });

/**
 * All entries so far, oldest first: read it like an array, or follow it with `for await` until the
 * fake is closed.
 */
export interface History<Entry extends object> extends Iterable<Entry>, AsyncIterable<Entry> {
  readonly length: number;
  at(index: number): Entry | undefined;
  /** Returns a copy. */
  toArray(): Entry[];
  /**
   * Resolves with the first entry, past or to come, that fits a function or has the given fields.
   * Rejects with an Error after the timeout.
   */
  waitFor(fits: Fits<Entry>, options?: WaitOptions): Promise<Entry>;
}

export type Fits<Entry extends object> = ((entry: Entry) => boolean) | Wants<Entry>;

export class RecordedHistory<Entry extends object> implements History<Entry> {
  readonly #entries: Entry[] = [];
  readonly #onChange = new Set<() => void>();
  readonly #what: string;
  readonly #check: Check;
  #closed = false;

  /** `what` names an entry in messages; `check` refuses fields that no entry has. */
  constructor(what: string, check: Check) {
    this.#what = what;
    this.#check = check;
  }

  get length(): number {
    return this.#entries.length;
  }

  at(index: number): Entry | undefined {
    return this.#entries.at(index);
  }

  toArray(): Entry[] {
    return [...this.#entries];
  }

  [Symbol.iterator](): Iterator<Entry> {
    return this.#entries[Symbol.iterator]();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Entry> {
    for (let i = 0; ; i++) {
      while (i >= this.#entries.length) {
        if (this.#closed) return;
        await this.#change();
      }
      yield this.#entries[i] as Entry;
    }
  }

  async waitFor(fits: Fits<Entry>, options: WaitOptions = {}): Promise<Entry> {
    if (typeof fits !== 'function') this.#check(fits, 'waitFor');
    waitOptions(options, 'waitFor');
    const { timeout = DEFAULT_TIMEOUT_MS } = options;
    const isIt = typeof fits === 'function' ? fits : (entry: Entry) => mismatches(fits, entry).length === 0;
    const found = await this.find(isIt, timeout);
    if (found !== undefined) return found;
    const why = this.#closed ? 'the fake was closed' : `nothing after ${timeout} ms`;
    const wanted = typeof fits === 'function' ? '' : ` with ${showWants(fits)}`;
    throw new Error(`wait for a ${this.#what}${wanted}: ${why}; there were ${this.#entries.length}, none of which fits`);
  }

  /** Does the same, but resolves with undefined where none came. */
  async find(fits: (entry: Entry) => boolean, timeout: number): Promise<Entry | undefined> {
    let late = false;
    let wake = (): void => undefined;
    const timer = patience.after(timeout, () => {
      late = true;
      wake();
    });
    try {
      for (let i = 0; ; i++) {
        while (i >= this.#entries.length) {
          if (late || this.#closed) return undefined;
          await this.#change((stop) => (wake = stop));
        }
        const entry = this.#entries[i] as Entry;
        if (fits(entry)) return entry;
      }
    } finally {
      timer.cancel();
    }
  }

  add(entry: Entry): void {
    this.#entries.push(entry);
    this.#tell();
  }

  /** Ends all waits: no more entries will come. */
  close(): void {
    this.#closed = true;
    this.#tell();
  }

  #change(started?: (stop: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#onChange.delete(done);
        resolve();
      };
      this.#onChange.add(done);
      started?.(done);
    });
  }

  #tell(): void {
    for (const fn of [...this.#onChange]) fn();
  }
}
