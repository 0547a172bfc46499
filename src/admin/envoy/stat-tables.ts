/**
 * Envoy's statistics by scope, with the value of this egress for each. A name that is not listed
 * counts something that happens only inside of Envoy.
 */
import type { ClusterCounters, ListenerCounters } from '../../observe/traffic-counters.ts';
import type { AdsStatus } from '../../xds/stream/ads-client.ts';
import type { TypeStatus } from '../../xds/stream/subscriptions.ts';

export interface StatRow<Of> {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly value: (of: Of) => number;
  /** True shows it with `usedonly` even at 0, as Envoy does with gauges that were set. */
  readonly always?: true;
}

export interface ClusterStats {
  readonly counters: ClusterCounters;
  /** Connections that were tried, and sessions that were carried. */
  readonly total: number;
  readonly carried: number;
  readonly open: number;
  readonly pending: number;
  /** HTTP requests in progress. */
  readonly requests: number;
  /** True when its requests are served one by one: connections and streams are then separate. */
  readonly isHttp: boolean;
  /** The protocol towards its endpoints. */
  readonly speaks: 'http1' | 'http2';
  readonly hosts: number;
  readonly healthy: number;
  readonly ejected: number;
  readonly heaviest: number;
  readonly limits: {
    readonly maxConnections: number;
    readonly maxPendingRequests: number;
    readonly maxRequests: number;
    readonly maxRetries: number;
  };
  /** Updates of the endpoints from a control plane; 0 where it sends none. */
  readonly updates: number;
  readonly rejected: number;
}

function counter<Of>(name: string, value: (of: Of) => number): StatRow<Of> {
  return { name, type: 'counter', value };
}

function gauge<Of>(name: string, value: (of: Of) => number, always?: true): StatRow<Of> {
  return { name, type: 'gauge', value, ...(always === undefined ? {} : { always }) };
}

/** The value of counters that cannot move here. */
function zero(): number {
  return 0;
}

/**
 * Envoy's names. With split errors, Envoy counts rates of connections as local origin; here they
 * count under the plain names.
 */
const DETECTORS = [
  'consecutive_5xx',
  'consecutive_gateway_failure',
  'consecutive_local_origin_failure',
  'success_rate',
  'failure_percentage',
] as const;

function failedDials({ http }: ClusterCounters): number {
  return http.attempts - http.connections;
}

function total(counts: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}

