import { Buffer } from 'node:buffer';
import { sameValue } from '../../model/changes.ts';
import type { Cluster } from '../../model/cluster.ts';
import { BREAKER_DEFAULTS, OUTLIER_DEFAULTS } from '../../model/protection.ts';
import type { CircuitBreaker, HealthCheck, HealthProbe, OutlierDetection } from '../../model/protection.ts';
import { isPositive, milliseconds } from '../messages/duration.ts';
import type { CircuitBreakers } from '#envoy/config/cluster/v3/circuit_breaker_pb.js';
import type { Cluster as EnvoyCluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { OutlierDetection as EnvoyOutlier } from '#envoy/config/cluster/v3/outlier_detection_pb.js';
import { RoutingPriority } from '#envoy/config/core/v3/base_pb.js';
import type {
  HealthCheck as EnvoyCheck,
  HealthCheck_HttpHealthCheck,
  HealthCheck_Payload,
  HealthCheck_TcpHealthCheck,
} from '#envoy/config/core/v3/health_check_pb.js';
import { RequestMethod } from '#envoy/config/core/v3/base_pb.js';
import { CodecClientType } from '#envoy/type/v3/http_pb.js';

export interface ProtectionRead {
  readonly fields: Partial<Cluster>;
  readonly remarks: readonly string[];
}

/**
 * Breakers, outlier detection and health checks. What Envoy would do beyond what the model has is a
 * remark.
 */
export function readProtection({ circuitBreakers, outlierDetection, healthChecks }: EnvoyCluster): ProtectionRead {
  const remarks: string[] = [];
  const circuitBreaker = readBreaker(circuitBreakers, remarks);
  const checks: HealthCheck[] = [];
  for (const check of healthChecks) {
    const read = readCheck(check, remarks);
    // Kuma sends the same check once for each mesh.
    if (read !== null && !checks.some((other) => sameValue(other, read))) checks.push(read);
  }
  return {
    fields: {
      ...(Object.keys(circuitBreaker).length === 0 ? {} : { circuitBreaker }),
      ...(checks.length === 0 ? {} : { healthChecks: checks }),
      ...(outlierDetection === undefined ? {} : { outlierDetection: readOutlier(outlierDetection, remarks) }),
    },
    remarks,
  };
}

/**
 * Of the default priority, as TCP has no other. A limit that is Envoy's own is left out, so that
 * clusters with the same limits are equal.
 */
function readBreaker(breakers: CircuitBreakers | undefined, remarks: string[]): CircuitBreaker {
  const limits = breakers?.thresholds.find(({ priority }) => priority === RoutingPriority.DEFAULT);
  const perHost = breakers?.perHostThresholds.some(({ maxConnections }) => maxConnections !== undefined);
  if (perHost === true) remarks.push('limits of connections per endpoint are not kept');
  if (limits === undefined) return {};
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries, maxConnectionPools } = limits;
  const all = { maxConnections, maxPendingRequests, maxRequests, maxRetries, maxConnectionPools };
  const defaults = new Map<string, number>(Object.entries(BREAKER_DEFAULTS));
  return Object.fromEntries(Object.entries(all).filter(([name, limit]) => limit !== undefined && limit !== defaults.get(name)));
}

/**
 * The rates have a threshold each for errors of the service and of the connection; it is the latter
 * where they are told apart.
 */
function readOutlier(outlier: EnvoyOutlier, remarks: string[]): OutlierDetection {
  const defaults = OUTLIER_DEFAULTS;
  const split = outlier.splitExternalLocalOriginErrors;
  const unused = [
    ...(outlier.maxEjectionTime === undefined ? [] : ['maxEjectionTime']),
    ...(outlier.maxEjectionTimeJitter !== undefined && isPositive(outlier.maxEjectionTimeJitter)
      ? ['maxEjectionTimeJitter']
      : []),
    ...(outlier.successfulActiveHealthCheckUnejectHost === undefined ? [] : ['successfulActiveHealthCheckUnejectHost']),
    ...(outlier.alwaysEjectOneHost === true ? ['alwaysEjectOneHost'] : []),
    ...(outlier.monitors.length === 0 ? [] : ['monitors']),
  ];
  if (unused.length > 0) remarks.push(`of its outlier detection these are not used: ${unused.join(', ')}`);
  return {
    intervalMs: milliseconds(outlier.interval) ?? defaults.intervalMs,
    baseEjectionMs: milliseconds(outlier.baseEjectionTime) ?? defaults.baseEjectionMs,
    maxEjectionPercent: outlier.maxEjectionPercent ?? defaults.maxEjectionPercent,
    splitLocalErrors: split,
    consecutiveLocalFailures: {
      threshold: outlier.consecutiveLocalOriginFailure ?? defaults.consecutiveLocalFailures.threshold,
      enforcing: outlier.enforcingConsecutiveLocalOriginFailure ?? defaults.consecutiveLocalFailures.enforcing,
    },
    consecutiveTotalFailures: {
      threshold: outlier.consecutive5xx ?? defaults.consecutiveTotalFailures.threshold,
      enforcing: outlier.enforcingConsecutive5xx ?? defaults.consecutiveTotalFailures.enforcing,
    },
    consecutiveGatewayFailures: {
      threshold: outlier.consecutiveGatewayFailure ?? defaults.consecutiveGatewayFailures.threshold,
      enforcing: outlier.enforcingConsecutiveGatewayFailure ?? defaults.consecutiveGatewayFailures.enforcing,
    },
    successRate: {
      threshold: outlier.successRateStdevFactor ?? defaults.successRate.threshold,
      minimumHosts: outlier.successRateMinimumHosts ?? defaults.successRate.minimumHosts,
      requestVolume: outlier.successRateRequestVolume ?? defaults.successRate.requestVolume,
      enforcing:
        (split ? outlier.enforcingLocalOriginSuccessRate : outlier.enforcingSuccessRate) ?? defaults.successRate.enforcing,
    },
    failurePercentage: {
      threshold: outlier.failurePercentageThreshold ?? defaults.failurePercentage.threshold,
      minimumHosts: outlier.failurePercentageMinimumHosts ?? defaults.failurePercentage.minimumHosts,
      requestVolume: outlier.failurePercentageRequestVolume ?? defaults.failurePercentage.requestVolume,
      enforcing:
        (split ? outlier.enforcingFailurePercentageLocalOrigin : outlier.enforcingFailurePercentage) ??
        defaults.failurePercentage.enforcing,
    },
  };
}

