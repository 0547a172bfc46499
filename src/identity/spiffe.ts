import { spiffeId } from '../model/names.ts';
import type { SpiffeId } from '../model/names.ts';

export type ParsedSpiffeId =
  | { readonly kind: 'spiffe'; readonly id: SpiffeId; readonly trustDomain: string; readonly path: string }
  | { readonly kind: 'invalid'; readonly why: string };

const SCHEME = 'spiffe://';
const MAX_BYTES = 2_048;
const MAX_TRUST_DOMAIN = 255;

/**
 * Parses SPIFFE-ID sections 2.1 to 2.3, with one addition: a path may hold `:`, as a tag value of
 * Kuma may. It normalises nothing: an id that differs in one byte is another identity, and an id
 * that needs decoding is refused. `path` begins with its slash.
 */
export function parseSpiffeId(text: string): ParsedSpiffeId {
  if (text.length > MAX_BYTES) return invalid(`it has ${text.length} bytes (limit ${MAX_BYTES})`);
  if (!text.startsWith(SCHEME)) return invalid('it does not begin with spiffe:// in lower case');
  const slash = text.indexOf('/', SCHEME.length);
  const trustDomain = slash === -1 ? text.slice(SCHEME.length) : text.slice(SCHEME.length, slash);
  if (trustDomain === '') return invalid('it has no trust domain');
  if (trustDomain.length > MAX_TRUST_DOMAIN) return invalid(`its trust domain is longer than ${MAX_TRUST_DOMAIN} bytes`);
  if (!/^[a-z0-9._-]+$/.test(trustDomain)) return invalid('its trust domain holds more than a-z, 0-9, `.`, `-` and `_`');
  if (slash === -1) return invalid('it has no path');
  const path = text.slice(slash);
  if (!/^[A-Za-z0-9._:/-]+$/.test(path)) return invalid('its path holds more than letters, digits, `.`, `-`, `_` and `:`');
  for (const segment of path.slice(1).split('/')) {
    if (segment === '') return invalid('its path has an empty segment');
    if (segment === '.' || segment === '..') return invalid('its path has a dot segment');
  }
  return { kind: 'spiffe', id: spiffeId(text), trustDomain, path };
}

/**
 * Tells whether a URI has the scheme of a SPIFFE id in any spelling. Such a URI must be a valid id.
 */
export function claimsSpiffe(uri: string): boolean {
  return /^\s*spiffe:/i.test(uri);
}

function invalid(why: string): ParsedSpiffeId {
  return { kind: 'invalid', why };
}
