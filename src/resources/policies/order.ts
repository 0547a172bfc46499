import type { Meta } from '../document.ts';
import { TARGET_KINDS } from '../kinds/target-ref.ts';
import type { TargetRef } from '../kinds/target-ref.ts';

/** What Kuma sorts policies by; of two settings the later policy's counts. */
export interface Ordered {
  readonly meta: Meta;
  /** Null: the whole mesh. */
  readonly targetRef: TargetRef | null;
}

const ORIGINS: ReadonlyMap<string, number> = new Map([
  ['global', 1],
  ['zone', 3],
]);
const ROLES: readonly string[] = ['system', 'producer', 'consumer', 'workload-owner'];

/**
 * Kind of the target, among Dataplanes how exactly they are selected, where the policy comes from,
 * its role.
 */
export function byPolicy(a: Ordered, b: Ordered): number {
  return (
    kindRank(a) - kindRank(b) || dataplaneRank(a) - dataplaneRank(b) || originRank(a) - originRank(b) || roleRank(a) - roleRank(b)
  );
}

/** The name that sorts first comes last, so it wins. */
export function byNameFirstLast(a: Ordered, b: Ordered): number {
  const [first, second] = [a.meta.displayName, b.meta.displayName];
  return first < second ? 1 : first > second ? -1 : 0;
}

function kindRank({ targetRef }: Ordered): number {
  return TARGET_KINDS.indexOf(targetRef?.kind ?? 'Mesh');
}

/** By name, by labels, all; with a section before without. */
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
