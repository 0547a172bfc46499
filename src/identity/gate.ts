import { LRUCache } from 'lru-cache';
import type { PeerFacts, Verification, VerifiedClient } from '../model/client.ts';
import type { MeshName } from '../model/names.ts';
import { verifyClient } from './verify.ts';

/** Certificates; each takes about 3 KB. */
const REMEMBERED = 1_000;

interface Passed {
  readonly client: VerifiedClient;
  /** Both in milliseconds since the Unix epoch. */
  readonly verifiedAt: number;
  readonly expiresAt: number;
}

/**
 * The gate of one data side: `verifyClient`, with a memory for the certificates that passed,
 * because a sidecar connects many times with the same one. What is remembered is what the bytes of
 * the certificate say, which do not change; OpenSSL's verdict on the chain, the key that the client
 * proved and the time are those of each handshake. What is refused is looked at in full each time.
 */
export function createGate(): (mesh: MeshName, peer: PeerFacts) => Verification {
  const passed = new LRUCache<string, Passed>({ max: REMEMBERED });
  return (mesh, peer) => {
    const { certificate, authorized, nowMs, trustDomains } = peer;
    if (certificate === undefined || !authorized) return verifyClient(mesh, peer);
    // The bundles of several trust domains say more than the bytes of the certificate do.
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
