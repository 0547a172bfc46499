/**
 * The judgement: route, authorise, choose. No other code calls these three. A session, `explain`
 * and `simulate` take the stages below as their facts arrive; each stage takes the result of the
 * one before it, so no other order compiles.
 */
import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import type { ClientClaims, VerifiedClient } from '../model/client.ts';
import type { Cluster } from '../model/cluster.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import { identityOf } from '../model/route.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { authorise, authoriseClaims } from './authorise.ts';
import type { Allowed } from './authorise.ts';
import { choose } from './choose.ts';
import type { Chosen, Target } from './choose.ts';
import { routeOf } from './route.ts';

/** Result of the first stage: the route of the hello in this configuration. */
export interface RoutedHello {
  readonly kind: 'routed';
  readonly snapshot: Snapshot;
  readonly route: Route;
}

/** Result of the second stage: the client may use the route. */
export interface AdmittedClient extends Omit<RoutedHello, 'kind'> {
  readonly kind: 'admitted';
  readonly allowed: Allowed;
}

/** Returns what is known of a cluster's endpoints at this moment. */
export type ViewOf = (cluster: Cluster) => EndpointView;

/** The first stage. `serverName` is the SNI as the client sent it, null without an SNI. */
export function findRoute(snapshot: Snapshot, serverName: string | null): RoutedHello | Refusal {
  const found = routeOf(snapshot, serverName);
  return found.kind === 'refusal' ? found : { kind: 'routed', snapshot, route: found };
}

/**
 * Returns the refusal that every client of this route gets, so that the egress need not ask for a
 * certificate; null where the client decides.
 */
export function refusesEveryClient({ snapshot, route }: RoutedHello): Refusal | null {
  if (route.unsupported === undefined) return missingIdentity(snapshot, route);
  const judged = authorise(route, null);
  return judged.kind === 'refusal' ? judged : null;
}

/** The second stage. `client` is null on a passthrough route. */
export function admit(routed: RoutedHello, client: VerifiedClient | null): AdmittedClient | Refusal {
  return admitClaims(routed, client);
}

/** The second stage for claims that are not proved. Traffic uses `admit`. */
export function admitClaims(routed: RoutedHello, client: ClientClaims | null): AdmittedClient | Refusal {
  const { snapshot, route } = routed;
  const allowed = refusesEveryClient(routed) ?? authoriseClaims(route, client);
  return allowed.kind === 'refusal' ? allowed : { kind: 'admitted', snapshot, route, allowed };
}

/**
 * Returns the cluster of the third stage. A control plane may remove a cluster some milliseconds
 * before the filter chain that uses it.
 */
export function clusterOf({ snapshot, route }: AdmittedClient): Cluster | Refusal {
  const cluster = snapshot.clusters.get(route.cluster);
  return cluster ?? refuse('no-endpoint', `the cluster ${route.cluster} of ${route.destination} is not there`);
}

/**
 * The third stage: the targets of the cluster that `clusterOf` returned, in the order to try them.
 */
export function chooseEndpoints({ route }: AdmittedClient, cluster: Cluster, view: EndpointView): Chosen | Refusal {
  return choose(route, cluster, view);
}

export interface DecisionFacts {
  /** The SNI as the client sent it, null without an SNI. */
  readonly serverName: string | null;
  /** Null on a passthrough route, and for a client without a certificate. */
  readonly client: ClientClaims | null;
  readonly viewOf: ViewOf;
}

export type Decision =
  | { readonly kind: 'allowed'; readonly route: Route; readonly allowed: Allowed; readonly targets: readonly Target[] }
  | { readonly kind: 'refused'; readonly route: Route | null; readonly refusal: Refusal };

/** Makes the whole judgement at once, when all facts are known. */
export function decide(snapshot: Snapshot, { serverName, client, viewOf }: DecisionFacts): Decision {
  const routed = findRoute(snapshot, serverName);
  if (routed.kind === 'refusal') return { kind: 'refused', route: null, refusal: routed };
  const { route } = routed;
  const admitted = admitClaims(routed, client);
  if (admitted.kind === 'refusal') return { kind: 'refused', route, refusal: admitted };
  const cluster = clusterOf(admitted);
  if ('kind' in cluster) return { kind: 'refused', route, refusal: cluster };
  const chosen = chooseEndpoints(admitted, cluster, viewOf(cluster));
  if (chosen.kind === 'refusal') return { kind: 'refused', route, refusal: chosen };
  return { kind: 'allowed', route, allowed: admitted.allowed, targets: chosen.targets };
}

/** Refuses a route whose mesh has no usable identity: its mTLS cannot be terminated. */
function missingIdentity({ meshes }: Snapshot, route: Route): Refusal | null {
  if (route.kind !== 'terminate') return null;
  const identity = meshes.get(identityOf(route))?.identity;
  if (identity?.kind !== 'none') return null;
  return refuse('identity-unavailable', `there is no certificate for mesh ${route.mesh}: ${identity.why}`);
}
