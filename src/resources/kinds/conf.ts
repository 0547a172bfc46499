/**
 * Reads values that occur in the configuration of policies, with Kuma's messages for the errors.
 */
import { MAX_INT32 } from '../fields.ts';
import type { Fields } from '../fields.ts';
import { headerProblem } from '../http.ts';
import type { HeaderChange } from '../http.ts';

/** Reads a uint32 of Kuma; undefined where the field is absent. */
export function positive(fields: Fields | undefined, name: string): number | undefined {
  const count = fields?.count(name);
  if (count === 0) fields?.error(name, 'must be greater than 0');
  return count;
}

/** Reads an int32 of Kuma, which has another message for the same error. */
export function positiveWhenDefined(fields: Fields, name: string): number | undefined {
  const count = fields.count(name, MAX_INT32);
  if (count === 0) fields.error(name, 'must be greater than zero when defined');
  return count;
}

export function wholePercent(fields: Fields | undefined, name: string): number | undefined {
  const count = fields?.count(name);
  if (count !== undefined && count > 100) fields?.error(name, 'must be in inclusive range [0, 100]');
  return count;
}

export function percent(fields: Fields | undefined, name: string): number | undefined {
  const value = fields?.decimal(name);
  if (value !== undefined && (value < 0 || value > 100)) fields?.error(name, 'must be in inclusive range [0.0, 100.0]');
  return value;
}

/** Reads a duration above zero, in milliseconds. */
export function positiveDuration(fields: Fields | undefined, name: string): number | undefined {
  const ms = duration(fields, name);
  if (ms !== undefined && ms <= 0) fields?.error(name, 'must be greater than zero when defined');
  return ms;
}

/** Reads a Go duration like `1m30s`, in milliseconds. */
export function duration(fields: Fields | undefined, name: string): number | undefined {
  const text = fields?.text(name);
  if (text === undefined) return undefined;
  const ms = parseGoDuration(text);
  if (ms === null) fields?.error(name, 'must be a duration such as 10s, 500ms or 1m30s');
  return ms ?? undefined;
}

const KIB: Readonly<Record<string, number>> = { k: 1, m: 1_000, g: 1_000_000 };

/**
 * Reads a bandwidth like `50 kbps` as Kuma gives it to Envoy, which counts KiB a second; at least
 * 1.
 */
export function bandwidthOf(text: string): number {
  const [, number = '', unit = ''] = /^(\d*)\s?([gmk])/i.exec(text) ?? [];
  return Math.max(1, Number(number) * (KIB[unit.toLowerCase()] ?? 1));
}

export function oneOfTexts<const Value extends string>(
  fields: Fields,
  name: string,
  allowed: readonly Value[],
): Value | undefined {
  const text = fields.text(name);
  const found = allowed.find((value) => value === text);
  if (text !== undefined && found === undefined) fields.error(name, `must be one of ${allowed.join(', ')}`);
  return found;
}

/** Reads the name and the value of a header from these fields. */
export function headerOf(fields: Fields, nameField = 'name', valueField = 'value'): Omit<HeaderChange, 'append'> {
  const name = (fields.text(nameField) ?? '').toLowerCase();
  const value = fields.text(valueField) ?? '';
  if (name !== '') {
    const [ofName, ofValue] = [headerProblem(name, ''), headerProblem('x', value)];
    if (ofName !== null) fields.error(nameField, ofName);
    if (ofValue !== null) fields.error(valueField, ofValue);
  }
  return { name, value };
}

const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function parseGoDuration(text: string): number | null {
  if (/^[+-]?0$/.test(text)) return 0;
  if (!/^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return null;
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/g)) {
    ms += Number(number) * (UNIT_MS[unit ?? ''] ?? 0);
  }
  return text.startsWith('-') ? -ms : ms;
}

/** Leaves out fields that were not written, so that a merge keeps the value of another policy. */
export function written<Conf extends object>(conf: { [Name in keyof Required<Conf>]: Conf[Name] | undefined }): Conf;
export function written(conf: object): object {
  return Object.fromEntries(Object.entries(conf).filter(([, value]) => value !== undefined));
}
