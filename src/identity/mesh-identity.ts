import type { Problem } from '../base/problem.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { identityProblem, meshOrigin } from './mesh-credentials.ts';

/**
 * The certificate of one mesh and what keeps it fresh. Nothing happens by itself before `start` and
 * after `close`.
 */
export interface MeshIdentity {
  readonly credentials: MeshCredentials;
  start(): void;
  /**
   * Somebody found the certificate out of date: whatever can be done about it is done now, not when
   * a timer comes.
   */
  refresh(): void;
  close(): void;
}

/**
 * Where a certificate that changed by itself goes, and why one could not. The last good one stays
 * in use.
 */
export interface IdentityEvents {
  readonly onCredentials: (credentials: MeshCredentials) => void;
  readonly onProblem: (problem: Problem) => void;
}

/** A listener of ours threw: told, and the next renewal comes all the same. */
export function fault(mesh: MeshName, error: unknown): Problem {
  const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return identityProblem(meshOrigin(mesh), `hand out the certificate for mesh ${mesh}: ${why}`);
}

export function sameCredentials(a: MeshCredentials, b: MeshCredentials): boolean {
  return a.mesh === b.mesh && a.generation === b.generation && a.cert === b.cert && a.key === b.key;
}
