import { BREAKER_DEFAULTS } from '../model/cluster.ts';
import type { Cluster } from '../model/cluster.ts';
import type { EndpointHealth, EndpointView } from '../model/endpoint-view.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { DestinationFact, LimitFact } from '../observe/alarms/alarm-facts.ts';
import { unsupportedPart } from '../routing/authorise.ts';
import { candidates, noCandidates } from '../routing/candidates.ts';
import type { DialFacts } from '../routing/candidates.ts';

export interface DestinationParts {
  readonly view: DialFacts;
  /** The endpoints that are not healthy, by cluster and key. */
  readonly health: ReadonlyMap<string, ReadonlyMap<string, EndpointHealth>>;
  /** Counts open connections of a cluster. */
  readonly connections: (cluster: string) => number;
}

export interface TroubledDestinations {
  readonly destinations: readonly DestinationFact[];
  readonly limits: readonly LimitFact[];
}

/** Finds the destinations that can serve no client now, and how full their clusters are. */
export function* troubledDestinations(
  { routes, clusters }: Snapshot,
  parts: DestinationParts,
): Generator<void, TroubledDestinations> {
  const destinations = new Map<string, DestinationFact>();
  const limits: LimitFact[] = [];
  for (const route of routes.values()) {
    yield;
    const fact = destinationFact(route, clusters.get(route.cluster), parts);
    if (fact !== null) destinations.set(`${fact.name} ${fact.subject}`, fact);
  }
  for (const { name, circuitBreaker } of clusters.values()) {
    yield;
    const used = parts.connections(name);
    const limit = circuitBreaker?.maxConnections ?? BREAKER_DEFAULTS.maxConnections;
    if (used > 0) limits.push({ subject: `connections of ${name}`, used, limit });
  }
  return { destinations: [...destinations.values()], limits };
}

function destinationFact(route: Route, cluster: Cluster | undefined, parts: DestinationParts): DestinationFact | null {
  const subject = `${route.mesh}/${route.destination}`;
  const unsupported = route.unsupported ?? (route.kind === 'terminate' ? unsupportedPart(route.permission) : null);
  if (unsupported !== null) return { name: 'policy-unsupported', subject, why: unsupported };
  if (cluster === undefined) return { name: 'no-endpoint', subject, why: `there is no cluster ${route.cluster}` };
  if (cluster.broken !== undefined) return { name: 'destination-broken', subject, why: cluster.broken };
  const health = parts.health.get(cluster.name);
  const view: EndpointView = { ...parts.view, turn: 0, ...(health === undefined ? {} : { health }) };
  const { levels, refusal } = candidates(route, cluster, view);
  if (levels.length === 0) return { name: 'no-endpoint', subject, why: refusal?.detail ?? noCandidates(route, cluster) };
  if (levels.some(({ healthy }) => healthy.length > 0)) return null;
  const count = levels.reduce((sum, { all }) => sum + all.length, 0);
  return {
    name: 'endpoints-unhealthy',
    subject,
    why: `${count === 1 ? 'its one endpoint is' : `its ${count} endpoints are`} unhealthy or ejected`,
  };
}
