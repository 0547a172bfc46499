import type { Document } from '../document.ts';
import type { Findings } from '../findings.ts';
import { MATCH_ALL, SERVICE_TAG } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { checkTargetRef, readTargetRef, TARGET_FIELDS } from './target-ref.ts';
import type { TargetRef } from './target-ref.ts';
import type { RouteResource } from './traffic-route.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

/** `Mesh` is allowed only for a gateway. */
const TO = ['Mesh', 'MeshService', 'MeshExternalService', 'MeshMultiZoneService'] as const;
const BACKENDS = ['MeshService', 'MeshServiceSubset', 'MeshExternalService', 'MeshMultiZoneService'] as const;

/**
 * Reads the destinations in the rules of a MeshHTTPRoute or MeshTCPRoute, if they are
 * `kuma.io/service` ones.
 */
function readMeshRoute(document: Document, kind: 'MeshHTTPRoute' | 'MeshTCPRoute', findings: Findings): RouteResource {
  const spec = document.spec(['targetRef', 'to']);
  const destinations: Tags[] = [];
  for (const to of spec.objects('to', ['targetRef', 'rules', 'hostnames']) ?? []) {
    const ref = readTargetRef(to, 'targetRef', TO, findings);
    if (ref === undefined) to.errorAt(to.at, `${to.path}.targetRef.kind`, 'must be defined');
    const target = tagsOf(ref ?? null);
    // Kuma skips the whole item where its target is no kuma.io/service.
    if (target === null) continue;
    for (const rule of to.objects('rules', ['matches', 'default']) ?? []) {
      const refs = rule
        .object('default', ['backendRefs', 'filters'])
        ?.objects('backendRefs', [...TARGET_FIELDS, 'weight', 'port']);
      if (refs === undefined) destinations.push(target);
      else destinations.push(...refs.flatMap((each) => tagsOf(checkTargetRef(each, BACKENDS, findings)) ?? []));
    }
  }
  return { meta: document.meta, kind, destinations };
}

function tagsOf(ref: TargetRef | null): Tags | null {
  switch (ref?.kind) {
    case 'MeshService':
      return new Map([[SERVICE_TAG, ref.name]]);
    case 'MeshServiceSubset':
      return new Map([...ref.tags, [SERVICE_TAG, ref.name]]);
    case 'Mesh':
      return new Map([[SERVICE_TAG, MATCH_ALL]]);
    default:
      return null;
  }
}

export const meshHttpRoute: PolicyKind<RouteResource, 'routes'> = policyKind('routes', (document, findings) =>
  readMeshRoute(document, 'MeshHTTPRoute', findings),
);

export const meshTcpRoute: PolicyKind<RouteResource, 'routes'> = policyKind('routes', (document, findings) =>
  readMeshRoute(document, 'MeshTCPRoute', findings),
);
