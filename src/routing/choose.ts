import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import type { Cluster, Endpoint } from '../model/cluster.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { Route } from '../model/route.ts';
import { addressClass, isForbiddenWhenResolved, sameAddress } from './addresses.ts';
import { roundRobinOrder } from './balancers/round-robin.ts';

/** One address to dial for an endpoint. */
export interface Target {
  readonly endpoint: Endpoint;
  readonly ip: string;
}

export interface Chosen {
  readonly kind: 'chosen';
  /** In the order to try; at least one. */
  readonly targets: readonly Target[];
}

/** The endpoints of a cluster that this route may use now, in the order to try: lower priorities first, by weight within one. */
export function choose(route: Route, cluster: Cluster, view: EndpointView): Chosen | Refusal {
  const subset = route.kind === 'passthrough' ? route.subset : {};
  const refusals: Refusal[] = [];
  const byPriority = new Map<number, Target[]>();
  for (const endpoint of cluster.endpoints) {
    if (endpoint.weight <= 0 || !carries(endpoint, subset)) continue;
    for (const resolved of addressesOf(endpoint, view)) {
      const checked = typeof resolved === 'string' ? check(endpoint, resolved, view) : resolved;
      if (checked.kind === 'refusal') refusals.push(checked);
      else push(byPriority, endpoint.priority, checked.target);
    }
  }
  const targets = [...byPriority.entries()].sort(([a], [b]) => a - b).flatMap(([, group]) => ordered(group, view.turn));
  if (targets.length > 0) return { kind: 'chosen', targets };
  return refusals[0] ?? refuse('no-endpoint', nothing(route, cluster));
}

function ordered(group: readonly Target[], turn: number): readonly Target[] {
  if (group.length < 2) return group;
  const order = roundRobinOrder(
    group.map(({ endpoint }) => endpoint.weight),
    turn,
  );
  return order.flatMap((index) => group[index] ?? []);
}

function carries(endpoint: Endpoint, subset: Readonly<Record<string, string>>): boolean {
  for (const tag in subset) {
    if (endpoint.tags[tag] !== subset[tag]) return false;
  }
  return true;
}

function addressesOf(endpoint: Endpoint, view: EndpointView): readonly (string | Refusal)[] {
  const { address } = endpoint;
  if (address.kind === 'ip') return [address.ip];
  const answer = view.names.get(address.name);
  if (answer === undefined) return [refuse('dns-failed', `${address.name} has not been resolved yet`)];
  if (answer.kind === 'failed') return [refuse('dns-failed', `resolve ${address.name}: ${answer.message}`)];
  return answer.addresses;
}

function check(endpoint: Endpoint, ip: string, view: EndpointView): { kind: 'target'; target: Target } | Refusal {
  const { address, port } = endpoint;
  if (address.kind === 'name' && isForbiddenWhenResolved(ip, view.allowedResolved)) {
    return refuse('forbidden-address', `${address.name} resolved to ${ip}, which no name may lead to`);
  }
  for (const own of view.ownListeners) {
    if (own.port === port && isOwn(own.ip, ip, view)) return refuse('forbidden-address', `${ip}:${port} is the egress itself`);
  }
  return { kind: 'target', target: { endpoint, ip } };
}

function isOwn(listenerIp: string, ip: string, view: EndpointView): boolean {
  if (sameAddress(listenerIp, ip)) return true;
  const target = addressClass(ip);
  // Whoever dials the unspecified address reaches this machine's loopback.
  if (target === 'unspecified') return true;
  const everywhere = addressClass(listenerIp) === 'unspecified';
  return everywhere && (target === 'loopback' || view.localAddresses.has(ip));
}

function nothing(route: Route, cluster: Cluster): string {
  if (cluster.endpoints.length === 0) return `${route.destination} has no endpoint`;
  const subset = route.kind === 'passthrough' ? Object.entries(route.subset) : [];
  if (subset.length === 0) return `all ${cluster.endpoints.length} endpoints of ${route.destination} have weight 0`;
  return `no endpoint of ${route.destination} carries ${subset.map(([tag, value]) => `${tag}=${value}`).join(', ')}`;
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