export const CLUSTER_STATS: readonly StatRow<ClusterStats>[] = sorted([
  gauge('circuit_breakers.default.cx_open', ({ open, limits }) => (open >= limits.maxConnections ? 1 : 0), true),
  gauge('circuit_breakers.default.cx_pool_open', zero),
  gauge(
    'circuit_breakers.default.rq_open',
    ({ isHttp, requests, limits }) => (isHttp && requests >= limits.maxRequests ? 1 : 0),
    true,
  ),
  gauge(
    'circuit_breakers.default.rq_pending_open',
    ({ pending, limits }) => (pending >= limits.maxPendingRequests ? 1 : 0),
    true,
  ),
  gauge('circuit_breakers.default.rq_retry_open', zero),
  gauge('circuit_breakers.default.remaining_cx', ({ open, limits }) => Math.max(0, limits.maxConnections - open), true),
  gauge(
    'circuit_breakers.default.remaining_pending',
    ({ pending, limits }) => Math.max(0, limits.maxPendingRequests - pending),
    true,
  ),
  gauge('circuit_breakers.default.remaining_retries', ({ limits }) => limits.maxRetries, true),
  gauge(
    'circuit_breakers.default.remaining_rq',
    ({ open, isHttp, requests, limits }) => Math.max(0, limits.maxRequests - (isHttp ? requests : open)),
    true,
  ),
  gauge('max_host_weight', ({ heaviest }) => heaviest, true),
  gauge('membership_degraded', zero, true),
  gauge('membership_excluded', zero, true),
  gauge('membership_healthy', ({ healthy }) => healthy, true),
  gauge('membership_total', ({ hosts }) => hosts, true),
  gauge('outlier_detection.ejections_active', ({ ejected }) => ejected),
  counter('outlier_detection.ejections_enforced_total', ({ counters }) =>
    [...counters.ejectionsEnforced.values()].reduce((total, count) => total + count, 0),
  ),
  counter('outlier_detection.ejections_overflow', ({ counters }) => counters.ejectionsOverflow),
  ...DETECTORS.flatMap((detector) => [
    counter<ClusterStats>(
      `outlier_detection.ejections_detected_${detector}`,
      ({ counters }) => counters.ejectionsDetected.get(detector) ?? 0,
    ),
    counter<ClusterStats>(
      `outlier_detection.ejections_enforced_${detector}`,
      ({ counters }) => counters.ejectionsEnforced.get(detector) ?? 0,
    ),
  ]),
  counter('ssl.connection_error', ({ counters }) => counters.tlsFailed),
  counter('ssl.fail_verify_error', ({ counters }) => counters.serverNotTrusted),
  counter('ssl.fail_verify_san', ({ counters }) => counters.serverWrongNames),
  counter('ssl.handshake', ({ counters }) => counters.tlsHandshakes),
  counter('update_attempt', ({ updates, rejected }) => updates + rejected),
  counter('update_failure', zero),
  counter('update_rejected', ({ rejected }) => rejected),
  counter('update_success', ({ updates }) => updates),
  gauge('upstream_cx_active', ({ open }) => open, true),
  counter('upstream_cx_connect_attempts_exceeded', ({ counters }) => counters.gaveUp),
  counter('upstream_cx_connect_fail', ({ counters }) => counters.connectFailed + failedDials(counters)),
  counter('upstream_cx_connect_timeout', ({ counters }) => counters.connectTimeout + counters.http.connectTimeout),
  counter('upstream_cx_destroy', ({ counters }) => counters.endedByEndpoint + counters.endedHere),
  counter('upstream_cx_destroy_local', ({ counters }) => counters.endedHere),
  counter('upstream_cx_destroy_local_with_active_rq', ({ counters }) => counters.cutHere),
  counter('upstream_cx_destroy_remote', ({ counters }) => counters.endedByEndpoint),
  counter('upstream_cx_destroy_remote_with_active_rq', ({ counters }) => counters.cutByEndpoint),
  counter('upstream_cx_destroy_with_active_rq', ({ counters }) => counters.cutByEndpoint + counters.cutHere),
  counter('upstream_cx_http1_total', ({ counters, speaks }) => (speaks === 'http2' ? 0 : counters.http.connections)),
  counter('upstream_cx_http2_total', ({ counters, speaks }) => (speaks === 'http2' ? counters.http.connections : 0)),
  counter('upstream_cx_http3_total', zero),
  counter('upstream_cx_idle_timeout', zero),
  counter('upstream_cx_none_healthy', ({ counters }) => counters.noEndpoint + counters.http.noEndpoint),
  counter('upstream_cx_overflow', ({ counters }) => counters.overflow),
  counter('upstream_cx_pool_overflow', zero),
  counter('upstream_cx_rx_bytes_total', ({ counters }) => counters.bytesDown),
  counter('upstream_cx_total', ({ total }) => total),
  counter('upstream_cx_tx_bytes_total', ({ counters }) => counters.bytesUp),
  gauge('upstream_rq_active', ({ open, pending, isHttp, requests }) => (isHttp ? requests : Math.max(0, open - pending)), true),
  counter('upstream_rq_completed', ({ counters }) => total(counters.http.upstream)),
  counter('upstream_rq_max_duration_reached', ({ counters }) => counters.http.maxDuration),
  counter('upstream_rq_cancelled', ({ counters }) => counters.cancelled + counters.http.resetHere),
  gauge('upstream_rq_pending_active', ({ pending }) => pending, true),
  counter('upstream_rq_pending_failure_eject', ({ counters }) => counters.gaveUp),
  counter('upstream_rq_pending_overflow', ({ counters }) => counters.pendingOverflow + counters.http.overflow),
  counter('upstream_rq_pending_total', ({ counters }) => counters.pending),
  counter('upstream_rq_retry', zero),
  counter('upstream_rq_retry_success', zero),
  counter('upstream_rq_rx_reset', ({ counters }) => counters.http.resetByService),
  counter('upstream_rq_timeout', ({ counters }) => counters.http.timeout),
  counter('upstream_rq_total', ({ carried }) => carried),
]);

export interface ListenerStats {
  readonly counters: ListenerCounters;
  readonly total: number;
  readonly open: number;
}

