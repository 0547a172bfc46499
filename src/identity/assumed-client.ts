import type { Verification } from '../model/client.ts';
import type { TrustedDomain } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { chainError } from './check-chain.ts';
import { readBundle } from './pem.ts';
import { verifyClient } from './verify.ts';

export interface Presented {
  /** PEM, the leaf first. */
  readonly pem: string;
  /** PEM bundle of the mesh; null skips the check of the chain. */
  readonly trust: string | null;
  /** Where the mesh has trust domains of its own; `trust` is then the bundles of all. */
  readonly trustDomains?: readonly TrustedDomain[];
  readonly nowMs: number;
}

/**
 * Judges a certificate as traffic would if a client of the mesh presented it. It checks the chain
 * by names and signatures; traffic has OpenSSL's verdict instead. Returns a sentence where the file
 * holds no certificate.
 */
export function verifyPresented(mesh: MeshName, { pem, trust, trustDomains, nowMs }: Presented): Verification | string {
  const chain = readBundle(pem);
  if (chain.kind === 'bad') return chain.why;
  const trusted = trust === null ? null : readBundle(trust);
  if (trusted?.kind === 'bad') return `the CA of mesh ${mesh}: ${trusted.why}`;
  const authorizationError = trusted === null ? null : chainError(chain.certificates, trusted.certificates);
  const [certificate] = chain.certificates;
  const { certificates } = chain;
  const domains = trustDomains === undefined ? {} : { trustDomains, chain: certificates };
  return verifyClient(mesh, { certificate, authorized: authorizationError === null, authorizationError, nowMs, ...domains });
}
