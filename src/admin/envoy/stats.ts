/** Arranges existing counts as Envoy's statistics; it counts nothing itself. */
import { nextTurn } from '../../base/clock.ts';
import { BREAKER_DEFAULTS } from '../../model/cluster.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { MeshCredentials } from '../../model/credentials.ts';
import type { ClusterCounters } from '../../observe/traffic-counters.ts';
import { codeScopes, httpScopes, addHttp } from './http-stats.ts';
import type { HttpChain } from './http-stats.ts';
import { readableCertificates } from './certificates.ts';
import { chainName, hostsOf, statName } from './facts.ts';
import type { ControlFacts, EnvoyFacts, ListenerAt } from './facts.ts';
import {
  CLUSTER_MANAGER_STATS,
  CLUSTER_STATS,
  CONTROL_PLANE_STATS,
  COUNT,
  LEVEL,
  judgementsOf,
  LISTENER_MANAGER_STATS,
  LISTENER_STATS,
  RATE_LIMIT_STATS,
  RBAC_STATS,
  SERVER_STATS,
  SUBSCRIPTION_STATS,
  TCP_STATS,
  TLS_INSPECTOR_STATS,
  WORKER_STATS,
} from './stat-tables.ts';
import { scope } from './stat-scope.ts';
import type { Labels, StatScope } from './stat-scope.ts';

export interface TextStat {
  readonly name: string;
  readonly text: string;
}

export interface EnvoyStats {
  /** Keyed by prefix. */
  readonly scopes: readonly StatScope[];
  readonly texts: readonly TextStat[];
}

const BATCH = 250;
const DAY_MS = 24 * 3_600_000;
/** Envoy's value without a certificate. */
const NO_CERTIFICATE = 4_294_967_295;
const STATES: Readonly<Record<string, number>> = { LIVE: 0, TERMINATING: 1, DRAINING: 1, PRE_INITIALIZING: 2, INITIALIZING: 3 };

/** Ten thousand clusters take some 100 ms, so it lets others run in between. */
export async function envoyStats(facts: EnvoyFacts): Promise<EnvoyStats> {
  const control = facts.control();
  const { routes, clusters } = facts.snapshot();
  const [clients] = facts.listeners();
  const scopes: StatScope[] = [...serverScopes(facts), ...(control === null ? [] : controlScopes(control))];
  scopes.push(scope('cluster_manager.', 'cluster_manager', [], CLUSTER_MANAGER_STATS, { active: clusters.size, warming: 0 }));
  for (const cluster of clusters.values()) {
    scopes.push(...clusterScopes(facts, cluster, control));
    if (scopes.length % BATCH === 0) await nextTurn();
  }
  const tcp = new Map<string, ClusterCounters[]>();
  const http = new Map<string, HttpChain>();
  const rbac = new Map<string, ClusterCounters[]>();
  const limited = new Map<string, ClusterCounters[]>();
  const seen = new Set<string>();
  for (const route of routes.values()) {
    if (seen.has(route.cluster)) continue;
    seen.add(route.cluster);
    const counters = facts.traffic.cluster(route.cluster);
    const name = chainName(route);
    const isHttp = facts.servesHttp && route.kind === 'terminate' && route.http !== undefined;
    if (isHttp) addHttp(http, name, { route: route.http, counters, active: facts.use(route.cluster).requests });
    else add(tcp, name, counters);
    if (route.kind === 'terminate' && !(isHttp && route.http.answersDenied)) add(rbac, name, counters);
    if (route.kind === 'terminate' && route.rateLimit !== undefined) add(limited, name, counters);
  }
  for (const [name, all] of tcp) scopes.push(scope(`tcp.${name}.`, 'tcp', [['envoy_tcp_prefix', name]], TCP_STATS, all));
  scopes.push(...httpScopes(http));
  for (const [name, all] of rbac)
    scopes.push(
      scope(
        `${name}.rbac.`,
        'rbac',
        [
          ['envoy_rbac_prefix', name],
          ['listener', name],
        ],
        RBAC_STATS,
        judgementsOf(all, 'connections'),
      ),
    );
  for (const [name, all] of limited)
    scopes.push(
      scope(
        `local_rate_limit.${name}.`,
        'local_rate_limit',
        [['envoy_local_network_ratelimit_prefix', name]],
        RATE_LIMIT_STATS,
        all,
      ),
    );
  if (clients !== undefined) scopes.push(...listenerScopes(facts, clients));
  scopes.sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
  return { scopes, texts: control === null ? [] : texts(control) };
}

