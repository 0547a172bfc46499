import type { DataplaneDefinition } from '../kinds/dataplane.ts';
import type { TargetRef } from '../kinds/target-ref.ts';
import type { Tags } from '../tags.ts';

const NAMESPACE = 'k8s.kuma.io/namespace';

/** Labels that a control plane computes from more than the resource, or not in each version. */
const COMPUTED: ReadonlySet<string> = new Set([
  NAMESPACE,
  'k8s.kuma.io/service-account',
  'kuma.io/proxy-type',
  'kuma.io/workload',
  'kuma.io/zone',
]);

/** Returns its labels with those that a control plane computes. */
export function labelsOf({ meta }: DataplaneDefinition, zone: string): Tags {
  return new Map([
    ...(meta.namespace === '' ? [] : [[NAMESPACE, meta.namespace] as const]),
    ...meta.labels,
    ['kuma.io/display-name', meta.displayName],
    ['kuma.io/env', meta.form],
    ['kuma.io/listener-zoneegress', 'enabled'],
    ['kuma.io/mesh', meta.mesh],
    ['kuma.io/origin', 'zone'],
    ...(zone === '' ? [] : [['kuma.io/zone', zone] as const]),
  ]);
}

/**
 * Tells whether a policy's target selects a Dataplane that is a zone egress. Labels must be equal:
 * `*` is no pattern here. A MeshSubset selects inbounds by their tags, and it has none.
 */
export function selectsDataplane(targetRef: TargetRef | null, dataplane: DataplaneDefinition, zone: string): boolean {
  if (targetRef === null) return true;
  if (targetRef.onlyGateways) return false;
  switch (targetRef.kind) {
    case 'Mesh':
      return true;
    case 'Dataplane': {
      const { meta, egresses } = dataplane;
      const { name, namespace, labels, sectionName } = targetRef;
      if (name !== '' && name !== meta.displayName && name !== meta.name) return false;
      if (namespace !== '' && namespace !== meta.namespace) return false;
      const own = labelsOf(dataplane, zone);
      if ([...labels].some(([label, value]) => own.get(label) !== value)) return false;
      return sectionName === '' || egresses.some(({ name: own, port }) => own === sectionName || String(port) === sectionName);
    }
    case 'MeshSubset':
    case 'MeshService':
    case 'MeshServiceSubset':
    case 'MeshGateway':
    case 'MeshExternalService':
    case 'MeshMultiZoneService':
    case 'MeshHTTPRoute':
      return false;
    default:
      return targetRef.kind satisfies never;
  }
}

/**
 * Lists the labels of a target that leave open whether it selects the Dataplane: a control plane
 * computes them, and the resource does not have them. Empty where another field decides.
 */
export function openLabels(targetRef: TargetRef | null, dataplane: DataplaneDefinition, zone: string): readonly string[] {
  if (targetRef?.kind !== 'Dataplane') return [];
  const known = labelsOf(dataplane, zone);
  const open = [...targetRef.labels.keys()].filter((label) => COMPUTED.has(label) && !known.has(label));
  const rest = new Map([...targetRef.labels].filter(([label]) => !open.includes(label)));
  return selectsDataplane({ ...targetRef, labels: rest }, dataplane, zone) ? open : [];
}
