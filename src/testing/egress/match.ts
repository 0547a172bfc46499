import { inspect } from 'node:util';

/** A value, a pattern, or a function. A list fits when one element fits. */
export type Wanted<Value> =
  RegExp | (Value extends readonly (infer Element)[] ? Element | readonly Element[] : Value) | ((value: Value) => boolean);

/** Fields that an entry must have; other fields are ignored. */
export type Wants<Entry> = { readonly [Key in keyof Entry]?: Wanted<Entry[Key]> };

export interface Mismatch {
  readonly field: string;
  readonly wanted: unknown;
  readonly found: unknown;
}

/** Returns the fields in which `entry` differs from `wants`; empty where it fits. */
export function mismatches<Entry extends object>(wants: Wants<Entry>, entry: Entry): readonly Mismatch[] {
  const found: Mismatch[] = [];
  for (const [field, wanted] of Object.entries(wants)) {
    const value: unknown = (entry as Record<string, unknown>)[field];
    if (wanted !== undefined && !fits(wanted, value)) found.push({ field, wanted, found: value });
  }
  return found;
}

export function show(value: unknown): string {
  if (typeof value === 'function') return 'what the function takes';
  return typeof value === 'string' ? JSON.stringify(value) : inspect(value, { breakLength: Infinity });
}

/** Writes the wanted fields as text. */
export function showWants(wants: object): string {
  const fields = Object.entries(wants).filter(([, wanted]) => wanted !== undefined);
  return fields.length === 0 ? 'of any kind' : fields.map(([field, wanted]) => `${field} ${show(wanted)}`).join(', ');
}

function fits(wanted: unknown, value: unknown): boolean {
  if (typeof wanted === 'function') return (wanted as (value: unknown) => boolean)(value);
  if (Array.isArray(value)) {
    if (Array.isArray(wanted)) return wanted.length === value.length && wanted.every((each, i) => fits(each, value[i]));
    return value.some((element) => fits(wanted, element));
  }
  if (wanted instanceof RegExp) return wanted.test(String(value));
  return Object.is(wanted, value);
}
