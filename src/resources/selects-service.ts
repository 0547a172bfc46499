import type { TargetRef } from './kinds/target-ref.ts';
import { selects, SERVICE_TAG } from './tags.ts';

/**
 * Tells whether a policy's target selects an external service. On an egress, Kuma compares only its
 * `kuma.io/service`; so does this.
 */
export function selectsService(targetRef: TargetRef | null, service: string): boolean {
  if (targetRef === null) return true;
  const tags = new Map([[SERVICE_TAG, service]]);
  switch (targetRef.kind) {
    case 'Mesh':
      return true;
    case 'MeshSubset':
      return selects(targetRef.tags, tags);
    case 'MeshService':
      return targetRef.name === service;
    case 'MeshServiceSubset':
      return targetRef.name === service && selects(targetRef.tags, tags);
    case 'Dataplane':
    case 'MeshGateway':
    case 'MeshExternalService':
    case 'MeshMultiZoneService':
    case 'MeshHTTPRoute':
      return false;
    default:
      return targetRef.kind satisfies never;
  }
}
