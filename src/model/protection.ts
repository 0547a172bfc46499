/** Protects the endpoints of a cluster, and clients from bad endpoints. Defaults are Envoy's. */

/** Limits of the whole process for one cluster; an absent field has its default. */
export interface CircuitBreaker {
  /** Connections to endpoints, including those being made. */
  readonly maxConnections?: number;
  /** Connections being made. */
  readonly maxPendingRequests?: number;
  /** HTTP requests in progress. */
  readonly maxRequests?: number;
  /** Number of those that are sent a second time. */
  readonly maxRetries?: number;
  /** Belongs to Envoy's connection pools and has no effect here. */
  readonly maxConnectionPools?: number;
}

export const BREAKER_DEFAULTS = { maxConnections: 1_024, maxPendingRequests: 1_024, maxRequests: 1_024, maxRetries: 3 } as const;

export interface HealthCheck {
  readonly probe: HealthProbe;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  /** The longest random delay before the first check. */
  readonly initialJitterMs: number;
  /** The largest random addition to each interval; both values count. */
  readonly intervalJitterMs: number;
  readonly intervalJitterPercent: number;
  /** Replaces the interval until the cluster has carried a session. */
  readonly noTrafficIntervalMs: number;
  /** True uses the connection of a check for the next one, where an answer is awaited. */
  readonly reuseConnection: boolean;
}

export type HealthProbe =
  /**
   * Bytes in hex. Each entry of `receive` must be found after the one before; with none, being
   * connected is enough.
   */
  | { readonly kind: 'tcp'; readonly send: string; readonly receive: readonly string[] }
  | {
      readonly kind: 'http';
      readonly http2: boolean;
      readonly path: string;
      /** Absent means GET. */
      readonly method?: string;
      /** Absent means the name of the endpoint, where it has one, as for requests. */
      readonly host?: string;
      /** Extra headers; names and values alternate, names in lower case. */
      readonly headers?: readonly string[];
      /** Never empty. */
      readonly expectedStatuses: readonly number[];
      /**
       * Statuses of failures that count only when several come in a row; any other status decides
       * at once.
       */
      readonly retriableStatuses?: readonly number[];
    }
  /** An empty authority means the name of the endpoint, where it has one. */
  | {
      readonly kind: 'grpc';
      readonly serviceName: string;
      readonly authority: string;
      readonly headers?: readonly string[];
    };

/** Envoy's default for an HTTP check. */
export const EXPECTED_STATUSES: readonly number[] = [200];

/** Ejects endpoints that sessions fail on. */
export interface OutlierDetection {
  /** Interval of evaluating the rates and of ending ejections. */
  readonly intervalMs: number;
  /** Multiplied by the number of recent ejections of the endpoint. */
  readonly baseEjectionMs: number;
  readonly maxEjectionPercent: number;
  /**
   * True counts failures to connect as local ones. Otherwise they count like answers of a failed
   * gateway.
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
  /** The percentage of detections that eject; 0 is off. */
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
