import type { Verification } from '../model/client.ts';
import type { MeshName } from '../model/names.ts';
import { chainError } from './check-chain.ts';
import { readBundle } from './pem.ts';
import { verifyClient } from './verify.ts';

export interface Presented {
  /** PEM, the leaf first. */
  readonly pem: string;
  /** PEM bundle of the mesh; null takes the chain at its word. */
  readonly trust: string | null;
  readonly nowMs: number;
}

/**
 * What would become of a client of a mesh that presents this certificate, with the checks that
 * traffic makes. Only the chain is judged by names and signatures, where traffic has OpenSSL's
 * verdict. A sentence where the file holds no certificate.
 */
export function verifyPresented(mesh: MeshName, { pem, trust, nowMs }: Presented): Verification | string {
  const chain = readBundle(pem);
  if (chain.kind === 'bad') return chain.why;
  const trusted = trust === null ? null : readBundle(trust);
  if (trusted?.kind === 'bad') return `the CA of mesh ${mesh}: ${trusted.why}`;
  const authorizationError = trusted === null ? null : chainError(chain.certificates, trusted.certificates);
  const [certificate] = chain.certificates;
  return verifyClient(mesh, { certificate, authorized: authorizationError === null, authorizationError, nowMs });
}
