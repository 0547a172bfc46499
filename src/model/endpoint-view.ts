/** The plain facts about endpoints that a choice is made from, as they are at that moment. */
export interface EndpointView {
  /** How many choices this cluster has had; decides whose turn it is. */
  readonly turn: number;
  /** What is known of the names in the cluster; a name that is not here has not been resolved yet. */
  readonly names: ReadonlyMap<string, Resolution>;
  /** Where this process itself listens: never dialled. `ip` may be `0.0.0.0` or `::`, then every address in `local` counts. */
  readonly ownListeners: readonly { readonly ip: string; readonly port: number }[];
  /** The addresses of this machine. */
  readonly localAddresses: ReadonlySet<string>;
  /** CIDR blocks that a name may resolve to although they are loopback, link-local, unspecified or multicast. */
  readonly allowedResolved: readonly string[];
}

export type Resolution =
  { readonly kind: 'resolved'; readonly addresses: readonly string[] } | { readonly kind: 'failed'; readonly message: string };
