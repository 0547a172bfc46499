import type { ContentHash } from './names.ts';

/**
 * Where a control plane wants to reach the admin pages, and how it proves that it is the control
 * plane.
 */
export interface AdminListener {
  readonly address: string;
  readonly port: number;
  /** Prefixes of paths that are served without TLS, such as `/ready`. */
  readonly plaintextPaths: readonly string[];
  /** null where there is no such chain, or it is not one that can be served safely. */
  readonly tls: AdminTls | null;
}

export interface AdminTls {
  /** PEM texts by content hash. */
  readonly cert: ContentHash;
  readonly key: ContentHash;
  readonly clientCa: ContentHash;
  /** A client has to have this DNS name. */
  readonly clientName: string;
}
