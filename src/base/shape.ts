/**
 * Checks the options that a caller passes. Callers from JavaScript have no compiler that finds a
 * misspelt option. Each check throws a TypeError that names the place and the nearest valid name.
 * An option that is undefined counts as absent.
 */
import { didYouMean } from './did-you-mean.ts';
import { quote } from './key-material.ts';

export type Check = (value: unknown, at: string) => void;

/**
 * One check for each option of a type; the compiler asks for a check when a new option is added.
 */
export type ShapeChecks<Of> = { readonly [Key in keyof Required<Of>]: Check };

/**
 * Checks for an object with these options and no others. The options in `needs` must be present.
 */
export function options<Of extends object>(checks: ShapeChecks<Of>, needs: readonly (keyof Of & string)[] = []): Check {
  const allowed = new Map<string, Check>(Object.entries(checks));
  return (value, at) => {
    if (!isObject(value) || Array.isArray(value)) throw wrong(value, at, 'an object with options');
    for (const [key, given] of Object.entries(value)) {
      const check = allowed.get(key);
      if (check === undefined)
        throw new TypeError(
          `${at}: unknown option ${shown(key)}${didYouMean(key, allowed.keys())} (allowed: ${[...allowed.keys()].join(', ')})`,
        );
      if (given !== undefined) check(given, within(at, key));
    }
    for (const key of needs)
      if ((value as Record<string, unknown>)[key] === undefined) throw new TypeError(`${at}: ${key} is missing`);
  };
}

export const text: Check = (value, at) => {
  if (typeof value !== 'string') throw wrong(value, at, 'a text');
};

/** A text with at least one character. */
export const name: Check = (value, at) => {
  if (typeof value !== 'string' || value === '') throw wrong(value, at, 'a name');
};

export const flag: Check = (value, at) => {
  if (typeof value !== 'boolean') throw wrong(value, at, 'true or false');
};

/** Checks an option that is either switched off by `false` or has options of its own. */
export const isFalse: Check = (value, at) => {
  if (value !== false) throw wrong(value, at, 'false, or an object with options');
};

export const callback: Check = (value, at) => {
  if (typeof value !== 'function') throw wrong(value, at, 'a function');
};

/** Checks for a number that is neither negative nor infinite. */
export const amount: Check = (value, at) => {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw wrong(value, at, 'a number from 0 on');
};

export function whole(least: number, most: number): Check {
  return (value, at) => {
    if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return;
    throw wrong(value, at, `a whole number from ${least} ${most === Infinity ? 'on' : `to ${most}`}`);
  };
}

export const port: Check = whole(0, 65_535);

export function oneOf(values: readonly string[]): Check {
  return (value, at) => {
    if (typeof value === 'string' && values.includes(value)) return;
    const hint = typeof value === 'string' ? didYouMean(value, values) : '';
    throw new TypeError(`${at} ${shown(value)}: allowed are ${values.join(', ')}${hint}`);
  };
}

export function listOf(check: Check): Check {
  return (value, at) => {
    if (!Array.isArray(value)) throw wrong(value, at, 'a list');
    for (const [i, each] of (value as readonly unknown[]).entries()) check(each, `${at}[${i}]`);
  };
}

/** Checks an object whose keys are names that the caller chooses. */
export function byName(check: Check): Check {
  return (value, at) => {
    if (!isObject(value) || Array.isArray(value)) throw wrong(value, at, 'an object');
    for (const [key, each] of Object.entries(value)) if (each !== undefined) check(each, within(at, key));
  };
}

/** Checks for an object with these methods, e.g. a clock. It may have other fields too. */
export function having(what: string, ...methods: readonly string[]): Check {
  return (value, at) => {
    if (isObject(value) && methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')) return;
    throw wrong(value, at, what);
  };
}

/** Checks for a Map whose keys are texts. */
export function mapOf(check: Check): Check {
  return (value, at) => {
    if (!(value instanceof Map)) throw wrong(value, at, 'a Map');
    for (const [key, each] of value as ReadonlyMap<unknown, unknown>) {
      if (typeof key !== 'string') throw wrong(key, `${at}: a key`, 'a text');
      check(each, within(at, key));
    }
  };
}

/** Picks the check by the field `kind` of the value. */
export function byKind(what: string, checks: Readonly<Record<string, Check>>): Check {
  return (value, at) => {
    if (!isObject(value) || Array.isArray(value)) throw wrong(value, at, what);
    const { kind } = value as { readonly kind?: unknown };
    oneOf(Object.keys(checks))(kind, within(at, 'kind'));
    checks[kind as string]?.(value, at);
  };
}

type Kind = 'string' | 'number' | 'boolean' | 'list' | 'object' | 'function';

/**
 * Picks the check by the type of the value. The error for an object then lists the options of an
 * object, and does not mention that a text is allowed too.
 */
export function either(what: string, checks: Readonly<Partial<Record<Kind, Check>>>): Check {
  return (value, at) => {
    const check = checks[kindOf(value)];
    if (check === undefined) throw wrong(value, at, what);
    check(value, at);
  };
}

export const anything: Check = () => undefined;

function kindOf(value: unknown): Kind {
  if (Array.isArray(value)) return 'list';
  const type = typeof value;
  return type === 'string' || type === 'number' || type === 'boolean' || type === 'function' ? type : 'object';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Joins the path to an option, as in `createFakeEgress: external.api.tls`. */
function within(at: string, key: string): string {
  return `${at}${at.includes(': ') ? '.' : ': '}${key}`;
}

function wrong(value: unknown, at: string, wanted: string): TypeError {
  return new TypeError(`${at}: ${shown(value)} is not allowed: ${wanted} is wanted`);
}

/** Shows a value in an error, but never a key or a certificate that stands in the wrong place. */
function shown(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'a list';
  return isObject(value) ? 'an object' : String(value);
}