/** Envoy's, where none is sent. */
const NO_TRAFFIC_INTERVAL_MS = 60_000;

/**
 * null for a check that cannot be made here: to make another one could take away endpoints that are
 * well.
 */
function readCheck(check: EnvoyCheck, remarks: string[]): HealthCheck | null {
  const probe = readProbe(check, remarks);
  const impossible =
    probe === null
      ? `of the kind ${check.healthChecker.case ?? 'none'}`
      : check.altPort !== undefined
        ? `of another port (${check.altPort})`
        : check.transportSocketMatchCriteria !== undefined
          ? 'over a transport socket of its own'
          : null;
  if (impossible !== null) remarks.push(`its health check ${impossible} is not made`);
  if (probe === null || impossible !== null) return null;
  const paces = {
    noTrafficHealthyInterval: check.noTrafficHealthyInterval,
    unhealthyInterval: check.unhealthyInterval,
    unhealthyEdgeInterval: check.unhealthyEdgeInterval,
    healthyEdgeInterval: check.healthyEdgeInterval,
  };
  const unused = Object.entries(paces).flatMap(([name, pace]) => (pace === undefined ? [] : [name]));
  if (check.tlsOptions !== undefined) unused.push('tlsOptions');
  if (unused.length > 0) remarks.push(`of its health check these are not used: ${unused.join(', ')}`);
  return {
    probe,
    intervalMs: milliseconds(check.interval) ?? 0,
    timeoutMs: milliseconds(check.timeout) ?? 0,
    unhealthyThreshold: check.unhealthyThreshold ?? 0,
    healthyThreshold: check.healthyThreshold ?? 0,
    initialJitterMs: milliseconds(check.initialJitter) ?? 0,
    intervalJitterMs: milliseconds(check.intervalJitter) ?? 0,
    intervalJitterPercent: check.intervalJitterPercent,
    noTrafficIntervalMs: milliseconds(check.noTrafficInterval) ?? NO_TRAFFIC_INTERVAL_MS,
    reuseConnection: check.reuseConnection ?? true,
  };
}

function readProbe({ healthChecker }: EnvoyCheck, remarks: string[]): HealthProbe | null {
  switch (healthChecker.case) {
    case 'tcpHealthCheck':
      return tcpProbe(healthChecker.value, remarks);
    case 'httpHealthCheck':
      return httpProbe(healthChecker.value, remarks);
    case 'grpcHealthCheck': {
      const { serviceName, authority, initialMetadata } = healthChecker.value;
      if (initialMetadata.length > 0) remarks.push('the metadata of its gRPC health check are not sent');
      return { kind: 'grpc', serviceName, authority };
    }
    case 'customHealthCheck':
    case undefined:
      return null;
    default:
      return healthChecker satisfies never;
  }
}

function tcpProbe({ send, receive, proxyProtocolConfig }: HealthCheck_TcpHealthCheck, remarks: string[]): HealthProbe {
  if (proxyProtocolConfig !== undefined) remarks.push('its TCP health check is sent without the PROXY protocol');
  return { kind: 'tcp', send: hexOf(send), receive: receive.map(hexOf) };
}

/** The text of a payload is hex already. */
function hexOf(payload: HealthCheck_Payload | undefined): string {
  const what = payload?.payload;
  return what?.case === 'binary' ? Buffer.from(what.value).toString('hex') : (what?.value ?? '').toLowerCase();
}

function httpProbe(check: HealthCheck_HttpHealthCheck, remarks: string[]): HealthProbe {
  const { method, requestHeadersToAdd, requestHeadersToRemove } = check;
  const unused = [
    ...(check.host === '' ? [] : ['host']),
    ...(check.send === undefined ? [] : ['send']),
    ...(check.receive.length === 0 ? [] : ['receive']),
    ...(requestHeadersToAdd.length + requestHeadersToRemove.length === 0 ? [] : ['request headers']),
    ...(check.serviceNameMatcher === undefined ? [] : ['serviceNameMatcher']),
    ...(check.retriableStatuses.length === 0 ? [] : ['retriableStatuses']),
    ...(method === RequestMethod.METHOD_UNSPECIFIED || method === RequestMethod.GET ? [] : ['method']),
  ];
  if (unused.length > 0) remarks.push(`of its HTTP health check these are not used: ${unused.join(', ')}`);
  // Ranges are half open, and within 100 to 600.
  const expectedStatuses = check.expectedStatuses.flatMap(({ start, end }) =>
    Array.from({ length: Number(end - start) }, (_, i) => Number(start) + i),
  );
  return { kind: 'http', http2: check.codecClientType === CodecClientType.HTTP2, path: check.path, expectedStatuses };
}
