/**
 * `/clusters`: the clusters of the live configuration and their hosts, with Envoy's keys and order.
 */
import type { LazyJson } from '../../base/lazy-json.ts';
import { BREAKER_DEFAULTS } from '../../model/cluster.ts';
import type { Cluster } from '../../model/cluster.ts';
import { hostsOf, statName } from './facts.ts';
import type { EnvoyFacts, Host } from './facts.ts';

interface HostStat {
  readonly name: string;
  readonly value: number;
  readonly isGauge: boolean;
}

export function* clustersText(facts: EnvoyFacts, matches: (name: string) => boolean): Generator<string> {
  const isFromApi = facts.control() !== null;
  for (const cluster of facts.snapshot().clusters.values()) {
    if (!matches(cluster.name)) continue;
    const lines: [string, string | number | boolean][] = [
      ['observability_name', statName(cluster.name)],
      ...(cluster.outlierDetection === undefined ? [] : OUTLIER),
      ...Object.entries(limitsOf(cluster)).map(([key, value]: readonly [string, number]): [string, number] => [
        `default_priority::${key}`,
        value,
      ]),
      ...Object.entries(HIGH).map(([key, value]: readonly [string, number]): [string, number] => [
        `high_priority::${key}`,
        value,
      ]),
      ['added_via_api', isFromApi],
    ];
    const hosts = hostsOf(facts, cluster);
    for (const host of hosts)
      for (const [key, value] of hostLines(facts, cluster, host, hosts.length)) lines.push([`${host.key}::${key}`, value]);
    yield lines.map(([key, value]) => `${cluster.name}::${key}::${value}\n`).join('');
  }
}

/** Writes `envoy.admin.v3.Clusters`. */
export function clustersJson(facts: EnvoyFacts, matches: (name: string) => boolean): LazyJson {
  const isFromApi = facts.control() !== null;
  const clusters = [...facts.snapshot().clusters.values()].filter(({ name }) => matches(name));
  return { cluster_statuses: clusters.map((cluster) => () => clusterJson(facts, cluster, isFromApi)) };
}

/** Envoy's defaults for high priority, which the egress never uses. */
const HIGH: Limits = { max_connections: 1_024, max_pending_requests: 1_024, max_requests: 1_024, max_retries: 3 };

const OUTLIER: [string, number][] = [
  ['outlier::success_rate_average', -1],
  ['outlier::success_rate_ejection_threshold', -1],
  ['outlier::local_origin_success_rate_average', -1],
  ['outlier::local_origin_success_rate_ejection_threshold', -1],
];

type Limits = {
  readonly max_connections: number;
  readonly max_pending_requests: number;
  readonly max_requests: number;
  readonly max_retries: number;
};

function limitsOf({ circuitBreaker }: Cluster): Limits {
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries } = { ...BREAKER_DEFAULTS, ...circuitBreaker };
  return {
    max_connections: maxConnections,
    max_pending_requests: maxPendingRequests,
    max_requests: maxRequests,
    max_retries: maxRetries,
  };
}

function hostLines(
  facts: EnvoyFacts,
  cluster: Cluster,
  host: Host,
  hosts: number,
): readonly [string, string | number | boolean][] {
  const { endpoint } = host.target;
  const stats = hostStats(facts, cluster, host, hosts).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return [
    ...stats.map(({ name, value }): [string, number] => [name, value]),
    ['hostname', hostname(host)],
    ['health_flags', FLAGS[host.health]],
    ['weight', endpoint.weight],
    ['region', ''],
    ['zone', endpoint.zone],
    ['sub_zone', ''],
    ['canary', false],
    ['priority', endpoint.priority],
    ['success_rate', -1],
    ['local_origin_success_rate', -1],
  ];
}

const FLAGS: Readonly<Record<Host['health'], string>> = {
  healthy: 'healthy',
  unhealthy: '/failed_active_hc',
  ejected: '/failed_outlier_check',
};

/**
 * Ended sessions count at the endpoint that carried them. Open ones are known only by cluster: they
 * are shown where the cluster has one host.
 */
