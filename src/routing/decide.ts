/**
 * The judgement: route, authorise, choose. Each is called here and nowhere else. A session,
 * `explain` and `simulate` take the three stages below as their facts arrive; a stage takes what
 * the one before it has given, so no other order compiles.
 */
import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import type { ClientClaims, VerifiedClient } from '../model/client.ts';
import type { Cluster } from '../model/cluster.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { authorise, authoriseClaims } from './authorise.ts';
import type { Allowed } from './authorise.ts';
import { choose } from './choose.ts';
import type { Chosen, Target } from './choose.ts';
import { routeOf } from './route.ts';

/** After the first stage: where the hello leads, in this configuration. */
export interface RoutedHello {
  readonly kind: 'routed';
  readonly snapshot: Snapshot;
  readonly route: Route;
}

/** After the second stage: this client may use the route. */
export interface AdmittedClient extends Omit<RoutedHello, 'kind'> {
  readonly kind: 'admitted';
  readonly allowed: Allowed;
}

/** What is known of a cluster's endpoints at this moment. */
export type ViewOf = (cluster: Cluster) => EndpointView;

/** The first stage. `serverName` is the SNI as it was sent, null where there was none. */
export function findRoute(snapshot: Snapshot, serverName: string | null): RoutedHello | Refusal {
  const found = routeOf(snapshot, serverName);
  return found.kind === 'refusal' ? found : { kind: 'routed', snapshot, route: found };
}

/**
 * What refuses every client of this route, so that none is asked for its certificate; null where
 * the client decides.
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

/** The second stage for a client that is asked about. Traffic takes `admit`. */
export function admitClaims(routed: RoutedHello, client: ClientClaims | null): AdmittedClient | Refusal {
  const { snapshot, route } = routed;
  const allowed = refusesEveryClient(routed) ?? authoriseClaims(route, client);
  return allowed.kind === 'refusal' ? allowed : { kind: 'admitted', snapshot, route, allowed };
}

/**
 * The cluster of the third stage. A control plane may take a cluster away some milliseconds before
 * the chain that uses it.
 */
export function clusterOf({ snapshot, route }: AdmittedClient): Cluster | Refusal {
  const cluster = snapshot.clusters.get(route.cluster);
  return cluster ?? refuse('no-endpoint', `the cluster ${route.cluster} of ${route.destination} is not there`);
}

/** The third stage: the targets of the cluster that `clusterOf` gave, in the order to try them. */
export function chooseEndpoints({ route }: AdmittedClient, cluster: Cluster, view: EndpointView): Chosen | Refusal {
  return choose(route, cluster, view);
}

export interface DecisionFacts {
  /** The SNI as sent, null where there was none. */
  readonly serverName: string | null;
  /** Null on a passthrough route, and where no certificate was given. */
  readonly client: ClientClaims | null;
  readonly viewOf: ViewOf;
}

export type Decision =
  | { readonly kind: 'allowed'; readonly route: Route; readonly allowed: Allowed; readonly targets: readonly Target[] }
  | { readonly kind: 'refused'; readonly route: Route | null; readonly refusal: Refusal };

/** The whole judgement, where all facts are known. */
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

/** The mTLS of a mesh cannot be ended with what was written of its identity. */
function missingIdentity({ meshes }: Snapshot, route: Route): Refusal | null {
  if (route.kind !== 'terminate') return null;
  const identity = meshes.get(route.mesh)?.identity;
  if (identity?.kind !== 'none') return null;
  return refuse('identity-unavailable', `there is no certificate for mesh ${route.mesh}: ${identity.why}`);
}
