import type { X509Certificate } from 'node:crypto';

const MAX_LENGTH = 10;

/**
 * Checks by names and signatures whether a chain, the leaf first, leads to one of the trusted
 * certificates. Returns null, or OpenSSL's code for the error. Traffic relies on OpenSSL's own
 * verdict, and uses this only to find which of several trust domains a chain belongs to.
 */
export function chainError(chain: readonly X509Certificate[], trusted: readonly X509Certificate[]): string | null {
  const path = findPath(chain, trusted);
  return typeof path === 'string' ? path : null;
}

/** Both in milliseconds since the Unix epoch. */
export interface Times {
  readonly from: number;
  readonly until: number;
}

/**
 * Returns when all certificates of a chain are valid, with those that lead from its end to a root;
 * null where it does not lead to a trusted one.
 */
export function chainTimes(chain: readonly X509Certificate[], trusted: readonly X509Certificate[]): Times | null {
  const path = findPath(chain, trusted);
  if (typeof path === 'string') return null;
  let last = path.at(-1);
  for (let length = 0; last !== undefined && !issued(last, last) && length < MAX_LENGTH; length++) {
    const child: X509Certificate = last;
    last = lastToEnd(trusted.filter((ca) => ca !== child && issued(child, ca)));
    if (last !== undefined) path.push(last);
  }
  return {
    from: Math.max(...path.map(({ validFrom }) => Date.parse(validFrom))),
    until: Math.min(...path.map(({ validTo }) => Date.parse(validTo))),
  };
}

/** Returns the certificates from the leaf to a trusted one, or OpenSSL's code for the error. */
function findPath(chain: readonly X509Certificate[], trusted: readonly X509Certificate[]): X509Certificate[] | string {
  const path: X509Certificate[] = [];
  let [current] = chain;
  while (current !== undefined && path.length < MAX_LENGTH) {
    const child: X509Certificate = current;
    path.push(child);
    const anchor = lastToEnd(trusted.filter((ca) => issued(child, ca)));
    if (anchor !== undefined) return [...path, anchor];
    if (issued(child, child)) return path.length === 1 ? 'DEPTH_ZERO_SELF_SIGNED_CERT' : 'SELF_SIGNED_CERT_IN_CHAIN';
    // Only CA certificates count: a holder of a certificate of one domain that runs the CA of
    // another must not sign for the first.
    current = chain.find((other) => other !== child && other.ca && issued(child, other));
  }
  return current === undefined ? 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' : 'CERT_CHAIN_TOO_LONG';
}

/** A CA may be there twice, renewed with the same key. */
function lastToEnd(certificates: readonly X509Certificate[]): X509Certificate | undefined {
  return certificates.toSorted((a, b) => Date.parse(b.validTo) - Date.parse(a.validTo))[0];
}

/** Returns the leaf and the certificates that the client sent with it. */
export function sentChain(leaf: X509Certificate): readonly [X509Certificate, ...X509Certificate[]] {
  const chain: [X509Certificate, ...X509Certificate[]] = [leaf];
  for (let next = leaf.issuerCertificate; next !== undefined && chain.length < MAX_SENT; next = next.issuerCertificate) {
    if (chain.some(({ fingerprint256 }) => fingerprint256 === next?.fingerprint256)) break;
    chain.push(next);
  }
  return chain;
}

const MAX_SENT = 10;

/** Reading a forged key throws. */
function issued(child: X509Certificate, ca: X509Certificate): boolean {
  try {
    return child.checkIssued(ca) && child.verify(ca.publicKey);
  } catch {
    return false;
  }
}
