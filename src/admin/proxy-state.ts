/** How one of the proxies does as which this process has joined its control plane. */
export interface ProxyState {
  /** `mesh.name` of a Dataplane, the name of a ZoneEgress. */
  readonly id: string;
  /** Empty for a ZoneEgress. */
  readonly mesh: string;
  readonly name: string;
  /** `live`: its last configuration is served, whether or not there is a stream at the moment. */
  readonly state: 'joining' | 'live' | 'refused' | 'leaving';
  /** One sentence for people. */
  readonly sentence: string;
}
