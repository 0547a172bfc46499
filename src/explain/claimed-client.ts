import { refuse } from '../base/refusal.ts';
import type { ClientClaims } from '../model/client.ts';
import { meshName } from '../model/names.ts';
import { identityOf } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { findRoute } from '../routing/decide.ts';
import { inQuotes } from '../routing/route.ts';
import type { ClientFacts } from './facts.ts';

/**
 * Resolves the mesh of a client that is asked about: its SPIFFE ids name a trust domain, which is
 * the mesh itself unless the mesh of the route has trust domains of its own. An id of another
 * domain than those is refused as traffic refuses its certificate.
 */
export function claimedClient(
  snapshot: Snapshot,
  serverName: string | null,
  claimed: { readonly trustDomain: string; readonly claims: Omit<ClientClaims, 'mesh'> },
): ClientFacts {
  const { trustDomain, claims } = claimed;
  const routed = findRoute(snapshot, serverName);
  const route = routed.kind === 'routed' && routed.route.kind === 'terminate' ? routed.route : null;
  const domains = route === null ? undefined : snapshot.meshes.get(identityOf(route))?.trustDomains;
  if (route === null || domains === undefined) return { kind: 'claims', claims: { ...claims, mesh: meshName(trustDomain) } };
  if (domains.some(({ name }) => name === trustDomain)) return { kind: 'claims', claims: { ...claims, mesh: route.mesh } };
  const { spiffeIds, issuer, expiry } = claims;
  const detail = `the client has the id ${inQuotes(spiffeIds[0] ?? '')}, and mesh ${route.mesh} trusts ${domains.map(({ name }) => name).join(', ')}`;
  return { kind: 'rejected', refusal: refuse('wrong-mesh', detail, 'names'), certificate: { spiffeIds, issuer, expiry } };
}