function hostStats(facts: EnvoyFacts, cluster: Cluster, { key }: Host, hosts: number): readonly HostStat[] {
  const counters = facts.traffic.cluster(cluster.name);
  const counted = counters.hosts.get(key);
  const { sessions = 0, failed = 0, requestsGood = 0, requestsBad = 0, requestsLate = 0 } = counted ?? {};
  const { connections, pending, requests } = facts.use(cluster.name);
  const isHttp = counters.http.requests > 0 || requests > 0;
  const active = hosts === 1 ? connections : 0;
  const streams = hosts !== 1 ? 0 : isHttp ? requests : Math.max(0, connections - pending);
  return [
    { name: 'cx_connect_fail', value: failed, isGauge: false },
    { name: 'cx_total', value: sessions + (isHttp ? 0 : active), isGauge: false },
    { name: 'rq_error', value: requestsBad, isGauge: false },
    { name: 'rq_success', value: requestsGood, isGauge: false },
    { name: 'rq_timeout', value: requestsLate, isGauge: false },
    { name: 'rq_total', value: (isHttp ? requestsGood + requestsBad : sessions - failed) + streams, isGauge: false },
    ...(hosts === 1
      ? [
          { name: 'cx_active', value: active, isGauge: true },
          { name: 'rq_active', value: streams, isGauge: true },
        ]
      : []),
  ];
}

function hostname({ target: { endpoint } }: Host): string {
  return endpoint.address.kind === 'name' ? endpoint.address.name : '';
}

function clusterJson(facts: EnvoyFacts, cluster: Cluster, isFromApi: boolean): LazyJson {
  const hosts = hostsOf(facts, cluster);
  return {
    name: cluster.name,
    added_via_api: isFromApi || undefined,
    host_statuses: hosts.length === 0 ? undefined : hosts.map((host) => hostJson(facts, cluster, host, hosts.length)),
    circuit_breakers: {
      thresholds: [{ ...limitsOf(cluster) }, { priority: 'HIGH', ...HIGH }],
    },
    observability_name: statName(cluster.name),
  };
}

function hostJson(facts: EnvoyFacts, cluster: Cluster, host: Host, hosts: number): LazyJson {
  const { endpoint, ip } = host.target;
  return {
    address: { socket_address: { address: ip, port_value: endpoint.port } },
    stats: hostStats(facts, cluster, host, hosts).map(({ name, value, isGauge }) => ({
      type: isGauge ? 'GAUGE' : undefined,
      value: value === 0 ? undefined : String(value),
      name,
    })),
    health_status: {
      failed_active_health_check: host.health === 'unhealthy' || undefined,
      failed_outlier_check: host.health === 'ejected' || undefined,
      eds_health_status: 'HEALTHY',
    },
    weight: endpoint.weight,
    hostname: hostname(host) === '' ? undefined : hostname(host),
    priority: endpoint.priority === 0 ? undefined : endpoint.priority,
    locality: localityJson(endpoint.zone),
  };
}

/**
 * Writes a `ClusterLoadAssignment` of what may be dialled now, as `/config_dump?include_eds` has
 * it.
 */
export function assignmentJson(facts: EnvoyFacts, cluster: Cluster): LazyJson {
  const groups = new Map<string, Host[]>();
  for (const host of hostsOf(facts, cluster)) {
    const { zone, priority } = host.target.endpoint;
    const key = `${priority} ${zone}`;
    groups.set(key, [...(groups.get(key) ?? []), host]);
  }
  const endpoints = [...groups.values()].map((hosts) => {
    const { zone = '', priority = 0, localityWeight = 0 } = hosts[0]?.target.endpoint ?? {};
    return {
      locality: localityJson(zone),
      lb_endpoints: hosts.map(endpointJson),
      load_balancing_weight: localityWeight,
      priority: priority === 0 ? undefined : priority,
    };
  });
  return {
    '@type': 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
    cluster_name: cluster.name,
    endpoints: endpoints.length === 0 ? undefined : endpoints,
    policy: { overprovisioning_factor: Math.round((cluster.overprovisioningFactor ?? 1.4) * 100) },
  };
}

function endpointJson(host: Host): LazyJson {
  const { endpoint, ip } = host.target;
  const name = hostname(host);
  const isTagged = Object.keys(endpoint.tags).length > 0;
  return {
    endpoint: {
      address: { socket_address: { address: ip, port_value: endpoint.port } },
      health_check_config: {},
      hostname: name === '' ? undefined : name,
    },
    health_status: host.health === 'healthy' ? 'HEALTHY' : 'UNHEALTHY',
    metadata: isTagged ? { filter_metadata: { 'envoy.lb': endpoint.tags } } : undefined,
    load_balancing_weight: endpoint.weight,
  };
}

function localityJson(zone: string): LazyJson {
  return zone === '' ? {} : { zone };
}
