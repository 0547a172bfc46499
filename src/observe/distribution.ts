/** A histogram of seconds with, where they are wanted, one example for each bucket. */

/** An observation that can be looked up: the id of its session or request. */
export interface Exemplar {
  readonly id: string;
  readonly value: number;
  /** Seconds since the Unix epoch. */
  readonly at: number;
}

export class Distribution {
  readonly bounds: readonly number[];
  /** One for each bound, and one for what is above the last. */
  readonly counts: number[];
  readonly exemplars: (Exemplar | undefined)[] = [];
  count = 0;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  /** `at` in milliseconds since the Unix epoch; without an `id` there is no example of it. */
  observe(seconds: number, id = '', at = 0): void {
    let bucket = 0;
    while (bucket < this.bounds.length && seconds > (this.bounds[bucket] ?? Infinity)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.count++;
    this.sum += seconds;
    if (id !== '') this.exemplars[bucket] = { id, value: seconds, at: at / 1e3 };
  }
}
