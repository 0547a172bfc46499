import type { Clock } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import type { MeshCredentials } from '../model/credentials.ts';

/** Finds certificates that a control plane has to renew, and does not. */
export interface CertificateAge {
  /** Returns one problem for each such certificate, at this moment. */
  problems(): readonly Problem[];
  close(): void;
}

export interface CertificateAgeOptions {
  readonly clock: Clock;
  /** Returns the certificates that a control plane sent. */
  readonly credentials: () => readonly MeshCredentials[];
  /** Called once for each problem that is new. */
  readonly onProblem: (problem: Problem) => void;
}

/** A control plane sends a new certificate at four fifths of the life of the present one. */
const LATE = 0.9;
const LOOK_MS = 10_000;

export function watchCertificateAge({ clock, credentials, onProblem }: CertificateAgeOptions): CertificateAge {
  let told: ReadonlySet<string> = new Set();
  const problems = (): readonly Problem[] => credentials().flatMap((one) => problemOf(one, clock.wall()) ?? []);
  const timer = clock.every(LOOK_MS, () => {
    const found = problems();
    for (const problem of found) if (!told.has(problem.message)) onProblem(problem);
    told = new Set(found.map(({ message }) => message));
  });
  return { problems, close: () => timer.cancel() };
}

function problemOf({ mesh, notBefore, notAfter }: MeshCredentials, now: number): Problem | null {
  if (now < notBefore + (notAfter - notBefore) * LATE) return null;
  const ends = new Date(notAfter).toISOString();
  const message =
    now < notAfter
      ? `the certificate of this egress in mesh ${mesh} ends ${ends}, and the control plane has not sent a new one, which it does at four fifths of its life: ${TODO}`
      : `the certificate of this egress in mesh ${mesh} expired ${ends}, and its clients are refused with identity-unavailable until the control plane sends a new one: ${TODO}`;
  return { severity: 'warning', file: `mesh:${mesh}`, line: 0, column: 0, field: '', message };
}

const TODO =
  'check that there is a stream (/dataplanes), that the MeshIdentity or the mTLS backend of the mesh still exists, and the log of the control plane';
