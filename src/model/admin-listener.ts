import type { ContentHash } from './names.ts';

/**
 * The place where a control plane wants to reach the admin pages, and how it proves its identity.
 */
export interface AdminListener {
  readonly address: string;
  readonly port: number;
  /** Prefixes of paths that are served without TLS, such as `/ready`. */
  readonly plaintextPaths: readonly string[];
  /** Null where there is no such chain, or none that can be served safely. */
  readonly tls: AdminTls | null;
}

export interface AdminTls {
  /** PEM texts by content hash. */
  readonly cert: ContentHash;
  readonly key: ContentHash;
  readonly clientCa: ContentHash;
  /** A client must have this DNS name. */
  readonly clientName: string;
}
