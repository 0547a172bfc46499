import type { ContentHash, MeshName } from './names.ts';

/**
 * The credentials that a data side needs to terminate the mTLS of one mesh. The control side makes
 * them; the private key never leaves the process.
 */
export interface MeshCredentials {
  readonly mesh: MeshName;
  /** PEM bundle: client certificates must lead to one of these, which may be intermediates. */
  readonly trust: string;
  /** One bundle for each trust domain, where clients of a mesh may belong to several. */
  readonly trustDomains?: readonly TrustedDomain[];
  /**
   * Hash of the whole trust: a new hash makes a new TLS server, an unchanged one only a new
   * certificate in it.
   */
  readonly generation: ContentHash;
  /** PEM: leaf `spiffe://<mesh>/zone-egress` first, then the chain to the CA. */
  readonly cert: string;
  readonly key: string;
  /** Milliseconds since the Unix epoch, like `notAfter`. */
  readonly notBefore: number;
  /** After it the egress refuses with `identity-unavailable`. */
  readonly notAfter: number;
}

export interface TrustedDomain {
  readonly name: string;
  /** PEM bundle. */
  readonly trust: string;
}

/** `wallMs` is the wall clock, in milliseconds since the Unix epoch. */
export function isValidAt({ notBefore, notAfter }: MeshCredentials, wallMs: number): boolean {
  return notBefore <= wallMs && wallMs < notAfter;
}
