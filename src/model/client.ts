import type { X509Certificate } from 'node:crypto';
import type { Refusal } from '../base/refusal.ts';
import type { CertificateAlert } from '../wire/alert.ts';
import type { TrustedDomain } from './credentials.ts';
import type { MeshName, SpiffeId } from './names.ts';

declare const verified: unique symbol;

/**
 * What a permission looks at: of a client that was verified, or of one that somebody asks about.
 * Traffic never takes these alone.
 */
export interface ClientClaims {
  readonly mesh: MeshName;
  readonly spiffeIds: readonly SpiffeId[];
  /** Every URI SAN, `kuma://` ones too: permissions are about these. */
  readonly uris: readonly string[];
  readonly issuer: string;
  /** ISO 8601. */
  readonly expiry: string;
}

/**
 * A client whose certificate passed every check of its mesh. Made only by identity/verify.ts;
 * everything behind it takes this type.
 */
export interface VerifiedClient extends ClientClaims {
  readonly [verified]: true;
}

/** What a refusal may tell of a certificate, as far as it could be read. */
export interface CertificateSummary {
  readonly spiffeIds: readonly string[];
  readonly issuer: string;
  readonly expiry: string;
}

/** What a TLS server of the mesh knows about its peer after the handshake. */
export interface PeerFacts {
  readonly certificate: X509Certificate | undefined;
  /** OpenSSL led the certificate to the trust of the mesh. */
  readonly authorized: boolean;
  /** OpenSSL's code where it did not, e.g. `CERT_HAS_EXPIRED`. */
  readonly authorizationError: string | null;
  readonly nowMs: number;
  /**
   * Absent: the one trust domain that has the name of the mesh. Otherwise `authorized` says that
   * the certificate leads to the bundle of one of them, and not to which.
   */
  readonly trustDomains?: readonly TrustedDomain[];
}

export type Verification =
  | { readonly kind: 'verified'; readonly client: VerifiedClient }
  | {
      readonly kind: 'rejected';
      readonly refusal: Refusal;
      readonly certificate: CertificateSummary | null;
      /** The alert that the client gets, where that is possible. */
      readonly alert: CertificateAlert;
    };