function clusterScopes(facts: EnvoyFacts, cluster: Cluster, control: ControlFacts | null): readonly StatScope[] {
  const name = statName(cluster.name);
  const counters = facts.traffic.cluster(cluster.name);
  const { connections: open, pending, requests } = facts.use(cluster.name);
  const { http } = counters;
  const isHttp = http.requests > 0 || requests > 0;
  const hosts = hostsOf(facts, cluster);
  const endpoints = control?.state.endpoints.has(cluster.name) === true ? control.status.types.endpoint : null;
  const stats = {
    counters,
    open,
    pending,
    requests,
    isHttp,
    speaks: cluster.http ?? 'http1',
    total: counters.tried.of(counters.attempts + http.attempts, isHttp ? 0 : open),
    carried: counters.carried.of(counters.connected + http.sent, isHttp ? requests : Math.max(0, open - pending)),
    hosts: hosts.length,
    healthy: hosts.filter(({ health }) => health === 'healthy').length,
    ejected: hosts.filter(({ health }) => health === 'ejected').length,
    heaviest: hosts.reduce((most, { target }) => Math.max(most, target.endpoint.weight), 0),
    limits: { ...BREAKER_DEFAULTS, ...cluster.circuitBreaker },
    updates: endpoints?.accepted ?? 0,
    rejected: endpoints?.rejected ?? 0,
  };
  const labels: Labels = [['envoy_cluster_name', name]];
  return [
    scope(`cluster.${name}.`, 'cluster', labels, CLUSTER_STATS, stats, [
      { name: 'upstream_cx_connect_ms', histogram: counters.connectMs },
      { name: 'upstream_cx_length_ms', histogram: counters.lengthMs },
      ...(isHttp ? [{ name: 'upstream_rq_time', histogram: http.serviceTimeMs }] : []),
    ]),
    ...codeScopes({ prefix: `cluster.${name}.upstream_rq_`, family: 'cluster_upstream_rq', labels }, http.upstream),
  ];
}

function listenerScopes(facts: EnvoyFacts, { address, port }: ListenerAt): readonly StatScope[] {
  const counters = facts.traffic.listener;
  const open = facts.sessions();
  const at = `${address.includes(':') ? `[${address}]` : address}_${port}`;
  const labels: Labels = [['envoy_listener_address', at]];
  const prefix = `listener.${at}.`;
  const stats = { counters, open, total: counters.taken.of(counters.ended, open) };
  const histograms = [{ name: 'downstream_cx_length_ms', histogram: counters.lengthMs }];
  const certificates = facts.credentials().flatMap((credentials) => expiries(credentials));
  return [
    scope(prefix, 'listener', labels, LISTENER_STATS, stats, histograms),
    scope('tls_inspector.', 'tls_inspector', [], TLS_INSPECTOR_STATS, counters),
    ...[...counters.tlsVersions].map(([version, count]) =>
      scope(
        `${prefix}ssl.versions.${version}`,
        'listener_ssl_versions',
        [['envoy_ssl_version', version], ...labels],
        COUNT,
        count,
      ),
    ),
    ...certificates.map(({ name, seconds }) =>
      scope(
        `${prefix}ssl.certificate.${name}.expiration_unix_time_seconds`,
        'listener_ssl_certificate_expiration_unix_time_seconds',
        [['envoy_tls_certificate', name], ...labels],
        LEVEL,
        seconds,
      ),
    ),
  ];
}

