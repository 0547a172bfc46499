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
export type NotBuilt = typeof NOT_BUILT;

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
  /**
   * What else is done to a session, by the filter's type; `auto_host_rewrite` where it has an
   * effect.
   */
  readonly filters: readonly string[] | NotBuilt;
  readonly cluster: ClusterModel;
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

/**
 * What counts connections; requests and retries are of HTTP, pools of how Envoy keeps connections.
 */
export interface BreakersModel {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
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
