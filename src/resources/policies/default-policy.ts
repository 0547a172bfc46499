/** The policies that Kuma creates with every mesh. */
import type { Meta } from '../document.ts';
import type { MeshDefinition } from '../kinds/mesh.ts';
import type { TargetRef } from '../kinds/target-ref.ts';
import type { Ordered } from './order.ts';

const ORIGIN = 'kuma.io/origin';

/**
 * Returns the name and labels of the policy that Kuma has made; null where the mesh skips it, or
 * the resources have it.
 */
export function isMade(
  kind: string,
  name: string,
  { meta, skippedPolicies }: MeshDefinition,
  present: readonly Ordered[],
): Meta | null {
  if (skippedPolicies.some((skipped) => skipped === '*' || skipped === kind)) return null;
  if (present.some(({ meta: { displayName } }) => displayName === name)) return null;
  // Beside policies without the label for their origin it has none either: Kuma created both in the
  // same place.
  const isLabelled = present.some((policy) => policy.meta.labels.has(ORIGIN));
  const labels = new Map(isLabelled ? [[ORIGIN, 'global']] : []);
  return { ...meta, name, displayName: name, mesh: meta.name, labels };
}

export function ofWholeMesh({ at }: Meta): TargetRef {
  return {
    kind: 'Mesh',
    name: '',
    tags: new Map<string, string>(),
    byLabels: false,
    labels: new Map<string, string>(),
    namespace: '',
    sectionName: '',
    includesGateways: true,
    onlyGateways: false,
    at,
    path: '',
  };
}
