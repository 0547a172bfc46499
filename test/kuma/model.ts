import type { HealthCheck, OutlierDetection } from '../../src/model/cluster.ts';
import type { ConnectionRateLimit } from '../../src/model/route.ts';

/**
 * What a zone egress does, in plain data without names that only one side knows: Envoy's
 * configuration and our Snapshot are both brought to this, with every default written out, and then
 * compared. Lists that have no order are sorted.
 */
export interface Routing {
  /** By SNI. */
  readonly routes: Readonly<Record<string, RouteModel>>;
  /** Paths of what the reader met and does not understand: never left out in silence. */
  readonly unread: readonly string[];
}

/**
 * In place of a value: our side has no such field yet. A comparison lists it, unless the other side
 * has nothing there either.
 */
export const NOT_BUILT = 'not built';

export interface RouteModel {
  readonly mode: 'passthrough' | 'terminate';
  /** Who may finish the handshake; null where the egress is no party to it. */
  readonly clients: ClientsModel | null;
  /** As `canonical.ts` writes it. */
  readonly allowed: readonly string[];
  /** Clients that are let in and counted as if they were not. */
  readonly shadowDenied: readonly string[];
  /** Of the endpoints' tags; empty admits all. */
  readonly subset: Readonly<Record<string, string>>;
  /** Of a session on which nothing moves. */
  readonly idleTimeoutMs: number;
  /** Of new connections. */
  readonly rateLimit: ConnectionRateLimit | null;
  /** The version of HTTP that the service speaks. */
  readonly http: '1' | '2' | null;
  /** What is done to requests. */
  readonly requests: RequestsModel;
  /** What else is done, by the filter's type. */
  readonly filters: readonly string[];
  readonly cluster: ClusterModel;
}

export interface RequestsModel {
  /** Only where the cluster has names. */
  readonly hostRewrite: boolean;
  /** From the end of the request to the end of its answer; 0 is no limit. */
  readonly timeoutMs: number;
  readonly streamIdleMs: number;
  /** For whom, as the pattern that Kuma makes of tags; empty for all. */
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
  /** Of each: the value, and how many of ten thousand. */
  readonly delayMs: readonly [number, number] | null;
  readonly abort: readonly [number, number] | null;
  readonly kibPerSecond: readonly [number, number] | null;
}

export interface ClientsModel {
  readonly certificateRequired: boolean;
  /** A URI SAN must begin with it; empty does not ask. */
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
  /** Refuse rather than use endpoints that are not healthy. */
  readonly failInPanic: boolean;
  readonly breakers: BreakersModel;
  readonly outlier: OutlierDetection | null;
  readonly healthChecks: readonly HealthCheck[];
  readonly endpoints: readonly EndpointModel[];
}

export type BalancerModel = Readonly<Record<string, string | number>> & { readonly kind: string };

/** Envoy's pools are of how it keeps connections. */
export interface BreakersModel {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
}

export interface EndpointModel {
  readonly address: string;
  readonly port: number;
  /** Of a name: which addresses are asked for; null where there is nothing to resolve. */
  readonly family: 'v4' | 'any' | null;
  readonly weight: number;
  readonly priority: number;
  /** The zone of the locality; empty where it is not said. */
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