export const LISTENER_STATS: readonly StatRow<ListenerStats>[] = sorted([
  gauge('downstream_cx_active', ({ open }) => open, true),
  counter('downstream_cx_destroy', ({ counters }) => counters.ended),
  counter('downstream_cx_overflow', ({ counters }) => counters.overflow),
  counter('downstream_cx_overload_reject', zero),
  counter('downstream_cx_total', ({ total }) => total),
  counter('downstream_global_cx_overflow', zero),
  counter('downstream_listener_filter_error', zero),
  counter('downstream_listener_filter_remote_close', ({ counters }) => counters.goneBeforeRoute),
  counter('downstream_pre_cx_timeout', ({ counters }) => counters.helloTimeout),
  counter('no_filter_chain_match', ({ counters }) => counters.noRoute),
  counter('ssl.connection_error', ({ counters }) => counters.handshakeFailed),
  counter('ssl.fail_verify_cert_hash', zero),
  counter('ssl.fail_verify_error', ({ counters }) => counters.notTrusted),
  counter('ssl.fail_verify_no_cert', ({ counters }) => counters.noCertificate),
  counter('ssl.fail_verify_san', ({ counters }) => counters.wrongNames),
  counter('ssl.handshake', ({ counters }) => counters.handshakes),
  counter('ssl.no_certificate', zero),
  counter('ssl.session_reused', ({ counters }) => counters.resumed),
]);

export const TLS_INSPECTOR_STATS: readonly StatRow<ListenerCounters>[] = sorted([
  counter('alpn_found', ({ alpnFound }) => alpnFound),
  counter('alpn_not_found', ({ alpnNotFound }) => alpnNotFound),
  counter('client_hello_too_large', ({ helloTooLarge }) => helloTooLarge),
  counter('sni_found', ({ sniFound }) => sniFound),
  counter('sni_not_found', ({ sniNotFound }) => sniNotFound),
  counter('tls_found', ({ tlsFound }) => tlsFound),
  counter('tls_not_found', ({ tlsNotFound }) => tlsNotFound),
]);

/** All clusters of one `stat_prefix`: ExternalServices of two meshes may share it. */
type Chains = readonly ClusterCounters[];

function sum(chains: Chains, of: (counters: ClusterCounters) => number): number {
  return chains.reduce((total, counters) => total + of(counters), 0);
}

export const TCP_STATS: readonly StatRow<Chains>[] = sorted([
  counter('downstream_cx_no_route', zero),
  counter('downstream_cx_rx_bytes_total', (chains) => sum(chains, ({ bytesUp }) => bytesUp)),
  counter('downstream_cx_total', (chains) => sum(chains, ({ sessions }) => sessions)),
  counter('downstream_cx_tx_bytes_total', (chains) => sum(chains, ({ bytesDown }) => bytesDown)),
  counter('idle_timeout', (chains) => sum(chains, ({ idleTimeout }) => idleTimeout)),
  counter('max_downstream_connection_duration', zero),
]);

export interface Judgements {
  readonly allowed: number;
  readonly denied: number;
  readonly shadowDenied: number;
}

/** Judgements of connections, or of requests where those are judged. */
export const RBAC_STATS: readonly StatRow<Judgements>[] = sorted([
  counter('allowed', ({ allowed }) => allowed),
  counter('denied', ({ denied }) => denied),
  counter('shadow_denied', ({ shadowDenied }) => shadowDenied),
]);

export function judgementsOf(chains: Chains, of: 'connections' | 'requests'): Judgements {
  return {
    allowed: sum(chains, ({ allowed, http }) => (of === 'requests' ? http.allowed : allowed)),
    denied: sum(chains, ({ denied, http }) => (of === 'requests' ? http.denied : denied)),
    shadowDenied: sum(chains, ({ shadowDenied }) => shadowDenied),
  };
}

/** `http.<stat_prefix>.`: Envoy's HTTP connection manager and its filters. */
export const HTTP_STATS: readonly StatRow<HttpStats>[] = sorted([
  counter('downstream_cx_total', ({ chains }) => sum(chains, ({ http }) => http.sessions)),
  gauge('downstream_rq_active', ({ active }) => active, true),
  counter('downstream_rq_completed', ({ chains }) => sum(chains, ({ http }) => total(http.answered))),
  counter('downstream_rq_http1_total', ({ chains }) => sum(chains, ({ http }) => http.http1)),
  counter('downstream_rq_http2_total', ({ chains }) => sum(chains, ({ http }) => http.http2)),
  counter('downstream_rq_http3_total', zero),
  counter('downstream_rq_idle_timeout', ({ chains }) => sum(chains, ({ http }) => http.idleTimeout)),
  counter('downstream_rq_rx_reset', ({ chains }) => sum(chains, ({ http }) => http.resetByClient)),
  counter('downstream_rq_total', ({ chains }) => sum(chains, ({ http }) => http.requests)),
  counter('rq_total', ({ chains }) => sum(chains, ({ http }) => http.requests - http.malformed)),
]);

