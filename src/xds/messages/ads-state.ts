import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';

/** The four types that a zone egress asks for, in the order of its requests. */
export const ADS_TYPES = ['cluster', 'endpoint', 'listener', 'secret'] as const;
export type AdsType = (typeof ADS_TYPES)[number];

/** The two forms of ADS; the bootstrap chooses one. */
export const ADS_PROTOCOLS = ['sotw', 'delta'] as const;
export type AdsProtocol = (typeof ADS_PROTOCOLS)[number];

export const TYPE_URLS: Readonly<Record<AdsType, string>> = {
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoint: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
};

/** A resource as it was accepted. */
export interface Held<Resource> {
  readonly name: string;
  readonly resource: Resource;
  /** SHA-256 in hex of its bytes: equal content is not translated twice. */
  readonly hash: string;
  /** Its own version where the control plane sends one, else that of its response. */
  readonly version: string;
  /** Milliseconds since the Unix epoch. */
  readonly updatedAt: number;
}

/**
 * The accepted resources of a control plane, of all types. Resources keep their identity while
 * their bytes do not change.
 */
export interface AdsState {
  readonly clusters: ReadonlyMap<string, Held<Cluster>>;
  readonly endpoints: ReadonlyMap<string, Held<ClusterLoadAssignment>>;
  readonly listeners: ReadonlyMap<string, Held<Listener>>;
  readonly secrets: ReadonlyMap<string, Held<Secret>>;
  /** The last accepted version of each type; empty before the first. */
  readonly versions: Readonly<Record<AdsType, string>>;
}

/**
 * A resource that was decoded and checked, or the reason for which Envoy would refuse its response.
 */
export type Acceptance<Resource> =
  | {
      readonly kind: 'accepted';
      readonly name: string;
      readonly resource: Resource;
      /** Faults that Envoy refuses and this egress tolerates, one sentence each. */
      readonly remarks: readonly string[];
    }
  | { readonly kind: 'refused'; readonly name: string; readonly why: string };
