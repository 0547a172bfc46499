/**
 * One step of a token bucket. A bucket is one number: the moment when it was empty, in microseconds
 * since the Unix epoch; the time since then is its content. 0 is a full bucket.
 */
export interface BucketTake {
  readonly admitted: boolean;
  /** The bucket after the step. */
  readonly next: number;
  /** True when the clock went back since: the bucket starts anew. */
  readonly isAhead: boolean;
}

/** Takes a token of the bucket `seen`, which holds `tokens` and fills up in `intervalMs`. */
export function takeToken(
  seen: number,
  at: { readonly wallMs: number; readonly tokens: number; readonly intervalMs: number },
): BucketTake {
  const now = Math.round(at.wallMs * 1_000);
  const whole = at.intervalMs * 1_000;
  const one = whole / at.tokens;
  const empty = Math.min(now, Math.max(seen, now - whole));
  // Rounds in favour of the client, so that three thirds of an interval are an interval.
  const admitted = now - empty >= Math.floor(one);
  return { admitted, next: admitted ? Math.floor(empty + one) : empty, isAhead: seen > now };
}
