import type { Refusal } from '../base/refusal.ts';
import { refuse } from '../base/refusal.ts';
import type { ClientClaims } from '../model/client.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { authoriseClaims } from './authorise.ts';
import type { Allowed } from './authorise.ts';
import { choose } from './choose.ts';
import type { Target } from './choose.ts';
import { route } from './route.ts';

export interface Facts {
  /** The SNI as sent, null where there was none. */
  readonly serverName: string | null;
  /** Null on a passthrough route, and where no certificate was given. */
  readonly client: ClientClaims | null;
  readonly view: EndpointView;
}

export type Decision =
  | { readonly kind: 'allowed'; readonly route: Route; readonly allowed: Allowed; readonly targets: readonly Target[] }
  | { readonly kind: 'refused'; readonly route: Route | null; readonly refusal: Refusal };

/**
 * The whole judgement: route, authorise, choose, in the order in which traffic calls them as the
 * facts arrive.
 */
export function decide(snapshot: Snapshot, facts: Facts): Decision {
  const found = route(snapshot, facts.serverName);
  if (found.kind === 'refusal') return { kind: 'refused', route: null, refusal: found };
  const nobody = missingIdentity(snapshot, found);
  if (nobody !== null) return { kind: 'refused', route: found, refusal: nobody };
  const allowed = authoriseClaims(found, facts.client);
  if (allowed.kind === 'refusal') return { kind: 'refused', route: found, refusal: allowed };
  const cluster = snapshot.clusters.get(found.cluster);
  if (cluster === undefined) return { kind: 'refused', route: found, refusal: missingCluster(found) };
  const chosen = choose(found, cluster, facts.view);
  if (chosen.kind === 'refusal') return { kind: 'refused', route: found, refusal: chosen };
  return { kind: 'allowed', route: found, allowed, targets: chosen.targets };
}

/**
 * Where the mTLS of a mesh cannot be ended with what was written of it, nobody gets as far as a
 * handshake.
 */
export function missingIdentity({ meshes }: Snapshot, found: Route): Refusal | null {
  if (found.kind !== 'terminate' || found.unsupported !== undefined) return null;
  const identity = meshes.get(found.mesh)?.identity;
  if (identity?.kind !== 'none') return null;
  return refuse('identity-unavailable', `there is no certificate for mesh ${found.mesh}: ${identity.why}`);
}

/** A control plane may take a cluster away some milliseconds before the chain that uses it. */
export function missingCluster(found: Route): Refusal {
  return refuse('no-endpoint', `the cluster ${found.cluster} of ${found.destination} is not there`);
}
