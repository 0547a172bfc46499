/**
 * A bucket of tokens is one number: the moment when it was empty, in microseconds since the Unix
 * epoch; what has passed since is what is in it. 0 is a full one.
 */
export interface BucketTake {
  readonly admitted: boolean;
  /** What the bucket is then. */
  readonly next: number;
  /** The clock went back since; the bucket begins anew. */
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
  // Rounded in favour of the client, so that a third of an interval three times is an interval.
  const admitted = now - empty >= Math.floor(one);
  return { admitted, next: admitted ? Math.floor(empty + one) : empty, isAhead: seen > now };
}
