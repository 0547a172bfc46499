import type { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

/**
 * The use of a certificate and its key: to show to a service, to show to a service in TLS 1.0 or
 * 1.1, or to issue the certificates of a mesh.
 */
export type PairUse = 'client' | 'old-client' | 'issuer';

/** The limits of OpenSSL's security level 2, which verifies clients and services. */
const MIN_RSA_BITS = 2_048;
const SIGNING_KEYS: readonly string[] = ['rsa', 'rsa-pss', 'ec', 'ed25519', 'ed448'];
/** The keys that identity/encode.ts can sign with. */
const ISSUING_KEYS: readonly string[] = ['rsa', 'ec', 'ed25519'];

/**
 * Says why a matching pair cannot be used, before `run` would find it at the first session; null
 * where it can. Never quotes the text.
 */
export function pairUseProblem(cert: string, key: string, leaf: X509Certificate, use: PairUse): string | null {
  if (use === 'issuer') return issuerProblem(leaf);
  const kind = keyOf(leaf);
  if (kind === null || !SIGNING_KEYS.includes(kind.type))
    return `has a key of type ${kind?.type ?? 'unknown'}, which TLS cannot sign with (RSA, EC, Ed25519 or Ed448)`;
  if (use === 'client' && kind.bits !== null && kind.bits < MIN_RSA_BITS)
    return `has an RSA key of ${kind.bits} bits, which is too weak (at least ${MIN_RSA_BITS})`;
  return opensslProblem({ cert, key, ...(use === 'old-client' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}) });
}

/** Says why OpenSSL would not accept a text as trust; null where it does. */
export function trustProblem(ca: string): string | null {
  return opensslProblem({ ca });
}

/** A warning only: the clock of this machine may be wrong, and the other side decides. */
export function validityProblem({ validFrom, validTo }: X509Certificate, nowMs: number): string | null {
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  if (to <= nowMs) return `expired ${new Date(to).toISOString()}`;
  return from > nowMs ? `is valid from ${new Date(from).toISOString()} only` : null;
}

function issuerProblem(ca: X509Certificate): string | null {
  const kind = keyOf(ca);
  if (kind === null || !ISSUING_KEYS.includes(kind.type))
    return `has a key of type ${kind?.type ?? 'unknown'}, which no certificate can be issued with here (RSA, EC or Ed25519)`;
  if (kind.bits !== null && kind.bits < MIN_RSA_BITS)
    return `has an RSA key of ${kind.bits} bits, and no client that it signs would be trusted (at least ${MIN_RSA_BITS})`;
  return null;
}

function keyOf(certificate: X509Certificate): { readonly type: string; readonly bits: number | null } | null {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
    return { type: asymmetricKeyType ?? 'unknown', bits: asymmetricKeyDetails?.modulusLength ?? null };
  } catch {
    return null;
  }
}

/** OpenSSL's reasons, with what to do about them. */
const REASONS: Readonly<Record<string, string>> = {
  'ee key too small': 'has a key that is too weak (RSA of at least 2048 bits, EC of at least 224)',
  'ca key too small': 'holds a CA certificate whose key is too weak (RSA of at least 2048 bits, EC of at least 224)',
  'ca md too weak': 'is signed with a hash that is too weak (SHA-1 or MD5): have it issued anew with SHA-256',
};

function opensslProblem(options: Parameters<typeof createSecureContext>[0]): string | null {
  try {
    createSecureContext(options);
    return null;
  } catch (error) {
    const { reason, code } = error as { readonly reason?: string; readonly code?: string };
    return REASONS[reason ?? ''] ?? `cannot be used for TLS: ${reason ?? code ?? 'OpenSSL does not take it'}`;
  }
}
