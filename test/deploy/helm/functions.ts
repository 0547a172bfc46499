import { stringify } from 'yaml';

export type Value = string | number | boolean | null | undefined | readonly Value[] | { readonly [name: string]: Value };
export type Callable = (...args: readonly Value[]) => Value;

export function isMap(value: Value): value is { readonly [name: string]: Value } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** False, 0, nil and what is empty count as false, as in Go's templates. */
export function isTrue(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return isMap(value) ? Object.keys(value).length > 0 : Boolean(value);
}

/** What Go prints; refuses what its text could be another than that of JavaScript. */
export function printed(value: Value): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  throw new Error(`${JSON.stringify(value)}: this renderer prints texts, truths and whole numbers below a million`);
}

function text(value: Value): string {
  if (typeof value !== 'string') throw new Error(`${JSON.stringify(value)} is not a text`);
  return value;
}

function whole(value: Value): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new Error(`${JSON.stringify(value)} is not a whole number`);
  return value;
}

function map(value: Value): { readonly [name: string]: Value } {
  if (!isMap(value)) throw new Error(`${JSON.stringify(value)} is not a map`);
  return value;
}

function quoted(value: Value): string {
  const plain = printed(value);
  if (!/^[ -~]*$/.test(plain)) throw new Error(`${JSON.stringify(plain)}: this renderer quotes ASCII only`);
  return JSON.stringify(plain);
}

function format(pattern: string, values: readonly Value[]): string {
  let at = 0;
  const made = pattern.replaceAll(/%(.)/g, (all, verb: string) => {
    const value = values[at++];
    if (verb === 's') return text(value);
    if (verb === 'd') return String(whole(value));
    if (verb === 'q') return quoted(text(value));
    throw new Error(`printf: ${all} is unknown to this renderer`);
  });
  if (at !== values.length) throw new Error(`printf ${JSON.stringify(pattern)}: ${values.length} values`);
  return made;
}

function same(a: Value, b: Value): boolean {
  if (typeof a !== typeof b || typeof a === 'object')
    throw new Error(`eq ${JSON.stringify(a)} ${JSON.stringify(b)}: another type`);
  return a === b;
}

/** Sorts keys, as the YAML of Helm has them. */
function sorted(value: Value): Value {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

const indented = (count: Value, value: Value): string => text(value).replaceAll(/^/gm, ' '.repeat(whole(count)));

/**
 * The functions that the chart uses, of Go's templates, of sprig and of Helm. `and`, `or` and
 * `include` are in the evaluation.
 */
export const FUNCTIONS: Readonly<Record<string, Callable>> = {
  add: (...values) => values.reduce<number>((sum, value) => sum + whole(value), 0),
  contains: (part, value) => text(value).includes(text(part)),
  default: (otherwise, value) => (isTrue(value) ? value : otherwise),
  eq: same,
  fail: (message) => {
    throw new Error(text(message));
  },
  int: (value) => (typeof value === 'string' ? Number.parseInt(value, 10) || 0 : whole(value ?? 0)),
  list: (...values) => values,
  lt: (a, b) => whole(a) < whole(b),
  mul: (...values) => values.reduce<number>((product, value) => product * whole(value), 1),
  ne: (a, b) => !same(a, b),
  nindent: (count, value) => `\n${indented(count, value)}`,
  not: (value) => !isTrue(value),
  omit: (value, ...names) => Object.fromEntries(Object.entries(map(value)).filter(([name]) => !names.includes(name))),
  printf: (pattern, ...values) => format(text(pattern), values),
  quote: (value) => (value === undefined || value === null ? '' : quoted(value)),
  regexFind: (pattern, value) => new RegExp(text(pattern)).exec(text(value))?.[0] ?? '',
  toYaml: (value) => stringify(sorted(value), { lineWidth: 0, aliasDuplicateObjects: false }).trimEnd(),
  trimSuffix: (suffix, value) =>
    text(value).endsWith(text(suffix)) ? text(value).slice(0, text(value).length - text(suffix).length) : text(value),
  trunc: (length, value) => text(value).slice(0, whole(length)),
};
