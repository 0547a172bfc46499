import { innerMap } from '../../base/inner-map.ts';
import { NORMAL_ENDS } from '../../base/refusal.ts';
import type { EndReason } from '../../base/refusal.ts';
import type { RefusalFact } from './alarm-facts.ts';

const SLICE_MS = 10_000;
const SLICES = 6;
/** The past fades with this time. */
const HOUR_MS = 3_600_000;
/** The shortest past that a rate is compared with. */
const LEAST_PAST_MS = 280_000;
/** Ends that are not about a destination. */
const NO_REFUSALS: ReadonlySet<string> = new Set(['client-gone', 'drained', ...Object.keys(NORMAL_ENDS)]);

interface Rate {
  /** Refusals of the last slices of time, the newest first. */
  readonly slices: number[];
  readonly reasons: Map<EndReason, number>;
  /** Sum of refusals before the last minute, faded. */
  past: number;
}

/** The refusals of each destination, now and in its past. */
export class RefusalRates {
  readonly #rates = new Map<string, Map<string, Rate>>();
  /** When the present slice began; monotonic. */
  #sliceAt: number;
  /** The length of the past, faded as its sums are. */
  #pastMs = 0;

  constructor(now: number) {
    this.#sliceAt = now;
  }

  /** Counts a refused session or request. Others cost nothing. */
  add({ reason, mesh, destination }: { readonly reason: EndReason; readonly mesh: string; readonly destination: string }): void {
    if (NO_REFUSALS.has(reason)) return;
    const ofMesh = innerMap(this.#rates, mesh);
    const known = ofMesh.get(destination);
    const rate: Rate = known ?? { slices: Array.from({ length: SLICES }, () => 0), reasons: new Map(), past: 0 };
    if (known === undefined) ofMesh.set(destination, rate);
    rate.slices[0] = (rate.slices[0] ?? 0) + 1;
    rate.reasons.set(reason, (rate.reasons.get(reason) ?? 0) + 1);
  }

  /** Returns those that refused in the last minute; none while the past is too short. */
  list(now: number): readonly RefusalFact[] {
    for (; now - this.#sliceAt >= SLICE_MS; this.#sliceAt += SLICE_MS) this.#turn();
    if (this.#pastMs < LEAST_PAST_MS) return [];
    return [...this.#rates].flatMap(([mesh, ofMesh]) =>
      [...ofMesh].flatMap(([destination, { slices, reasons, past }]) => {
        const inLastMinute = sum(slices);
        if (inLastMinute === 0) return [];
        const [[commonest] = ['']] = [...reasons].sort(([, a], [, b]) => b - a);
        const subject = destination === '' ? NO_DESTINATION : `${mesh}/${destination}`;
        return [{ subject, inLastMinute, usual: (past / this.#pastMs) * SLICES * SLICE_MS, commonest }];
      }),
    );
  }

  /** Begins the next slice; the oldest becomes the past. */
  #turn(): void {
    const fade = Math.exp(-SLICE_MS / HOUR_MS);
    this.#pastMs = this.#pastMs * fade + SLICE_MS;
    for (const [mesh, ofMesh] of this.#rates) {
      for (const [destination, rate] of ofMesh) {
        rate.past = rate.past * fade + (rate.slices.pop() ?? 0);
        rate.slices.unshift(0);
        for (const [reason, count] of rate.reasons)
          if (count > 1) rate.reasons.set(reason, count * (1 - 1 / SLICES));
          else rate.reasons.delete(reason);
        if (rate.past < 0.01 && sum(rate.slices) === 0) ofMesh.delete(destination);
      }
      if (ofMesh.size === 0) this.#rates.delete(mesh);
    }
  }
}

const NO_DESTINATION = 'connections without a route';

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}
