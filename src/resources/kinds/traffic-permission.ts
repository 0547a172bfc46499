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
   * Why the part of this permission that was understood must not be applied alone; null where all
   * of it was understood.
   */
  readonly notUnderstood: string | null;
}

function readTrafficPermission(document: Document, findings: Findings): TrafficPermission {
  const before = findings.unknowns();
  const spec = document.spec(['sources', 'destinations']);
  const sources = readSelectors(spec, 'sources', { atLeastOne: true }, findings);
  const destinations = readSelectors(spec, 'destinations', { atLeastOne: true }, findings);
  // An unknown field may have been meant to narrow the others.
  const notUnderstood = findings.unknowns() > before ? 'it has fields that are not known' : null;
  return { meta: document.meta, sources, destinations, notUnderstood };
}

export const trafficPermission: PolicyKind<TrafficPermission, 'permissions'> = olderPolicyKind(
  'permissions',
  readTrafficPermission,
);
