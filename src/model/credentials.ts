import type { ContentHash, MeshName } from './names.ts';

/**
 * What a data side needs to end the mTLS of one mesh. Made by the control side; the private key
 * never leaves the process.
 */
export interface MeshCredentials {
  readonly mesh: MeshName;
  /** PEM bundle: client certificates must lead to one of these, which may be intermediates. */
  readonly trust: string;
  /** Of a mesh whose clients may be of several trust domains: one bundle for each. */
  readonly trustDomains?: readonly TrustedDomain[];
  /**
   * Hash of all that is trusted: a new one means a new TLS server, an old one only a new
   * certificate in it.
   */
  readonly generation: ContentHash;
  /** PEM: leaf `spiffe://<mesh>/zone-egress` first, then what leads to the CA. */
  readonly cert: string;
  readonly key: string;
  /** Milliseconds since the Unix epoch, as is `notAfter`. */
  readonly notBefore: number;
  /** After it the egress refuses with `identity-unavailable`. */
  readonly notAfter: number;
}

export interface TrustedDomain {
  readonly name: string;
  /** PEM bundle. */
  readonly trust: string;
}

/** By the wall clock, in milliseconds since the Unix epoch. */
export function isValidAt({ notBefore, notAfter }: MeshCredentials, wallMs: number): boolean {
  return notBefore <= wallMs && wallMs < notAfter;
}
