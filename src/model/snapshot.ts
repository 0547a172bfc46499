import type { Cluster } from './cluster.ts';
import type { ContentHash, MeshName, ServerName } from './names.ts';
import type { Route } from './route.ts';

/**
 * The one value that the data plane runs on: frozen, plain, without a secret, so that it may be
 * shown, stored and sent anywhere. The place of each value (file and line, resource version) is in
 * a side table of the control side.
 */
export interface Snapshot {
  /** Changes exactly when the content does: first 16 hex digits of a SHA-256. */
  readonly version: string;
  readonly zone: string;
  readonly routes: ReadonlyMap<ServerName, Route>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** Keyed by the name of the mesh, or by the name that routes use instead (`identityOf`). */
  readonly meshes: ReadonlyMap<MeshName, Mesh>;
}

/** A mesh whose mTLS the egress terminates. */
export interface Mesh {
  /** Equals its key in the map. */
  readonly name: MeshName;
  /** PEM bundle that client certificates must lead to. */
  readonly trust: ContentHash;
  /**
   * SPIFFE trust domains of clients, each with its own bundle; `trust` is then all of them. Absent
   * means the one domain named like the mesh.
   */
  readonly trustDomains?: readonly TrustDomain[];
  readonly identity: IdentitySource;
}

export interface TrustDomain {
  readonly name: string;
  /** PEM bundle that a client of this domain must lead to. */
  readonly trust: ContentHash;
}

export type IdentitySource =
  /** The egress issues certificates with the CA key of the mesh. */
  | {
      readonly kind: 'issue';
      readonly caCert: ContentHash;
      readonly caKey: ContentHash;
      readonly lifetimeMs: number;
      /** The SPIFFE id to issue. Absent means that of a zone egress of the mesh. */
      readonly id?: string;
    }
  /** Another program puts certificates into a folder: `tls.crt`, `tls.key`, `ca.crt`. */
  | { readonly kind: 'folder'; readonly path: string }
  /** A control plane sends certificates, leaf first; a new one is a new configuration. */
  | { readonly kind: 'given'; readonly cert: ContentHash; readonly key: ContentHash }
  /**
   * The written identity cannot be used: terminated routes are refused with `identity-unavailable`,
   * and `trust` has no text.
   */
  | { readonly kind: 'none'; readonly why: string };

export const EMPTY_SNAPSHOT: Snapshot = {
  version: '0000000000000000',
  zone: '',
  routes: new Map(),
  clusters: new Map(),
  meshes: new Map(),
};

/**
 * PEM texts by content hash. They travel and live apart from the snapshot, and are never logged or
 * shown.
 */
export type Secrets = ReadonlyMap<ContentHash, string>;

/**
 * Returns the names of endpoints, each with its address family: `any`, where one endpoint allows
 * any.
 */
export function namesIn({ clusters }: Snapshot): ReadonlyMap<string, 'v4' | 'any'> {
  const known = namesOf.get(clusters);
  if (known !== undefined) return known;
  const names = new Map<string, 'v4' | 'any'>();
  namesOf.set(clusters, names);
  for (const { endpoints } of clusters.values()) {
    for (const { address } of endpoints) {
      if (address.kind === 'name' && names.get(address.name) !== 'any') names.set(address.name, address.family);
    }
  }
  return names;
}

/**
 * Several callers ask for the names of one snapshot; finding them in ten thousand clusters takes a
 * millisecond.
 */
const namesOf = new WeakMap<Snapshot['clusters'], ReadonlyMap<string, 'v4' | 'any'>>();
