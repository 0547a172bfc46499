const SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };

/** Reads a duration of Go, such as 1m30s. */
export function durationSeconds(text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text))
    throw new Error(`KUMA_DATAPLANE_DRAIN_TIME ${JSON.stringify(text)}: allowed is a duration such as 30s or 1m30s`);
  let sum = 0;
  for (const [, number = '', unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    sum += Number(number) * (SECONDS[unit] ?? 0);
  return sum;
}
