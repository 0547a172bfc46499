import type { Socket } from 'node:net';
import type { Behaviour } from './fake-external-service.ts';
import type { TestMesh } from './test-mesh.ts';

/** The surroundings of the egress: declared here, in resources, or both. */
export interface FakeZoneOptions {
  /**
   * Names, or names with their options. Absent means `default`, unless the resources have meshes.
   */
  readonly meshes?: readonly string[] | Readonly<Record<string, FakeMeshOptions>>;
  /** External services by name: destinations outside of the mesh. */
  readonly external?: Readonly<Record<string, FakeExternalOptions>>;
  /** Which client may reach which external service. Absent allows none. */
  readonly permissions?: readonly FakePermission[];
  /**
   * A folder of Kuma resources, YAML documents, or files, added to the declarations above. A mesh
   * without the Secrets of its CA gets a CA.
   */
  readonly resources?: string | readonly { readonly path: string; readonly text: string }[];
  /**
   * Other addresses for external addresses of the resources: by the name of the service (`api`,
   * `default/api`) or by `address:port` as written.
   */
  readonly overrides?: Readonly<Record<string, string | Place>>;
}

export interface Place {
  readonly address: string;
  readonly port: number;
}

export interface FakeMeshOptions {
  /** Services of other zones: TLS goes through to them. */
  readonly services?: Readonly<Record<string, FakeServiceOptions>>;
  /** Your own mesh, to share a CA. */
  readonly mesh?: TestMesh;
}

export interface FakeServiceOptions {
  /** Default: `west`. */
  readonly zone?: string;
  /** Its reaction to a connection; default: `echo`. */
  readonly behaviour?: Behaviour;
  readonly onConnection?: (socket: Socket) => void;
}

export interface FakeExternalOptions {
  /** Not needed with one mesh. */
  readonly mesh?: string;
  /**
   * Default: ExternalService, which needs a permission. A MeshExternalService is open to its mesh,
   * as in Kuma.
   */
  readonly kind?: 'ExternalService' | 'MeshExternalService';
  /**
   * Its place: `tcp://127.0.0.1:5432`, `tls://127.0.0.1:8443`, or an address. Absent makes a fake
   * on loopback.
   */
  readonly to?: string | Place;
  /**
   * TLS from the egress to the service. `true` is enough for a fake, and for an address outside
   * with default settings.
   */
  readonly tls?: boolean | FakeTlsOptions;
  /** Kuma's `kuma.io/protocol`; default: tcp. */
  readonly protocol?: 'tcp' | 'http' | 'http2' | 'grpc';
  /** For a fake, what it does with a connection; default: `echo`. */
  readonly behaviour?: Behaviour;
  readonly onConnection?: (socket: Socket) => void;
}

export interface FakeTlsOptions {
  /**
   * The SNI, and the name that is checked. Default: `<name>.test` for a fake, otherwise the host of
   * `to`.
   */
  readonly serverName?: string;
  /** PEM that its certificate must lead to. Only with `to`: a fake's authority is known. */
  readonly ca?: string;
  /** A client certificate to show: `true` with a fake, which then demands one. */
  readonly client?: boolean | { readonly cert: string; readonly key: string };
}

export interface FakePermission {
  /** `web`, `spiffe://default/web`, or `*`. */
  readonly from: string;
  /** Name of an external service, or `*`. */
  readonly to: string;
}
