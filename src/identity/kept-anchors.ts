import type { X509Certificate } from 'node:crypto';
import { chainTimes, sentChain } from './check-chain.ts';
import { readBundle } from './pem.ts';

/**
 * Tells whether the chain of a client that OpenSSL verified under one trust leads to a certificate
 * that another trust has too, and is valid at this time. OpenSSL's verdict then stays as it was: a
 * CA that was added or taken away beside it changes nothing for this client. Both trusts are PEM
 * bundles.
 */
export function leadsToKeptAnchor(
  certificate: X509Certificate,
  { before, now, nowMs }: { readonly before: string; readonly now: string; readonly nowMs: number },
): boolean {
  const were = new Set(anchorsIn(before).map(({ fingerprint256 }) => fingerprint256));
  const kept = anchorsIn(now).filter(({ fingerprint256 }) => were.has(fingerprint256));
  const times = chainTimes(sentChain(certificate), kept);
  return times !== null && times.from <= nowMs && nowMs <= times.until;
}

function anchorsIn(pem: string): readonly X509Certificate[] {
  const read = readBundle(pem);
  return read.kind === 'bundle' ? read.certificates : [];
}