/** `http.<stat_prefix>.fault.`, where there are faults. */
export const FAULT_STATS: readonly StatRow<Chains>[] = sorted([
  counter('aborts_injected', (chains) => sum(chains, ({ http }) => http.faultAborts)),
  counter('delays_injected', (chains) => sum(chains, ({ http }) => http.faultDelays)),
]);

/** All chains with a request rate limit together: Kuma gives them one prefix. */
export const HTTP_RATE_LIMIT_STATS: readonly StatRow<Chains>[] = [
  counter('enforced', (chains) => sum(chains, ({ http }) => http.rateLimited)),
  counter('rate_limited', (chains) => sum(chains, ({ http }) => http.rateLimited)),
];

export interface HttpStats {
  readonly chains: Chains;
  readonly active: number;
}

export const RATE_LIMIT_STATS: readonly StatRow<Chains>[] = [
  counter('rate_limited', (chains) => sum(chains, ({ rateLimited }) => rateLimited)),
];

/** `cds.`, `lds.` */
export const SUBSCRIPTION_STATS: readonly StatRow<{ readonly type: TypeStatus; readonly updatedAt: number }>[] = sorted([
  counter('init_fetch_timeout', zero),
  counter('update_attempt', ({ type }) => type.accepted + type.rejected),
  counter('update_failure', zero),
  counter('update_rejected', ({ type }) => type.rejected),
  counter('update_success', ({ type }) => type.accepted),
  gauge('update_time', ({ updatedAt }) => updatedAt),
]);

export const CONTROL_PLANE_STATS: readonly StatRow<AdsStatus>[] = [
  gauge('connected_state', ({ connectedSince }) => (connectedSince === null ? 0 : 1), true),
  gauge('pending_requests', zero, true),
  counter('rate_limit_enforced', zero),
];

export interface ServerStats {
  readonly uptimeSeconds: number;
  readonly concurrency: number;
  readonly isLive: boolean;
  /** Envoy's number of the state. */
  readonly state: number;
  readonly daysToExpiry: number;
  readonly heapUsed: number;
  readonly heapTotal: number;
  readonly resident: number;
  readonly connections: number;
}

export const SERVER_STATS: readonly StatRow<ServerStats>[] = sorted([
  gauge('concurrency', ({ concurrency }) => concurrency, true),
  gauge('days_until_first_cert_expiring', ({ daysToExpiry }) => daysToExpiry, true),
  gauge('live', ({ isLive }) => (isLive ? 1 : 0), true),
  gauge('memory_allocated', ({ heapUsed }) => heapUsed, true),
  gauge('memory_heap_size', ({ heapTotal }) => heapTotal, true),
  gauge('memory_physical_size', ({ resident }) => resident, true),
  gauge('state', ({ state }) => state, true),
  gauge('total_connections', ({ connections }) => connections, true),
  gauge('uptime', ({ uptimeSeconds }) => uptimeSeconds, true),
]);

/**
 * For each data side. The egress has no watchdog for threads; its own metrics have the delay of the
 * loop.
 */
export const WORKER_STATS: readonly StatRow<null>[] = [counter('watchdog_mega_miss', zero), counter('watchdog_miss', zero)];

export const CLUSTER_MANAGER_STATS: readonly StatRow<{ readonly active: number; readonly warming: number }>[] = [
  gauge('active_clusters', ({ active }) => active, true),
  gauge('warming_clusters', ({ warming }) => warming, true),
];

export const LISTENER_MANAGER_STATS: readonly StatRow<{ readonly active: number; readonly draining: number }>[] = [
  gauge('total_listeners_active', ({ active }) => active, true),
  gauge('total_listeners_draining', ({ draining }) => draining, true),
  gauge('total_listeners_warming', zero, true),
  gauge('workers_started', () => 1, true),
];

/** A statistic whose name contains what is counted. */
export const COUNT: readonly StatRow<number>[] = [counter('', (value) => value)];
export const LEVEL: readonly StatRow<number>[] = [gauge('', (value) => value, true)];

function sorted<Of>(rows: readonly StatRow<Of>[]): readonly StatRow<Of>[] {
  return [...rows].sort((a, b) => (a.name < b.name ? -1 : 1));
}
