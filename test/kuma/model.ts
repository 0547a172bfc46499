import type { HealthCheck, OutlierDetection } from '../../src/model/cluster.ts';
import type { ConnectionRateLimit } from '../../src/model/route.ts';

/**
 * The effect of a zone egress as plain data without names that only one side knows. Envoy's
 * configuration and our Snapshot are both converted to it, with every default written out, and
 * compared. Lists without an order are sorted.
 */
export interface Routing {
  /** Keyed by SNI. */
  readonly routes: Readonly<Record<string, RouteModel>>;
  /** Paths that the reader does not understand: they are never silently left out. */
  readonly unread: readonly string[];
}

/**
 * Replaces a value where our side has no such field yet. A comparison lists it, unless the other
 * side has nothing there either.
 */
export const NOT_BUILT = 'not built';

export interface RouteModel {
  readonly mode: 'passthrough' | 'terminate';
  /** The clients that may finish the handshake; null where the egress is not part of it. */
  readonly clients: ClientsModel | null;
  /** In the form of `canonical.ts`. */
  readonly allowed: readonly string[];
  /** Clients that are admitted and counted as denied. */
  readonly shadowDenied: readonly string[];
  /** Tags of the endpoints; empty admits all. */
  readonly subset: Readonly<Record<string, string>>;
  /** Timeout of a session without any byte. */
  readonly idleTimeoutMs: number;
  /** Limit of new connections. */
  readonly rateLimit: ConnectionRateLimit | null;
  /** The HTTP version of the service. */
  readonly http: '1' | '2' | null;
  /** What is done to requests. */
  readonly requests: RequestsModel;
  /** Other filters, by type. */
  readonly filters: readonly string[];
  readonly cluster: ClusterModel;
}

export interface RequestsModel {
  /** Only where the cluster has names. */
  readonly hostRewrite: boolean;
  /** From the end of the request to the end of its answer; 0 means no limit. */
  readonly timeoutMs: number;
  readonly streamIdleMs: number;
  /** The clients, as the pattern that Kuma makes of tags; empty for all. */
  readonly limits: readonly (LimitModel & { readonly clients: string })[];
  readonly faults: readonly (FaultModel & { readonly clients: string })[];
  /** One line each. */
  readonly hashes: readonly string[];
}

interface LimitModel {
  readonly requests: number;
  readonly intervalMs: number;
  readonly status: number;
  readonly headers: readonly string[];
}

export interface FaultModel {
  /** Of each: the value, and the number of ten thousand. */
  readonly delayMs: readonly [number, number] | null;
  readonly abort: readonly [number, number] | null;
  readonly kibPerSecond: readonly [number, number] | null;
}

export interface ClientsModel {
  readonly certificateRequired: boolean;
  /** A URI SAN must begin with it; empty does not check. */
  readonly uriPrefix: string;
  /** Names of the secrets. */
  readonly trust: string;
  readonly identity: string;
}

export interface ClusterModel {
  readonly name: string;
  readonly connectTimeoutMs: number;
  readonly balancer: BalancerModel;
  readonly localityWeighting: boolean;
  readonly overprovisioningFactor: number;
  readonly panicThresholdPercent: number;
  /** True refuses instead of using endpoints that are not healthy. */
  readonly failInPanic: boolean;
  readonly breakers: BreakersModel;
  readonly outlier: OutlierDetection | null;
  readonly healthChecks: readonly HealthCheck[];
  readonly endpoints: readonly EndpointModel[];
}

export type BalancerModel = Readonly<Record<string, string | number>> & { readonly kind: string };

/** Leaves out pools, which concern how Envoy keeps connections. */
export interface BreakersModel {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
}

export interface EndpointModel {
  readonly address: string;
  readonly port: number;
  /** The address family of a name; null where there is nothing to resolve. */
  readonly family: 'v4' | 'any' | null;
  readonly weight: number;
  readonly priority: number;
  /** The zone of the locality; empty where none is given. */
  readonly zone: string;
  /** Counts only where localities are weighted. */
  readonly localityWeight: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly tls: TlsModel | null;
}

export interface TlsModel {
  readonly serverName: string;
  /** `none`, `system`, or the SHA-256 of each certificate. */
  readonly trust: readonly string[];
  /** `DNS exact example.org`; one of them must match. Empty does not check the name. */
  readonly names: readonly string[];
  /** SHA-256 of each certificate, then of the key. */
  readonly clientCertificate: readonly string[];
  readonly minVersion: string;
  readonly maxVersion: string;
  readonly alpn: readonly string[];
  readonly renegotiation: boolean;
}
