import { withoutKeys } from '../../base/key-material.ts';
import type { AlarmFacts } from './alarm-facts.ts';

/** How long an incident counts. */
const LATELY_MS = 600_000;
/** Incidents within this time are counted as one entry. */
const GRAIN_MS = 10_000;

/** Lines of these outputs may be dropped, or what a collector of OpenTelemetry gets. */
export type DroppingOutput = 'log' | 'access log' | 'recording' | 'collector';

/** Counts what went wrong in the last ten minutes. Takes times of the monotonic clock. */
export class Incidents {
  readonly #errors = new LateCount();
  readonly #dropped: Readonly<Record<DroppingOutput, LateCount>> = {
    log: new LateCount(),
    'access log': new LateCount(),
    recording: new LateCount(),
    collector: new LateCount(),
  };
  #lastError = '';

  internalError(message: string, now: number): void {
    this.#errors.add(1, now);
    this.#lastError = withoutKeys(message.split('\n', 1)[0] ?? '');
  }

  dropped(of: DroppingOutput, lines: number, now: number): void {
    this.#dropped[of].add(lines, now);
  }

  facts(now: number): Pick<AlarmFacts, 'dropped' | 'internalErrors'> {
    return {
      internalErrors: { count: this.#errors.count(now), last: this.#lastError },
      dropped: Object.entries(this.#dropped).map(([of, lines]) => ({ of, lines: lines.count(now) })),
    };
  }
}

class LateCount {
  /** The oldest first. */
  readonly #entries: { readonly at: number; number: number }[] = [];

  add(number: number, now: number): void {
    const last = this.#entries.at(-1);
    if (last !== undefined && now - last.at < GRAIN_MS) last.number += number;
    else this.#entries.push({ at: now, number });
  }

  count(now: number): number {
    while ((this.#entries[0]?.at ?? now) < now - LATELY_MS) this.#entries.shift();
    return this.#entries.reduce((sum, { number }) => sum + number, 0);
  }
}
