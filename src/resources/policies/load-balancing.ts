import { BALANCING_DEFAULTS } from '../../model/cluster.ts';
import type { Balancer, Cluster, Endpoint } from '../../model/cluster.ts';
import type { HttpRoute } from '../../model/http-route.ts';
import type { Failover, LoadBalancerConf, LocalityConf, StrategyConf } from '../kinds/mesh-load-balancing-strategy.ts';
import { ZONE_TAG } from '../tags.ts';
import type { Feature } from './not-yet.ts';

/**
 * Makes the fields that a MeshLoadBalancingStrategy sets in the cluster of a MeshExternalService:
 * how endpoints are picked, not which zone comes first.
 */
export function balancingFields({ loadBalancer, localityAwareness }: StrategyConf): Partial<Cluster> {
  const balancer = loadBalancer === undefined ? null : balancerOf(loadBalancer);
  const weighted = (localityAwareness?.localZone?.affinityTags ?? []).length > 0;
  return { ...(balancer === null ? {} : { balancer }), ...(weighted ? { localityWeighting: true } : {}) };
}

/**
 * Returns the hash policies of the chosen balancer, as Kuma does. TCP has no hash, so its pick is
 * random.
 */
export function hashPolicies({ loadBalancer, hashPolicies: own }: StrategyConf): Pick<HttpRoute, 'hashPolicies'> {
  const { type, ringHash, maglev } = loadBalancer ?? {};
  const list =
    type === 'RingHash' ? (own ?? ringHash?.hashPolicies) : type === 'Maglev' ? (own ?? maglev?.hashPolicies) : undefined;
  return list === undefined || list.length === 0 ? {} : { hashPolicies: list };
}

export function balancingFeatures(conf: StrategyConf, protocol: string): readonly Feature[] {
  return protocol !== 'tcp' && hashPolicies(conf).hashPolicies !== undefined ? ['HTTP hash policies'] : [];
}

/** Tells whether a policy only orders zones. */
export function inertBalancing({ loadBalancer, localityAwareness }: StrategyConf): string {
  const isWeighted = (localityAwareness?.localZone?.affinityTags ?? []).length > 0;
  return loadBalancer === undefined && !isWeighted ? 'the endpoints of a MeshExternalService are in no zone' : '';
}

/** Round robin is the default anyway. */
export function serviceFeatures({ loadBalancer }: StrategyConf): readonly Feature[] {
  return loadBalancer?.type === undefined || loadBalancer.type === 'RoundRobin' ? [] : ['loadBalancer of services'];
}

function balancerOf({ type, leastRequest, ringHash, maglev }: LoadBalancerConf): Balancer | null {
  switch (type) {
    case undefined:
    case 'RoundRobin':
      return type === undefined ? null : { kind: 'round-robin' };
    case 'LeastRequest': {
      const bias = leastRequest?.activeRequestBias;
      return {
        kind: 'least-request',
        choiceCount: leastRequest?.choiceCount ?? BALANCING_DEFAULTS.choiceCount,
        ...(bias === undefined ? {} : { activeRequestBias: bias }),
      };
    }
    case 'Random':
      return { kind: 'random' };
    case 'RingHash': {
      const minimumRingSize = ringHash?.minRingSize ?? BALANCING_DEFAULTS.minimumRingSize;
      return {
        kind: 'ring-hash',
        minimumRingSize,
        maximumRingSize: Math.max(minimumRingSize, ringHash?.maxRingSize ?? BALANCING_DEFAULTS.maximumRingSize),
        hashFunction: ringHash?.hashFunction === 'MurmurHash2' ? 'murmur-hash-2' : 'xx-hash',
      };
    }
    case 'Maglev':
      return { kind: 'maglev', tableSize: maglev?.tableSize ?? BALANCING_DEFAULTS.tableSize };
    default:
      return type satisfies never;
  }
}

/**
 * Applies a policy to the endpoints of a `kuma.io/service`. Those of other zones come second,
 * unless locality awareness is disabled. With rules between zones, each endpoint gets the priority
 * of the first rule for its zone, and one without a rule is left out. Affinity inside a zone
 * depends on the client's tags, which an egress does not have.
 */
export function withLocality({ localityAwareness }: StrategyConf, cluster: Cluster, here: string): Cluster {
  const isAware = localityAwareness?.disabled !== true;
  const endpoints = cluster.endpoints.map((endpoint) => {
    const zone = endpoint.tags[ZONE_TAG];
    return zone === undefined || zone === here ? endpoint : { ...endpoint, priority: isAware ? 1 : 0 };
  });
  if (localityAwareness?.localZone === undefined && localityAwareness?.crossZone === undefined) return { ...cluster, endpoints };
  const rules = (localityAwareness.crossZone?.failover ?? []).flatMap((rule, i) =>
    rule.from === null || rule.from.includes(here) ? [{ to: rule.to, priority: i + 1 }] : [],
  );
  return {
    ...cluster,
    endpoints: endpoints.flatMap((endpoint): readonly Endpoint[] => {
      const zone = endpoint.tags[ZONE_TAG] ?? '';
      if (zone === here) return [{ ...endpoint, priority: 0, localityWeight: 1 }];
      const rule = rules.find(({ to }) => admits(to, zone));
      return rule === undefined ? [] : [{ ...endpoint, priority: rule.priority }];
    }),
    overprovisioningFactor: overprovisioning(localityAwareness),
  };
}

function admits({ type, zones }: Failover['to'], zone: string): boolean {
  switch (type) {
    case 'Any':
      return true;
    case 'AnyExcept':
      return !zones.includes(zone);
    case 'Only':
      return zones.includes(zone);
    case 'None':
      return false;
    default:
      return type satisfies never;
  }
}

/** Kuma's arithmetic: the factor is a whole number, so every threshold above 50 gives 1. */
function overprovisioning({ crossZone }: LocalityConf): number {
  const threshold = crossZone?.failoverThreshold;
  return threshold === undefined || threshold === 0 ? 2 : Math.trunc(100 / threshold);
}
