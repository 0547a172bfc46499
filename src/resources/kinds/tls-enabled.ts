import type { Origin } from '../../model/compiled.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';

/** TLS settings, and whether they count. */
export interface WrittenTls<Tls> {
  /** Null: plain TCP. */
  readonly tls: Tls | null;
  /**
   * Where there are settings that do not count, because nothing is said of `enabled`: Kuma's
   * default is no. Null: nowhere.
   */
  readonly unusedTls: { readonly at: Origin; readonly path: string } | null;
}

export function ifEnabled<Tls>(fields: Fields, others: readonly string[], tls: Tls): WrittenTls<Tls> {
  if (fields.flag('enabled') === true) return { tls, unusedTls: null };
  const isForgotten = !fields.has('enabled') && others.some((name) => fields.has(name));
  return { tls: null, unusedTls: isForgotten ? { at: fields.at, path: `${fields.path}.enabled` } : null };
}

export function tellUnused({ unusedTls }: WrittenTls<unknown>, findings: Findings): void {
  const message = 'is not set: the connection is not encrypted, and nothing else that is written here counts';
  if (unusedTls !== null) findings.warn(unusedTls.at, unusedTls.path, message);
}

/** Where nothing is written. */
export const PLAIN: WrittenTls<never> = { tls: null, unusedTls: null };
