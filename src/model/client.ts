import type { X509Certificate } from 'node:crypto';
import type { Refusal } from '../base/refusal.ts';
import type { CertificateAlert } from '../wire/alert.ts';
import type { TrustedDomain } from './credentials.ts';
import type { MeshName, SpiffeId } from './names.ts';

declare const verified: unique symbol;

/**
 * The facts that a permission tests, of a verified client or of one in a question. Traffic never
 * uses them alone.
 */
export interface ClientClaims {
  readonly mesh: MeshName;
  readonly spiffeIds: readonly SpiffeId[];
  /** Every URI SAN, including `kuma://` ones: permissions test these. */
  readonly uris: readonly string[];
  readonly issuer: string;
  /** ISO 8601. */
  readonly expiry: string;
}

/**
 * A client whose certificate passed every check of its mesh. Only identity/verify.ts makes one; all
 * later code takes this type.
 */
export interface VerifiedClient extends ClientClaims {
  readonly [verified]: true;
}

/** The parts of a certificate that a refusal may report, as far as they could be read. */
export interface CertificateSummary {
  readonly spiffeIds: readonly string[];
  readonly issuer: string;
  readonly expiry: string;
}

/** The facts that the TLS server of a mesh has about its peer after the handshake. */
export interface PeerFacts {
  readonly certificate: X509Certificate | undefined;
  /** True when OpenSSL has led the certificate to the trust of the mesh. */
  readonly authorized: boolean;
  /** OpenSSL's error code, e.g. `CERT_HAS_EXPIRED`; null without an error. */
  readonly authorizationError: string | null;
  readonly nowMs: number;
  /**
   * Absent means one trust domain, named like the mesh. Otherwise `authorized` means that the
   * certificate leads to the bundle of some domain.
   */
  readonly trustDomains?: readonly TrustedDomain[];
  /** The presented chain, the leaf first. Absent means what the connection holds. */
  readonly chain?: readonly X509Certificate[];
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
