/** Counts by size, in Envoy's default buckets. */
export const ENVOY_BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000,
];

export class EnvoyHistogram {
  /** One per bucket, and one for values above the last. */
  readonly counts: number[] = new Array<number>(ENVOY_BUCKETS.length + 1).fill(0);
  count = 0;
  sum = 0;

  static sum(all: readonly EnvoyHistogram[]): EnvoyHistogram {
    const [one, ...others] = all;
    if (one !== undefined && others.length === 0) return one;
    const whole = new EnvoyHistogram();
    for (const each of all) {
      whole.count += each.count;
      whole.sum += each.sum;
      for (const [i, count] of each.counts.entries()) whole.counts[i] = (whole.counts[i] ?? 0) + count;
    }
    return whole;
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < ENVOY_BUCKETS.length && value > (ENVOY_BUCKETS[bucket] ?? Infinity)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.count++;
    this.sum += value;
  }

  /**
   * Estimates the quantile of `share` in [0, 1] between the ends of its bucket; 0 without
   * observations. Envoy keeps finer buckets and is more exact.
   */
  quantile(share: number): number {
    const rank = share * this.count;
    let below = 0;
    for (const [bucket, count] of this.counts.entries()) {
      if (count > 0 && below + count >= rank) {
        const from = ENVOY_BUCKETS[bucket - 1] ?? 0;
        const to = ENVOY_BUCKETS[bucket] ?? from;
        return from + (to - from) * ((rank - below) / count);
      }
      below += count;
    }
    return 0;
  }
}
