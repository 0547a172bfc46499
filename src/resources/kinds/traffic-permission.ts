import type { Document, Meta } from '../document.ts';
import type { Findings } from '../findings.ts';
import { readSelectors } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { olderPolicyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

export interface TrafficPermission {
  readonly meta: Meta;
  readonly sources: readonly Tags[];
  readonly destinations: readonly Tags[];
  /**
   * Why this permission must not be applied as far as it was understood; null where all of it was.
   */
  readonly notUnderstood: string | null;
}

function readTrafficPermission(document: Document, findings: Findings): TrafficPermission {
  const before = findings.unknowns();
  const spec = document.spec(['sources', 'destinations']);
  const sources = readSelectors(spec, 'sources', { atLeastOne: true }, findings);
  const destinations = readSelectors(spec, 'destinations', { atLeastOne: true }, findings);
  // What was not read may have been meant to narrow what was.
  const notUnderstood = findings.unknowns() > before ? 'it has fields that are not known' : null;
  return { meta: document.meta, sources, destinations, notUnderstood };
}

export const trafficPermission: PolicyKind<TrafficPermission, 'permissions'> = olderPolicyKind(
  'permissions',
  readTrafficPermission,
);
