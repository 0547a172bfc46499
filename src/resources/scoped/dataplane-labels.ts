import type { DataplaneDefinition } from '../kinds/dataplane.ts';
import type { TargetRef } from '../kinds/target-ref.ts';
import { selects } from '../tags.ts';
import type { Tags } from '../tags.ts';

/** Returns its labels with those that a control plane computes. */
export function labelsOf({ meta }: DataplaneDefinition, zone: string): Tags {
  return new Map([
    ...meta.labels,
    ['kuma.io/display-name', meta.displayName],
    ['kuma.io/env', meta.form],
    ['kuma.io/listener-zoneegress', 'enabled'],
    ['kuma.io/mesh', meta.mesh],
    ['kuma.io/origin', 'zone'],
    ...(zone === '' ? [] : [['kuma.io/zone', zone] as const]),
  ]);
}

/** Tells whether a policy's target selects a Dataplane that is a zone egress. It has no tags. */
export function selectsDataplane(targetRef: TargetRef | null, dataplane: DataplaneDefinition, zone: string): boolean {
  if (targetRef === null) return true;
  if (targetRef.onlyGateways) return false;
  switch (targetRef.kind) {
    case 'Mesh':
      return true;
    case 'MeshSubset':
      return targetRef.tags.size === 0;
    case 'Dataplane': {
      const { meta, egresses } = dataplane;
      const { name, namespace, labels, sectionName } = targetRef;
      if (name !== '' && name !== meta.displayName && name !== meta.name) return false;
      if (namespace !== '' && namespace !== meta.namespace) return false;
      if (!selects(labels, labelsOf(dataplane, zone))) return false;
      return sectionName === '' || egresses.some(({ name: own, port }) => own === sectionName || String(port) === sectionName);
    }
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
