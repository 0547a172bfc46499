/** The facts about endpoints at one moment, from which a choice is made. */
export interface EndpointView {
  /** The number of choices that this cluster has had; round robin uses it. */
  readonly turn: number;
  /** The resolved names of the cluster; a missing name has not been resolved yet. */
  readonly names: ReadonlyMap<string, Resolution>;
  /**
   * Addresses on which this process listens, which are never dialled. For an `ip` of `0.0.0.0` or
   * `::`, every address in `localAddresses` counts.
   */
  readonly ownListeners: readonly { readonly ip: string; readonly port: number }[];
  /** The addresses of this machine. */
  readonly localAddresses: ReadonlySet<string>;
  /**
   * CIDR blocks that a name may resolve to although they are loopback, link-local, unspecified or
   * multicast.
   */
  readonly allowedResolved: readonly string[];
  /** Keyed by `addressKey`; a missing address is healthy. Absent means all are. */
  readonly health?: ReadonlyMap<string, EndpointHealth>;
  /**
   * Open connections of this cluster, by `addressKey`; 0 for a missing entry. Absent means none.
   */
  readonly active?: ReadonlyMap<string, number>;
  /** A random number in [0, 1). Absent is derived from `turn`. */
  readonly draw?: number;
  /**
   * The key for consistent hashing; Envoy uses the xxHash64 of the client's IP address as text.
   * Absent means a random one.
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
