import { LRUCache } from 'lru-cache';
import type { PeerFacts, Verification, VerifiedClient } from '../model/client.ts';
import type { MeshName } from '../model/names.ts';
import { verifyClient } from './verify.ts';

/** Number of certificates; each takes about 3 KB. */
const REMEMBERED = 1_000;

interface Passed {
  readonly client: VerifiedClient;
  /** Times are in milliseconds since the Unix epoch. */
  readonly verifiedAt: number;
  readonly expiresAt: number;
}

/**
 * Makes the gate of one data side: `verifyClient` with a memory of the certificates that passed,
 * because a sidecar connects many times with the same one. The memory holds only what the bytes of
 * a certificate say, which never changes. OpenSSL's verdict on the chain, the proof of the key and
 * the time are checked in each handshake. A refused certificate is checked in full each time.
 */
export function createGate(): (mesh: MeshName, peer: PeerFacts) => Verification {
  const passed = new LRUCache<string, Passed>({ max: REMEMBERED });
  return (mesh, peer) => {
    const { certificate, authorized, nowMs, trustDomains } = peer;
    if (certificate === undefined || !authorized) return verifyClient(mesh, peer);
    // The verdict also depends on the bundles of several trust domains, not only on the bytes of
    // the certificate.
    if (trustDomains !== undefined) return verifyClient(mesh, peer);
    const key = `${mesh}\n${certificate.raw.toString('latin1')}`;
    const known = passed.get(key);
    if (known !== undefined && nowMs >= known.verifiedAt && nowMs <= known.expiresAt)
      return { kind: 'verified', client: known.client };
    const verification = verifyClient(mesh, peer);
    if (verification.kind === 'verified') {
      passed.set(key, { client: verification.client, verifiedAt: nowMs, expiresAt: Date.parse(verification.client.expiry) });
    }
    return verification;
  };
}
