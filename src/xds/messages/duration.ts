import type { Duration } from '@bufbuild/protobuf/wkt';

/** Returns whole milliseconds; undefined where none was sent. */
export function milliseconds(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : Math.round(Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000);
}

export function isPositive({ seconds, nanos }: Duration): boolean {
  return seconds > 0n || (seconds === 0n && nanos > 0);
}
