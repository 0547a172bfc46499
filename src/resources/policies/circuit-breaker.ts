import { BREAKER_DEFAULTS, OUTLIER_DEFAULTS } from '../../model/protection.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { CircuitBreaker, ConsecutiveDetector, OutlierDetection } from '../../model/protection.ts';
import type { CircuitBreakerConf, MeshCircuitBreaker, OutlierConf } from '../kinds/mesh-circuit-breaker.ts';
import type { MeshDefinition } from '../kinds/mesh.ts';
import { isMade, ofWholeMesh } from './default-policy.ts';
import type { Feature } from './not-yet.ts';

/** Makes the fields that a MeshCircuitBreaker sets in a cluster. */
export function breakerFields({ connectionLimits, outlierDetection }: CircuitBreakerConf): Partial<Cluster> {
  const circuitBreaker = withoutDefaults(connectionLimits ?? {});
  const outlier = outlierDetection === undefined || outlierDetection.disabled === true ? null : outlierDetection;
  return {
    ...(Object.keys(circuitBreaker).length === 0 ? {} : { circuitBreaker }),
    ...(outlier === null ? {} : { outlierDetection: outlierOf(outlier) }),
    ...(outlier?.healthyPanicThreshold === undefined ? {} : { panicThresholdPercent: outlier.healthyPanicThreshold }),
  };
}

/**
 * Names the features of a policy. Limits of requests, retries and pools belong to HTTP and have no
 * effect on TCP.
 */
export function breakerFeatures(conf: CircuitBreakerConf, protocol: string): readonly Feature[] {
  const { circuitBreaker, outlierDetection } = breakerFields(conf);
  const isLimited = circuitBreaker?.maxConnections !== undefined || circuitBreaker?.maxPendingRequests !== undefined;
  const isMore = (['maxRequests', 'maxRetries', 'maxConnectionPools'] as const).some(
    (name) => circuitBreaker?.[name] !== undefined,
  );
  return [
    ...(isLimited ? (['circuit breakers'] as const) : []),
    ...(isMore && protocol === 'tcp' ? (['limits of requests, retries and connection pools'] as const) : []),
    ...(outlierDetection === undefined ? [] : (['outlier detection'] as const)),
  ];
}

/**
 * Leaves out a limit that equals Envoy's default, so that clusters with the same limits are equal.
 */
function withoutDefaults(limits: CircuitBreaker): CircuitBreaker {
  const defaults = new Map<string, number>(Object.entries(BREAKER_DEFAULTS));
  return Object.fromEntries(Object.entries(limits).filter(([name, limit]) => limit !== defaults.get(name)));
}

/**
 * Kuma turns each detector on by its own setting, and off without it. With no detectors at all,
 * Envoy's defaults hold for the rates.
 */
function outlierOf(conf: OutlierConf): OutlierDetection {
  const { detectors } = conf;
  const defaults = OUTLIER_DEFAULTS;
  const consecutive = (setting: { readonly consecutive?: number } | undefined): ConsecutiveDetector =>
    setting?.consecutive === undefined ? { threshold: 5, enforcing: 0 } : { threshold: setting.consecutive, enforcing: 100 };
  const { successRate, failurePercentage } = detectors ?? {};
  const enforcing = (setting: object | undefined, otherwise: number): number =>
    detectors === undefined ? otherwise : setting === undefined ? 0 : 100;
  const factor = successRate?.standardDeviationFactor;
  return {
    intervalMs: conf.intervalMs ?? defaults.intervalMs,
    baseEjectionMs: conf.baseEjectionMs ?? defaults.baseEjectionMs,
    maxEjectionPercent: conf.maxEjectionPercent ?? defaults.maxEjectionPercent,
    splitLocalErrors: conf.splitExternalAndLocalErrors ?? false,
    consecutiveLocalFailures: consecutive(detectors?.localOriginFailures),
    consecutiveTotalFailures: consecutive(detectors?.totalFailures),
    consecutiveGatewayFailures: consecutive(detectors?.gatewayFailures),
    successRate: {
      // Rounding removes the error of floats (1.9 * 1000).
      threshold: factor === undefined ? defaults.successRate.threshold : Math.trunc(Number((factor * 1000).toFixed(6))),
      minimumHosts: successRate?.minimumHosts ?? defaults.successRate.minimumHosts,
      requestVolume: successRate?.requestVolume ?? defaults.successRate.requestVolume,
      enforcing: enforcing(successRate, defaults.successRate.enforcing),
    },
    failurePercentage: {
      threshold: failurePercentage?.threshold ?? defaults.failurePercentage.threshold,
      minimumHosts: failurePercentage?.minimumHosts ?? defaults.failurePercentage.minimumHosts,
      requestVolume: failurePercentage?.requestVolume ?? defaults.failurePercentage.requestVolume,
      enforcing: enforcing(failurePercentage, defaults.failurePercentage.enforcing),
    },
  };
}

/**
 * The policy that Kuma creates with every mesh, for a mesh that does not skip it and whose
 * resources lack it. Its limits are Envoy's defaults, but it takes part in the order: it wins over
 * a policy for the mesh whose name sorts after its own.
 */
export function defaultBreaker(mesh: MeshDefinition, present: readonly MeshCircuitBreaker[]): MeshCircuitBreaker | null {
  const made = isMade('MeshCircuitBreaker', `mesh-circuit-breaker-all-${mesh.meta.name}`, mesh, present);
  if (made === null) return null;
  return {
    kind: 'MeshCircuitBreaker',
    meta: made,
    targetRef: null,
    to: [{ targetRef: ofWholeMesh(mesh.meta), conf: { connectionLimits: BREAKER_DEFAULTS } }],
    from: [],
    rules: [],
    isShadow: false,
  };
}
