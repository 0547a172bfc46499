import type { Cluster } from './cluster.ts';
import type { ContentHash, MeshName, ServerName } from './names.ts';
import type { Route } from './route.ts';

/**
 * The one value that the data plane runs on: frozen, plain, without a secret, so it may be shown,
 * stored and sent anywhere. Where a value came from (file and line, resource version) is a side
 * table of the control side.
 */
export interface Snapshot {
  /** Changes with the content, and only with it: first 16 hex digits of a SHA-256. */
  readonly version: string;
  readonly zone: string;
  readonly routes: ReadonlyMap<ServerName, Route>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly meshes: ReadonlyMap<MeshName, Mesh>;
}

/** What it takes to end the mTLS of one mesh. */
export interface Mesh {
  readonly name: MeshName;
  /** PEM bundle that client certificates must lead to. */
  readonly trust: ContentHash;
  /**
   * Trust domains of SPIFFE whose clients may come, each with its own bundle; `trust` is all of
   * them then. Absent: only the domain that has the name of the mesh.
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
  /** Certificates are issued here, from the CA key of the mesh. */
  | { readonly kind: 'issue'; readonly caCert: ContentHash; readonly caKey: ContentHash; readonly lifetimeMs: number }
  /** Another program puts certificates into a folder: `tls.crt`, `tls.key`, `ca.crt`. */
  | { readonly kind: 'folder'; readonly path: string }
  /** Certificates come from a control plane, leaf first; a new one is a new configuration. */
  | { readonly kind: 'given'; readonly cert: ContentHash; readonly key: ContentHash }
  /**
   * What was written of it cannot be used: what would end here is refused with
   * `identity-unavailable`, and the trust is of no text.
   */
  | { readonly kind: 'none'; readonly why: string };

export const EMPTY_SNAPSHOT: Snapshot = {
  version: '0000000000000000',
  zone: '',
  routes: new Map(),
  clusters: new Map(),
  meshes: new Map(),
};

/** PEM texts by content hash. Travels and lives apart from the snapshot; never logged or shown. */
export type Secrets = ReadonlyMap<ContentHash, string>;

/**
 * The names that endpoints have, each with the family to resolve it in: `any`, where one endpoint
 * takes any.
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
 * Several ask for the names of one snapshot, and of ten thousand clusters they take a millisecond
 * to find.
 */
const namesOf = new WeakMap<Snapshot['clusters'], ReadonlyMap<string, 'v4' | 'any'>>();
