import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import type { Cluster, Endpoint } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { EndpointHealth, EndpointView } from '../model/endpoint-view.ts';
import type { Route } from '../model/route.ts';
import { addressClass, isForbiddenWhenResolved, sameAddress } from './addresses.ts';

/** An address to dial for an endpoint. */
export interface Target {
  readonly endpoint: Endpoint;
  readonly ip: string;
}

/** The addresses of one priority that a route may use. */
export interface Level {
  readonly priority: number;
  readonly all: readonly Target[];
  /** The same list object when all targets are healthy. */
  readonly healthy: readonly Target[];
}

export interface CandidateLevels {
  /** Ordered from the most preferred; no level is empty. */
  readonly levels: readonly Level[];
  /** Why the first skipped address must not be dialled. */
  readonly refusal: Refusal | null;
}

/**
 * Returns what a route may dial now. An endpoint counts when it takes traffic and carries every tag
 * of the route's subset; there is no fallback to other endpoints (Envoy's NO_FALLBACK). Two
 * endpoints with one address stay two: Envoy drops the second, and with it a subset that has only
 * the second.
 */
export function candidates(route: Route, cluster: Cluster, view: EndpointView): CandidateLevels {
  const subset = route.kind === 'passthrough' ? route.subset : {};
  const levels: { priority: number; all: Target[] }[] = [];
  let refusal: Refusal | null = null;
  for (const endpoint of cluster.endpoints) {
    if (endpoint.weight <= 0 || !carries(endpoint, subset)) continue;
    for (const resolved of addressesOf(endpoint, view)) {
      const checked = typeof resolved === 'string' ? check(endpoint, resolved, view) : resolved;
      if (checked.kind === 'refusal') refusal ??= checked;
      else levelOf(levels, endpoint.priority).push(checked.target);
    }
  }
  if (levels.length > 1) levels.sort((a, b) => a.priority - b.priority);
  return { levels: levels.map(({ priority, all }) => ({ priority, all, healthy: healthyOf(all, view) })), refusal };
}

/**
 * Returns every address of a cluster that may be dialled, in any state of health: the list that
 * health checks watch.
 */
export function dialable(cluster: Cluster, view: DialFacts): readonly Target[] {
  return cluster.endpoints.flatMap((endpoint) => {
    if (endpoint.weight <= 0) return [];
    return addressesOf(endpoint, view).flatMap((resolved) => {
      const checked = typeof resolved === 'string' ? check(endpoint, resolved, view) : resolved;
      return checked.kind === 'refusal' ? [] : [checked.target];
    });
  });
}

/** The facts that decide whether an address may be dialled. */
export type DialFacts = Pick<EndpointView, 'names' | 'ownListeners' | 'localAddresses' | 'allowedResolved'>;

/** Writes the sentence of the refusal for a cluster without candidates. */
export function noCandidates(route: Route, cluster: Cluster): string {
  if (cluster.endpoints.length === 0) return `${route.destination} has no endpoint`;
  const subset = route.kind === 'passthrough' ? Object.entries(route.subset) : [];
  if (subset.length === 0) return `all ${cluster.endpoints.length} endpoints of ${route.destination} have weight 0`;
  return `no endpoint of ${route.destination} carries ${subset.map(([tag, value]) => `${tag}=${value}`).join(', ')}`;
}

function levelOf(levels: { priority: number; all: Target[] }[], priority: number): Target[] {
  for (const level of levels) if (level.priority === priority) return level.all;
  const all: Target[] = [];
  levels.push({ priority, all });
  return all;
}

function healthyOf(all: readonly Target[], { health }: EndpointView): readonly Target[] {
  if (health === undefined || health.size === 0) return all;
  const healthy = all.filter(({ endpoint, ip }) => (health.get(addressKey(ip, endpoint.port)) ?? 'healthy') === 'healthy');
  return healthy.length === all.length ? all : healthy;
}

/**
 * Judges one endpoint for a route, for explanations. An endpoint is a target here exactly when
 * `candidates` takes it.
 */
export function examine(route: Route, endpoint: Endpoint, view: EndpointView): readonly Examined[] {
  if (endpoint.weight <= 0) return [{ kind: 'left-out', field: 'weight', wanted: 'above 0', found: String(endpoint.weight) }];
  const subset = route.kind === 'passthrough' ? route.subset : {};
  const tag = missingTag(endpoint, subset);
  if (tag !== null) return [{ kind: 'left-out', field: tag, wanted: subset[tag] ?? '', found: endpoint.tags[tag] ?? '' }];
  return addressesOf(endpoint, view).map((resolved) => {
    const checked = typeof resolved === 'string' ? check(endpoint, resolved, view) : resolved;
    if (checked.kind === 'refusal') return checked;
    const health = view.health?.get(addressKey(checked.target.ip, endpoint.port)) ?? 'healthy';
    return { kind: 'target', target: checked.target, health };
  });
}

export type Examined =
  | { readonly kind: 'target'; readonly target: Target; readonly health: EndpointHealth }
  /** `field` is a tag of the endpoint, or `weight`. */
  | { readonly kind: 'left-out'; readonly field: string; readonly wanted: string; readonly found: string }
  | Refusal;

function carries(endpoint: Endpoint, subset: Readonly<Record<string, string>>): boolean {
  return missingTag(endpoint, subset) === null;
}

function missingTag(endpoint: Endpoint, subset: Readonly<Record<string, string>>): string | null {
  for (const tag in subset) {
    if (endpoint.tags[tag] !== subset[tag]) return tag;
  }
  return null;
}

function addressesOf(endpoint: Endpoint, view: DialFacts): readonly (string | Refusal)[] {
  const { address } = endpoint;
  if (address.kind === 'ip') return [address.ip];
  const answer = view.names.get(address.name);
  if (answer === undefined) return [refuse('dns-failed', `${address.name} has not been resolved yet`)];
  if (answer.kind === 'failed') return [refuse('dns-failed', `resolve ${address.name}: ${answer.message}`)];
  return answer.addresses;
}

function check(endpoint: Endpoint, ip: string, view: DialFacts): { kind: 'target'; target: Target } | Refusal {
  return forbidden(endpoint, ip, view) ?? { kind: 'target', target: { endpoint, ip } };
}

/** Returns why an address of an endpoint must not be dialled; null where it may be. */
export function forbidden({ address, port }: Endpoint, ip: string, view: Omit<DialFacts, 'names'>): Refusal | null {
  if (address.kind === 'name' && isForbiddenWhenResolved(ip, view.allowedResolved)) {
    return refuse('forbidden-address', `${address.name} resolved to ${ip}, which no name may lead to`);
  }
  for (const own of view.ownListeners) {
    if (own.port === port && isOwn(own.ip, ip, view))
      return refuse('forbidden-address', `${addressKey(ip, port)} is the egress itself`);
  }
  return null;
}

function isOwn(listenerIp: string, ip: string, view: Pick<DialFacts, 'localAddresses'>): boolean {
  if (sameAddress(listenerIp, ip)) return true;
  const target = addressClass(ip);
  // A connection to the unspecified address reaches this machine's loopback.
  if (target === 'unspecified') return true;
  const everywhere = addressClass(listenerIp) === 'unspecified';
  return everywhere && (target === 'loopback' || [...view.localAddresses].some((local) => sameAddress(local, ip)));
}
