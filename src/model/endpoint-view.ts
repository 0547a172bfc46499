/** The plain facts about endpoints that a choice is made from, as they are at that moment. */
export interface EndpointView {
  /** How many choices this cluster has had; decides whose turn it is. */
  readonly turn: number;
  /**
   * What is known of the names in the cluster; a name that is not here has not been resolved yet.
   */
  readonly names: ReadonlyMap<string, Resolution>;
  /**
   * Where this process itself listens: never dialled. `ip` may be `0.0.0.0` or `::`, then every
   * address in `local` counts.
   */
  readonly ownListeners: readonly { readonly ip: string; readonly port: number }[];
  /** The addresses of this machine. */
  readonly localAddresses: ReadonlySet<string>;
  /**
   * CIDR blocks that a name may resolve to although they are loopback, link-local, unspecified or
   * multicast.
   */
  readonly allowedResolved: readonly string[];
  /** By `addressKey`; an address that is not here is healthy. Absent: all are. */
  readonly health?: ReadonlyMap<string, EndpointHealth>;
  /**
   * Connections of this cluster that are open, by `addressKey`; 0 where there is no entry. Absent:
   * none.
   */
  readonly active?: ReadonlyMap<string, number>;
  /** A random number in [0, 1). Absent: derived from `turn`. */
  readonly draw?: number;
  /**
   * What consistent hashing goes by; Envoy's is the xxHash64 of the client's IP address as text.
   * Absent: a random one.
   */
  readonly hashKey?: Hash64;
}

/** A 64-bit number as its two unsigned halves. */
export interface Hash64 {
  readonly hi: number;
  readonly lo: number;
}

/** `unhealthy` by health checks, `ejected` by outlier detection; neither is picked. */
export type EndpointHealth = 'healthy' | 'unhealthy' | 'ejected';

/** Names one address of a cluster, as Envoy prints it: `10.0.0.1:443`, `[2001:db8::1]:443`. */
export function addressKey(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

export type Resolution =
  { readonly kind: 'resolved'; readonly addresses: readonly string[] } | { readonly kind: 'failed'; readonly message: string };
