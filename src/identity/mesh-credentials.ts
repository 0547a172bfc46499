import type { X509Certificate } from 'node:crypto';
import type { Problem } from '../base/problem.ts';
import type { MeshCredentials, TrustedDomain } from '../model/credentials.ts';
import { hashOf } from '../model/hash-of.ts';
import type { MeshName } from '../model/names.ts';
import { createMeshContext } from './server-context.ts';

export type MadeCredentials =
  | { readonly kind: 'made'; readonly credentials: MeshCredentials }
  | { readonly kind: 'bad'; readonly problems: readonly Problem[] };

/**
 * Puts the parts together and tries them in a TLS context, so that an error of OpenSSL is a problem
 * now and not at the first client.
 */
export function makeCredentials(parts: {
  readonly mesh: MeshName;
  readonly file: string;
  /** The text of readTrust. */
  readonly trust: string;
  readonly trustDomains?: readonly TrustedDomain[];
  readonly cert: string;
  readonly key: string;
  readonly notBefore: number;
  readonly notAfter: number;
}): MadeCredentials {
  const { mesh, trust, trustDomains, cert, key, notBefore, notAfter } = parts;
  const generation = hashOf(trustDomains === undefined ? trust : JSON.stringify(trustDomains));
  const several = trustDomains === undefined ? {} : { trustDomains };
  const credentials = Object.freeze({ mesh, trust, ...several, generation, cert, key, notBefore, notAfter });
  try {
    createMeshContext(credentials);
    return { kind: 'made', credentials };
  } catch (error) {
    return {
      kind: 'bad',
      problems: [identityProblem(parts.file, `OpenSSL cannot serve mesh ${mesh} with it: ${reasonOf(error)}`)],
    };
  }
}

/**
 * Returns the key of the Mesh in the origins of a configuration; findings that belong to no file
 * carry it.
 */
export function meshOrigin(mesh: MeshName): string {
  return `mesh:${mesh}`;
}

export function identityProblem(file: string, message: string, severity: Problem['severity'] = 'error'): Problem {
  return { severity, file, line: 0, column: 0, field: '', message };
}

/** Keeps only OpenSSL's reason, which never holds a part of a key. */
function reasonOf(error: unknown): string {
  const { reason, code } = error as { reason?: string; code?: string };
  return reason ?? code ?? 'it is not accepted';
}

export function beginOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validFrom);
}

export function expiryOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}
