import type { Secrets, Snapshot } from '../../src/model/snapshot.ts';
import { lookForViolations } from '../../src/routing/invariants.ts';
import type { Violation } from '../../src/routing/invariants.ts';

/** Runs in one piece. */
export function violationsOf(snapshot: Snapshot, secrets: Secrets): readonly Violation[] {
  const steps = lookForViolations(snapshot, secrets);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
