import type { Cluster } from '../../model/cluster.ts';
import { BREAKER_DEFAULTS, OUTLIER_DEFAULTS } from '../../model/protection.ts';
import type { CircuitBreaker, OutlierDetection } from '../../model/protection.ts';
import { isPositive, milliseconds } from '../messages/duration.ts';
import type { CircuitBreakers } from '#envoy/config/cluster/v3/circuit_breaker_pb.js';
import type { Cluster as EnvoyCluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { LbEndpoint } from '#envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { OutlierDetection as EnvoyOutlier } from '#envoy/config/cluster/v3/outlier_detection_pb.js';
import { RoutingPriority } from '#envoy/config/core/v3/base_pb.js';
import { readHealthChecks } from './cluster-health-check.ts';

export interface ProtectionRead {
  readonly fields: Partial<Cluster>;
  readonly remarks: readonly string[];
}

/** Reads breakers, outlier detection and health checks. Parts that the model lacks are remarks. */
export function readProtection(
  { circuitBreakers, outlierDetection, healthChecks }: EnvoyCluster,
  endpoints: readonly LbEndpoint[],
): ProtectionRead {
  const remarks: string[] = [];
  const circuitBreaker = readBreaker(circuitBreakers, remarks);
  const checks = readHealthChecks(healthChecks, endpoints, remarks);
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
 * Reads the default priority, the only one of TCP. A limit that equals Envoy's default is left out,
 * so that clusters with the same limits are equal.
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
 * Envoy has one threshold of the rates for errors of the service and one for errors of the
 * connection; where they are split, the latter is used.
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
