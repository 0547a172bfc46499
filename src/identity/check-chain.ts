import type { X509Certificate } from 'node:crypto';

const MAX_LENGTH = 10;

/**
 * Checks by names and signatures whether a chain, the leaf first, leads to one of the trusted
 * certificates. Returns null, or OpenSSL's code for the error. Traffic relies on OpenSSL's own
 * verdict, and uses this only to find which of several trust domains a chain belongs to.
 */
export function chainError(chain: readonly X509Certificate[], trusted: readonly X509Certificate[]): string | null {
  let [current] = chain;
  for (let length = 0; current !== undefined && length < MAX_LENGTH; length++) {
    const child: X509Certificate = current;
    if (trusted.some((ca) => issued(child, ca))) return null;
    if (issued(child, child)) return length === 0 ? 'DEPTH_ZERO_SELF_SIGNED_CERT' : 'SELF_SIGNED_CERT_IN_CHAIN';
    // Only CA certificates count: a holder of a certificate of one domain that runs the CA of
    // another must not sign for the first.
    current = chain.find((other) => other !== child && other.ca && issued(child, other));
  }
  return current === undefined ? 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' : 'CERT_CHAIN_TOO_LONG';
}

/** Reading a forged key throws. */
function issued(child: X509Certificate, ca: X509Certificate): boolean {
  try {
    return child.checkIssued(ca) && child.verify(ca.publicKey);
  } catch {
    return false;
  }
}