/** Returns the expiries under the names of a control plane's secrets. */
function expiries(credentials: MeshCredentials): readonly { readonly name: string; readonly seconds: number }[] {
  const { mesh, notAfter } = credentials;
  const identity = { name: `identity_cert:secret:${mesh}`, seconds: Math.floor(notAfter / 1e3) };
  const ca = caExpiry(credentials);
  return ca === null ? [identity] : [identity, { name: `mesh_ca:secret:${mesh}`, seconds: Math.floor(ca / 1e3) }];
}

const expiryOf = new WeakMap<MeshCredentials, number | null>();

/**
 * Returns the expiry of the first CA, in milliseconds since the Unix epoch; null where it cannot be
 * read.
 */
function caExpiry(credentials: MeshCredentials): number | null {
  const known = expiryOf.get(credentials);
  if (known !== undefined) return known;
  const [ca] = readableCertificates(credentials.trust);
  const expiry = ca === undefined ? null : Date.parse(ca.validTo);
  expiryOf.set(credentials, expiry);
  return expiry;
}

function serverScopes(facts: EnvoyFacts): readonly StatScope[] {
  const { ok, text } = facts.ready();
  const memory = facts.memory();
  const listeners = facts.listeners().length;
  const stats = {
    uptimeSeconds: Math.floor(facts.uptimeMs() / 1e3),
    concurrency: facts.workers,
    isLive: ok,
    state: STATES[text] ?? 3,
    daysToExpiry: daysToExpiry(facts),
    ...memory,
    connections: facts.sessions(),
  };
  const managed = { active: listeners, draining: text === 'TERMINATING' ? 1 : 0 };
  return [
    scope('server.', 'server', [], SERVER_STATS, stats),
    scope('listener_manager.', 'listener_manager', [], LISTENER_MANAGER_STATS, managed),
    ...Array.from({ length: facts.workers }, (_, worker) => {
      const labels: Labels = [
        ['envoy_worker_id', String(worker)],
        ['worker', String(worker)],
      ];
      return scope(`server.worker_${worker}.`, 'server', labels, WORKER_STATS, null);
    }),
  ];
}

function daysToExpiry(facts: EnvoyFacts): number {
  const all = facts.credentials();
  if (all.length === 0) return NO_CERTIFICATE;
  const first = Math.min(...all.map(({ notAfter }) => notAfter));
  return Math.max(0, Math.floor((first - facts.now()) / DAY_MS));
}

function controlScopes({ status, state }: ControlFacts): readonly StatScope[] {
  const latest = (held: ReadonlyMap<string, { readonly updatedAt: number }>): number =>
    [...held.values()].reduce((last, { updatedAt }) => Math.max(last, updatedAt), 0);
  const subscription = (prefix: string, family: string, of: 'cluster' | 'listener', updatedAt: number): StatScope =>
    scope(prefix, family, [], SUBSCRIPTION_STATS, { type: status.types[of], updatedAt });
  const secrets = [...state.secrets.values()].map(({ name, updatedAt }) => {
    const resource = statName(name);
    return scope(`sds.${resource}.`, 'sds', [['envoy_xds_resource_name', resource]], SUBSCRIPTION_STATS, {
      type: status.types.secret,
      updatedAt,
    });
  });
  return [
    scope('control_plane.', 'control_plane', [], CONTROL_PLANE_STATS, status),
    subscription('cluster_manager.cds.', 'cluster_manager_cds', 'cluster', latest(state.clusters)),
    subscription('listener_manager.lds.', 'listener_manager_lds', 'listener', latest(state.listeners)),
    ...secrets,
  ];
}

function texts({ status, state }: ControlFacts): readonly TextStat[] {
  const { cluster, endpoint, listener, secret } = status.types;
  const found: TextStat[] = [
    ...[...state.endpoints.keys()].map((name) => ({ name: `cluster.${statName(name)}.version_text`, text: endpoint.version })),
    { name: 'cluster_manager.cds.version_text', text: cluster.version },
    { name: 'listener_manager.lds.version_text', text: listener.version },
    ...[...state.secrets.keys()].map((name) => ({ name: `sds.${statName(name)}.version_text`, text: secret.version })),
  ];
  return found.filter(({ text }) => text !== '').sort((a, b) => (a.name < b.name ? -1 : 1));
}

function add<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
