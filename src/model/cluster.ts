import type { ContentHash } from './names.ts';
import type { CircuitBreaker, HealthCheck, OutlierDetection } from './protection.ts';

export { BREAKER_DEFAULTS, OUTLIER_DEFAULTS } from './protection.ts';
export type { CircuitBreaker, ConsecutiveDetector, HealthCheck, HealthProbe, OutlierDetection } from './protection.ts';

/**
 * The endpoints of one destination and how they are connected. Plain data; secrets by content hash.
 */
export interface Cluster {
  /** Kuma's name: `<mesh>:<service>`, or `<mesh>_<name>_<namespace>_<zone>_extsvc_<port>`. */
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  readonly connectTimeoutMs: number;
  /**
   * Why its resource cannot be used: connections are refused with `misconfigured`. Set only where
   * no endpoint is left.
   */
  readonly broken?: string;
  /** The protocol of its endpoints, where requests are served. Absent means http1. */
  readonly http?: 'http1' | 'http2';
  /** How connections for requests are kept. Absent means the defaults. */
  readonly httpPool?: HttpPool;
  /** Absent means round robin. */
  readonly balancer?: Balancer;
  /**
   * True picks a locality first, by its weight, among the endpoints of one priority. Absent means
   * false.
   */
  readonly localityWeighting?: boolean;
  /**
   * The availability of a priority is this times the share of its healthy endpoints, at most 1.
   * Absent means 1.4.
   */
  readonly overprovisioningFactor?: number;
  /**
   * A priority uses all of its endpoints when the share of healthy ones is below this. 0 never
   * does. Absent means 50.
   */
  readonly panicThresholdPercent?: number;
  /** True refuses instead of using all endpoints of a priority in panic. Absent means false. */
  readonly failInPanic?: boolean;
  /** Absent means Envoy's limits. */
  readonly circuitBreaker?: CircuitBreaker;
  /** An endpoint is unhealthy when one of them fails. */
  readonly healthChecks?: readonly HealthCheck[];
  /** Absent ejects no endpoint. */
  readonly outlierDetection?: OutlierDetection;
}

/**
 * Settings of the endpoint connections that requests share. An absent field has no limit, except
 * the idle time.
 */
export interface HttpPool {
  /** Ends a connection after this much time without a request. */
  readonly idleMs?: number;
  /** A connection takes no new requests after this time. */
  readonly maxConnectionMs?: number;
  /** The most requests of one connection. */
  readonly maxRequests?: number;
  /**
   * The most concurrent requests on one connection of HTTP/2, where the service does not allow
   * fewer.
   */
  readonly maxStreams?: number;
  /** From the head of a request to the end of its answer. */
  readonly maxStreamMs?: number;
}

/** The method that picks an endpoint among those of one priority. */
export type Balancer =
  | { readonly kind: 'round-robin' }
  | {
      readonly kind: 'least-request';
      /** Number of endpoints that are compared for one pick, with equal weights. */
      readonly choiceCount: number;
      /**
       * With unequal weights, the weight is divided by (active connections + 1) to this power.
       * Absent means 1.
       */
      readonly activeRequestBias?: number;
    }
  /** Ignores weights, as Envoy does. */
  | { readonly kind: 'random' }
  | {
      readonly kind: 'ring-hash';
      readonly minimumRingSize: number;
      /** Not below the minimum. */
      readonly maximumRingSize: number;
      readonly hashFunction: 'xx-hash' | 'murmur-hash-2';
    }
  /** The table size is a prime number. */
  | { readonly kind: 'maglev'; readonly tableSize: number };

export type BalancerKind = Balancer['kind'];

/** Envoy's defaults, for building a cluster and for absent fields. */
export const BALANCING_DEFAULTS = {
  balancer: { kind: 'round-robin' },
  choiceCount: 2,
  activeRequestBias: 1,
  minimumRingSize: 1_024,
  maximumRingSize: 8_388_608,
  tableSize: 65_537,
  overprovisioningFactor: 1.4,
  panicThresholdPercent: 50,
} as const;

export interface Endpoint {
  readonly address: EndpointAddress;
  readonly port: number;
  /** 0 takes no traffic. */
  readonly weight: number;
  /** 0 is the most preferred. */
  readonly priority: number;
  /** The zone of the endpoint; empty where it is not known. */
  readonly zone: string;
  /**
   * Name of the locality within the priority, where localities are weighted. Absent means the zone.
   */
  readonly locality?: string;
  /**
   * Weight of the whole locality, the same for all of its endpoints. 0 takes no traffic. Absent
   * means 0.
   */
  readonly localityWeight?: number;
  /** Envoy's `envoy.lb` metadata: tags without `kuma.io/service`, plus `mesh`. */
  readonly tags: Readonly<Record<string, string>>;
  /** Null for plain TCP. */
  readonly tls: TlsOrigination | null;
}

export type EndpointAddress =
  /** An address as an operator wrote it. */
  | { readonly kind: 'ip'; readonly ip: string }
  /** A name to resolve; its addresses are checked before they are dialled. */
  | { readonly kind: 'name'; readonly name: string; readonly family: 'v4' | 'any' };

export interface TlsOrigination {
  /** The SNI to send; null sends none. Never an IP address. */
  readonly serverName: string | null;
  readonly trust: TlsTrust;
  /**
   * The server's certificate must have one of these names; null does not check the name. Set only
   * with a trust other than none.
   */
  readonly names: readonly NameMatcher[] | null;
  /** PEM certificate and key, by content hash. */
  readonly clientCertificate: { readonly cert: ContentHash; readonly key: ContentHash } | null;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** ALPN protocols to offer; empty offers none. */
  readonly alpn: readonly string[];
  /** Allows TLS 1.2 renegotiation that the server starts. */
  readonly allowRenegotiation: boolean;
}

export type TlsTrust =
  /** A PEM bundle by content hash. */
  | { readonly kind: 'bundle'; readonly ca: ContentHash }
  /** The bundle of the operating system. */
  | { readonly kind: 'system' }
  /** Encrypted and unverified. `reason` is for the warning and the gauge. */
  | { readonly kind: 'none'; readonly reason: string };

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

/** Compared with DNS and IP SANs; URI SANs are never checked. */
export interface NameMatcher {
  readonly kind: 'exact' | 'prefix';
  readonly value: string;
}
