import type { Meta } from '../document.ts';
import { TARGET_KINDS } from '../kinds/target-ref.ts';
import type { TargetRef } from '../kinds/target-ref.ts';

/** Fields that Kuma sorts policies by; the value of the later policy counts. */
export interface Ordered {
  readonly meta: Meta;
  /** Null for the whole mesh. */
  readonly targetRef: TargetRef | null;
}

const ORIGINS: ReadonlyMap<string, number> = new Map([
  ['global', 1],
  ['zone', 3],
]);
const ROLES: readonly string[] = ['system', 'producer', 'consumer', 'workload-owner'];

/**
 * Orders policies by kind of the target, for Dataplanes by how exactly they are selected, by
 * origin, by role.
 */
export function byPolicy(a: Ordered, b: Ordered): number {
  return (
    kindRank(a) - kindRank(b) || dataplaneRank(a) - dataplaneRank(b) || originRank(a) - originRank(b) || roleRank(a) - roleRank(b)
  );
}

/** Puts the name that sorts first last, so that it wins. */
export function byNameFirstLast(a: Ordered, b: Ordered): number {
  const [first, second] = [a.meta.displayName, b.meta.displayName];
  return first < second ? 1 : first > second ? -1 : 0;
}

function kindRank({ targetRef }: Ordered): number {
  return TARGET_KINDS.indexOf(targetRef?.kind ?? 'Mesh');
}

/** Ranks by name, by labels, all; a target with a section ranks above the same without. */
function dataplaneRank({ targetRef }: Ordered): number {
  if (targetRef?.kind !== 'Dataplane') return 0;
  const selects = targetRef.name !== '' ? 4 : targetRef.byLabels ? 2 : 0;
  return selects + (targetRef.sectionName === '' ? 0 : 1);
}

function originRank({ meta }: Ordered): number {
  return ORIGINS.get(meta.labels.get('kuma.io/origin') ?? '') ?? 2;
}

function roleRank({ meta }: Ordered): number {
  return ROLES.indexOf(meta.labels.get('kuma.io/policy-role') ?? 'system');
}
