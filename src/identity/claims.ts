import type { ClientClaims } from '../model/client.ts';
import { meshName } from '../model/names.ts';
import type { MeshName, SpiffeId } from '../model/names.ts';
import { claimsSpiffe, parseSpiffeId } from './spiffe.ts';

/**
 * Reads what a certificate with these URI names would claim, without proof. Returns a sentence
 * where every mesh would refuse the names.
 */
export function claimsOf(uris: readonly string[]): ClientClaims | string {
  const spiffeIds: SpiffeId[] = [];
  let mesh: MeshName | null = null;
  for (const uri of uris.filter(claimsSpiffe)) {
    const parsed = parseSpiffeId(uri);
    if (parsed.kind === 'invalid') return `${JSON.stringify(uri)} is no SPIFFE id: ${parsed.why}`;
    if (mesh !== null && mesh !== parsed.trustDomain)
      return `a client has ids of one mesh only, these are of ${mesh} and ${parsed.trustDomain}`;
    mesh = meshName(parsed.trustDomain);
    spiffeIds.push(parsed.id);
  }
  if (mesh === null) return 'a client carries a SPIFFE id, e.g. spiffe://default/frontend';
  return { mesh, spiffeIds, uris, issuer: '', expiry: '' };
}
