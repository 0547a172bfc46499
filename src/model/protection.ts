/**
 * What protects the endpoints of a cluster, and clients from bad endpoints. Defaults are Envoy's.
 */

/** Limits of the whole process for one cluster; what is absent has its default. */
export interface CircuitBreaker {
  /** Connections to endpoints, those being made among them. */
  readonly maxConnections?: number;
  /** Connections being made. */
  readonly maxPendingRequests?: number;
  /** Requests of HTTP that are being served. */
  readonly maxRequests?: number;
  /** Of them, those that are sent a second time. */
  readonly maxRetries?: number;
  /** Of how Envoy keeps connections: nothing here goes by it. */
  readonly maxConnectionPools?: number;
}

export const BREAKER_DEFAULTS = { maxConnections: 1_024, maxPendingRequests: 1_024, maxRequests: 1_024, maxRetries: 3 } as const;

export interface HealthCheck {
  readonly probe: HealthProbe;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  /** At most this long before the first check, at random. */
  readonly initialJitterMs: number;
  /** Up to this much is added to each interval, at random; both count. */
  readonly intervalJitterMs: number;
  readonly intervalJitterPercent: number;
  /** Instead of the interval, as long as the cluster has not carried a session. */
  readonly noTrafficIntervalMs: number;
  /** The connection of a check serves the next one, where an answer is waited for. */
  readonly reuseConnection: boolean;
}

export type HealthProbe =
  /**
   * Bytes in hex. Each of `receive` is to be found behind the one before; where there is none,
   * being connected is enough.
   */
  | { readonly kind: 'tcp'; readonly send: string; readonly receive: readonly string[] }
  | {
      readonly kind: 'http';
      readonly http2: boolean;
      readonly path: string;
      /** Absent: GET. */
      readonly method?: string;
      /** Absent: the name of the endpoint, where it has one, as requests are sent there. */
      readonly host?: string;
      /** More headers, names and values in turns; names in lower case. */
      readonly headers?: readonly string[];
      /** Never empty. */
      readonly expectedStatuses: readonly number[];
      /**
       * Failures that only so many in a row count; any other status is one that decides at once.
       */
      readonly retriableStatuses?: readonly number[];
    }
  /** An empty authority: the name of the endpoint, where it has one. */
  | {
      readonly kind: 'grpc';
      readonly serviceName: string;
      readonly authority: string;
      readonly headers?: readonly string[];
    };

/** Envoy's, where a check by HTTP says nothing of it. */
export const EXPECTED_STATUSES: readonly number[] = [200];

/** Ejects endpoints that sessions fail on. */
export interface OutlierDetection {
  /** How often rates are looked at, and ejections that are over are ended. */
  readonly intervalMs: number;
  /** Times the number of ejections that the endpoint has had lately. */
  readonly baseEjectionMs: number;
  readonly maxEjectionPercent: number;
  /**
   * Failures to connect count as local ones. Otherwise they stand for answers of a gateway that
   * failed.
   */
  readonly splitLocalErrors: boolean;
  readonly consecutiveLocalFailures: ConsecutiveDetector;
  readonly consecutiveTotalFailures: ConsecutiveDetector;
  readonly consecutiveGatewayFailures: ConsecutiveDetector;
  /** `threshold`: thousandths of a standard deviation below the mean. */
  readonly successRate: RateDetector;
  /** `threshold`: percent. */
  readonly failurePercentage: RateDetector;
}

export interface ConsecutiveDetector {
  readonly threshold: number;
  /** Percent of what is detected that is acted on; 0 is off. */
  readonly enforcing: number;
}

export interface RateDetector extends ConsecutiveDetector {
  readonly minimumHosts: number;
  /** Attempts in one interval. */
  readonly requestVolume: number;
}

export const OUTLIER_DEFAULTS: OutlierDetection = {
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  maxEjectionPercent: 10,
  splitLocalErrors: false,
  consecutiveLocalFailures: { threshold: 5, enforcing: 100 },
  consecutiveTotalFailures: { threshold: 5, enforcing: 100 },
  consecutiveGatewayFailures: { threshold: 5, enforcing: 0 },
  successRate: { threshold: 1_900, minimumHosts: 5, requestVolume: 100, enforcing: 100 },
  failurePercentage: { threshold: 85, minimumHosts: 5, requestVolume: 50, enforcing: 0 },
};
