import type { MeshName, SpiffeId } from './names.ts';

declare const verified: unique symbol;

/** A client whose certificate passed every check of its mesh. Made only by identity/verify.ts; everything behind it takes this type. */
export interface VerifiedClient {
  readonly [verified]: true;
  readonly mesh: MeshName;
  readonly spiffeIds: readonly SpiffeId[];
  /** Every URI SAN, `kuma://` ones too: permissions are about these. */
  readonly uris: readonly string[];
  readonly issuer: string;
  /** ISO 8601. */
  readonly expiry: string;
}

/** What a refusal may tell of a certificate, as far as it could be read. */
export interface CertificateSummary {
  readonly spiffeIds: readonly string[];
  readonly issuer: string;
  readonly expiry: string;
}
