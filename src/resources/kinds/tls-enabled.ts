import type { Origin } from '../../model/compiled.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';

/** TLS settings, with whether they are in use. */
export interface WrittenTls<Tls> {
  /** Null for plain TCP. */
  readonly tls: Tls | null;
  /**
   * The place of TLS settings that are not in use because `enabled` is absent, which Kuma reads as
   * false. Null without such settings.
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

/** The value without any TLS settings. */
export const PLAIN: WrittenTls<never> = { tls: null, unusedTls: null };
