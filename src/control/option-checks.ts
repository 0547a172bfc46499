/** Checks of options that `startEgress` and the fakes share. */
import { amount, flag, having, listOf, options, text } from '../base/shape.ts';
import type { Check, ShapeChecks } from '../base/shape.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../model/settings.ts';
import type { TrafficSettings } from '../model/settings.ts';

export const clock: Check = having('a clock: now(), wall(), after(), every()', 'now', 'wall', 'after', 'every');
export const signal: Check = having('an AbortSignal', 'addEventListener', 'removeEventListener', 'throwIfAborted');

/** Each setting has the type of its default. */
export const traffic: Check = options<TrafficSettings>(
  Object.fromEntries(
    Object.entries<number | boolean | readonly string[]>(
      DEFAULT_TRAFFIC_SETTINGS as unknown as Record<string, number | boolean | readonly string[]>,
    ).map(([key, value]) => [key, checkFor(value)]),
  ) as unknown as ShapeChecks<TrafficSettings>,
);

function checkFor(value: number | boolean | readonly string[]): Check {
  return typeof value === 'number' ? amount : typeof value === 'boolean' ? flag : listOf(text);
}
