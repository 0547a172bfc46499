import type { Clock, Timer } from '../../base/clock.ts';
import { oneLine } from '../../base/plain-text.ts';

/** Receives the lines about changes. */
export interface AuditLog {
  /** Writes at each level of the log, and counts the outcome. */
  line(outcome: 'made' | 'probed' | 'refused', fields: Readonly<Record<string, string | number>>, message: string): void;
}

/** Lines about refusals in a window; the next line has the number of those that were left out. */
const BURST = 10;
const WINDOW_MS = 10_000;
const MAX_TEXT = 256;

/** Writes one line for each change, and for each refused one up to a rate. */
export class ChangeAudit {
  readonly #clock: Clock;
  readonly #log: AuditLog;
  #windowAt = -Infinity;
  #lines = 0;
  #leftOut = 0;
  #telling: Timer | null = null;

  constructor(clock: Clock, log: AuditLog) {
    this.#clock = clock;
    this.#log = log;
  }

  made(change: string, by: string, what: string): void {
    this.#log.line('made', { change, by: short(by), what: short(what) }, 'a change was made over an admin listener');
  }

  probed(change: string, by: string, what: string): void {
    this.#log.line('probed', { change, by: short(by), what: short(what) }, 'endpoints were dialled for an operator');
  }

  refused(change: string, by: string, why: string): void {
    const now = this.#clock.now();
    if (now - this.#windowAt >= WINDOW_MS) {
      this.#windowAt = now;
      this.#lines = 0;
    }
    if (this.#lines++ < BURST)
      return this.#log.line('refused', { change, by: short(by), why: short(why) }, 'a change over an admin listener was refused');
    this.#leftOut++;
    this.#telling ??= this.#clock.after(WINDOW_MS, () => this.#tell());
  }

  #tell(): void {
    this.#telling = null;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    this.#log.line('refused', { leftOut }, 'refused changes were left out of the log');
  }
}

function short(text: string): string {
  return oneLine(text).slice(0, MAX_TEXT);
}
