import type { Problem } from '../base/problem.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { identityProblem, meshOrigin } from './mesh-credentials.ts';

/**
 * The certificate of one mesh, and the means to keep it fresh. It acts by itself only between
 * `start` and `close`.
 */
export interface MeshIdentity {
  readonly credentials: MeshCredentials;
  start(): void;
  /**
   * Renews at once, without waiting for a timer, because a session found the certificate out of
   * date.
   */
  refresh(): void;
  close(): void;
}

/**
 * Receives each certificate that was renewed, and the reason of each failure. The last good
 * certificate stays in use.
 */
export interface IdentityEvents {
  readonly onCredentials: (credentials: MeshCredentials) => void;
  readonly onProblem: (problem: Problem) => void;
}

/** Reports that a listener of the egress threw; the next renewal still happens. */
export function fault(mesh: MeshName, error: unknown): Problem {
  const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return identityProblem(meshOrigin(mesh), `hand out the certificate for mesh ${mesh}: ${why}`);
}

export function sameCredentials(a: MeshCredentials, b: MeshCredentials): boolean {
  return a.mesh === b.mesh && a.generation === b.generation && a.cert === b.cert && a.key === b.key;
}
