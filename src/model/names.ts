/**
 * The names that the data plane compares. They are branded: made once at an edge (the hello, a
 * resource, a certificate), and not checked again later.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/**
 * An SNI with ASCII letters folded to lower case; other bytes as latin1. Kuma's tag form contains
 * `{`, `=`, `,` and `}`.
 */
export type ServerName = Branded<'ServerName'>;
/** A whole id such as `spiffe://default/frontend`, exactly as in the certificate. */
export type SpiffeId = Branded<'SpiffeId'>;
export type MeshName = Branded<'MeshName'>;
/** SHA-256 in hex of a PEM or other content; it names a secret, which is stored elsewhere. */
export type ContentHash = Branded<'ContentHash'>;

export function meshName(text: string): MeshName {
  return text as MeshName;
}

export function contentHash(hex: string): ContentHash {
  return hex as ContentHash;
}

export function spiffeId(text: string): SpiffeId {
  return text as SpiffeId;
}

/** Folds only A-Z, so that no letter of another alphabet (U+212A, U+0130) equals an ASCII name. */
export function serverName(text: string): ServerName {
  return (/[A-Z]/.test(text) ? text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : text) as ServerName;
}
