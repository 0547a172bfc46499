import type { ClientClaims } from '../model/client.ts';
import type { SpiffeId } from '../model/names.ts';
import { claimsSpiffe, parseSpiffeId } from './spiffe.ts';

/** The names of a client, before it is known which mesh trusts its trust domain. */
export interface ClaimedNames {
  readonly trustDomain: string;
  readonly claims: Omit<ClientClaims, 'mesh'>;
}

/**
 * Reads what a certificate with these URI names would claim, without proof. Returns a sentence
 * where every mesh would refuse the names.
 */
export function claimsOf(uris: readonly string[]): ClaimedNames | string {
  const spiffeIds: SpiffeId[] = [];
  let trustDomain: string | null = null;
  for (const uri of uris.filter(claimsSpiffe)) {
    const parsed = parseSpiffeId(uri);
    if (parsed.kind === 'invalid') return `${JSON.stringify(uri)} is no SPIFFE id: ${parsed.why}`;
    if (trustDomain !== null && trustDomain !== parsed.trustDomain)
      return `a client has ids of one mesh only, these are of ${trustDomain} and ${parsed.trustDomain}`;
    trustDomain = parsed.trustDomain;
    spiffeIds.push(parsed.id);
  }
  if (trustDomain === null) return 'a client carries a SPIFFE id, e.g. spiffe://default/frontend';
  return { trustDomain, claims: { spiffeIds, uris, issuer: '', expiry: '' } };
}
