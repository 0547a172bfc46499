import type { ContentHash } from './names.ts';
import type { CircuitBreaker, HealthCheck, OutlierDetection } from './protection.ts';

export { BREAKER_DEFAULTS, OUTLIER_DEFAULTS } from './protection.ts';
export type { CircuitBreaker, ConsecutiveDetector, HealthCheck, HealthProbe, OutlierDetection } from './protection.ts';

/**
 * The endpoints of one destination and how they are connected. Plain data; secrets by content hash.
 */
export interface Cluster {
  /** As Kuma names it: `<mesh>:<service>`, or `<mesh>_<name>_<namespace>_<zone>_extsvc_<port>`. */
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  readonly connectTimeoutMs: number;
  /**
   * Why what was written for it cannot be used: connections are refused with `misconfigured`. Only
   * where no endpoint is left. Absent: it can be.
   */
  readonly broken?: string;
  /** What its endpoints are spoken to in, where requests are served. Absent: http1. */
  readonly http?: 'http1' | 'http2';
  /** How connections for requests are kept. Absent: as the defaults say. */
  readonly httpPool?: HttpPool;
  /** Absent: round robin. */
  readonly balancer?: Balancer;
  /** Among the endpoints of one priority a locality is picked first, by its weight. Absent: no. */
  readonly localityWeighting?: boolean;
  /**
   * Availability of a priority is this times the share of its endpoints that are healthy, at most
   * 1. Absent: 1.4.
   */
  readonly overprovisioningFactor?: number;
  /**
   * Below this share of healthy endpoints a priority uses all of its endpoints. 0 is never. Absent:
   * 50.
   */
  readonly panicThresholdPercent?: number;
  /** Instead of using all endpoints of a priority that panics, refuse. Absent: no. */
  readonly failInPanic?: boolean;
  /** Absent: Envoy's limits. */
  readonly circuitBreaker?: CircuitBreaker;
  /** An endpoint is unhealthy when one of them says so. */
  readonly healthChecks?: readonly HealthCheck[];
  /** Absent: nothing is ejected. */
  readonly outlierDetection?: OutlierDetection;
}

/**
 * Of connections to endpoints that requests share. What is absent has no limit, but for the idle
 * time.
 */
export interface HttpPool {
  /** A connection without a request. */
  readonly idleMs?: number;
  /** It takes no new requests after so long. */
  readonly maxConnectionMs?: number;
  /** Requests that one connection carries in its life. */
  readonly maxRequests?: number;
  /** Requests at once on one connection of HTTP/2, where the service does not allow fewer. */
  readonly maxStreams?: number;
  /** From the head of a request to the end of its answer. */
  readonly maxStreamMs?: number;
}

/** How an endpoint is picked among those of one priority. */
export type Balancer =
  | { readonly kind: 'round-robin' }
  | {
      readonly kind: 'least-request';
      /** How many endpoints are looked at for one pick, where all weigh the same. */
      readonly choiceCount: number;
      /**
       * Where they do not: the weight is divided by (active connections + 1) to this power. Absent:
       * 1.
       */
      readonly activeRequestBias?: number;
    }
  /** Weights do not count, as in Envoy. */
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

/** Envoy's defaults, for building a cluster and for the fields that are absent. */
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
  /** The zone where the endpoint is, where known; empty otherwise. */
  readonly zone: string;
  /** Name of the locality within the priority, where localities are weighted. Absent: the zone. */
  readonly locality?: string;
  /** Of the whole locality, the same for all of its endpoints. 0 takes no traffic. Absent: 0. */
  readonly localityWeight?: number;
  /** Envoy's `envoy.lb` metadata: tags without `kuma.io/service`, plus `mesh`. */
  readonly tags: Readonly<Record<string, string>>;
  /** Absent: plain TCP. */
  readonly tls: TlsOrigination | null;
}

export type EndpointAddress =
  /** An address as an operator wrote it. */
  | { readonly kind: 'ip'; readonly ip: string }
  /** A name to resolve; what it resolves to is checked before it is dialled. */
  | { readonly kind: 'name'; readonly name: string; readonly family: 'v4' | 'any' };

export interface TlsOrigination {
  /** The SNI to send; null sends none. Never an IP address. */
  readonly serverName: string | null;
  readonly trust: TlsTrust;
  /**
   * Names of which one must be in the server's certificate; null does not check the name. Only with
   * a trust other than none.
   */
  readonly names: readonly NameMatcher[] | null;
  /** PEM certificate and key, by content hash. */
  readonly clientCertificate: { readonly cert: ContentHash; readonly key: ContentHash } | null;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** ALPN protocols to offer; empty offers none. */
  readonly alpn: readonly string[];
  /** TLS 1.2 renegotiation that the server starts. */
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
