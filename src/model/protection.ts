/** What protects the endpoints of a cluster, and the clients from bad ones. Where a field is absent, Envoy's default holds; those are below, once. */

/** Limits of the whole process for one cluster. */
export interface CircuitBreaker {
  /** Connections to endpoints, those being made among them. */
  readonly maxConnections?: number;
  /** Connections being made. */
  readonly maxPendingRequests?: number;
}

/** An active check of TCP: connects, with the TLS that the endpoint has, and may speak. */
export interface HealthCheck {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
  /** Up to this much is added to each interval, at random. */
  readonly intervalJitterMs?: number;
  readonly intervalJitterPercent?: number;
  /** Before the first check. */
  readonly initialJitterMs?: number;
  /** Instead of the interval, as long as the cluster has not carried a session. */
  readonly noTrafficIntervalMs?: number;
  /** Instead of the interval: after a check that failed, and after one that changed the state. */
  readonly unhealthyIntervalMs?: number;
  readonly unhealthyEdgeIntervalMs?: number;
  readonly healthyEdgeIntervalMs?: number;
  /** Absent: the connection is used again, where there is something to receive. */
  readonly reuseConnection?: boolean;
  /** Hex. */
  readonly send?: string;
  /** Hex, each to be found behind the one before. Empty or absent: being connected is enough. */
  readonly receive?: readonly string[];
}

/** Ejects endpoints that sessions fail on. `enforcing` is the percentage of detections that are acted on; 0 is off. Names are Envoy's. */
export interface OutlierDetection {
  readonly intervalMs?: number;
  readonly baseEjectionTimeMs?: number;
  /** Not below the base. */
  readonly maxEjectionTimeMs?: number;
  readonly maxEjectionPercent?: number;
  readonly alwaysEjectOneHost?: boolean;
  /** Failures to connect count as local ones, and not as the 5xx that they otherwise stand for. */
  readonly splitExternalLocalOriginErrors?: boolean;
  readonly consecutive5xx?: number;
  readonly enforcingConsecutive5xx?: number;
  readonly consecutiveGatewayFailure?: number;
  readonly enforcingConsecutiveGatewayFailure?: number;
  readonly consecutiveLocalOriginFailure?: number;
  readonly enforcingConsecutiveLocalOriginFailure?: number;
  readonly enforcingSuccessRate?: number;
  readonly enforcingLocalOriginSuccessRate?: number;
  readonly successRateMinimumHosts?: number;
  readonly successRateRequestVolume?: number;
  /** In thousandths. */
  readonly successRateStdevFactor?: number;
  readonly enforcingFailurePercentage?: number;
  readonly enforcingFailurePercentageLocalOrigin?: number;
  readonly failurePercentageThreshold?: number;
  readonly failurePercentageMinimumHosts?: number;
  readonly failurePercentageRequestVolume?: number;
  readonly successfulActiveHealthCheckUnejectHost?: boolean;
}

/** New connections of one route, of the whole process: so many at once, and refilled evenly over the interval. */
export interface ConnectionRateLimit {
  readonly connections: number;
  readonly intervalMs: number;
}

export const CIRCUIT_BREAKER_DEFAULTS: Required<CircuitBreaker> = { maxConnections: 1_024, maxPendingRequests: 1_024 };

export const NO_TRAFFIC_INTERVAL_MS = 60_000;

export const OUTLIER_DEFAULTS: Required<OutlierDetection> = {
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionTimeMs: 300_000,
  maxEjectionPercent: 10,
  alwaysEjectOneHost: false,
  splitExternalLocalOriginErrors: false,
  consecutive5xx: 5,
  enforcingConsecutive5xx: 100,
  consecutiveGatewayFailure: 5,
  enforcingConsecutiveGatewayFailure: 0,
  consecutiveLocalOriginFailure: 5,
  enforcingConsecutiveLocalOriginFailure: 100,
  enforcingSuccessRate: 100,
  enforcingLocalOriginSuccessRate: 100,
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  successRateStdevFactor: 1_900,
  enforcingFailurePercentage: 0,
  enforcingFailurePercentageLocalOrigin: 0,
  failurePercentageThreshold: 85,
  failurePercentageMinimumHosts: 5,
  failurePercentageRequestVolume: 50,
  successfulActiveHealthCheckUnejectHost: true,
};
