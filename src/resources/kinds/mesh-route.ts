import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import { MATCH_ALL, SERVICE_TAG } from '../tags.ts';
import type { Tags } from '../tags.ts';
import type { Route } from './traffic-route.ts';

const REF = ['kind', 'name', 'tags', 'mesh', 'namespace', 'labels', 'sectionName', 'proxyTypes'];
const BACKEND_REF = [...REF, 'weight', 'port'];

/** MeshHTTPRoute and MeshTCPRoute: the destinations of their rules, as far as they are `kuma.io/service` ones. */
export function readMeshRoute(document: Document, kind: 'MeshHTTPRoute' | 'MeshTCPRoute'): Route {
  const spec = document.spec(['targetRef', 'to']);
  const destinations: Tags[] = [];
  for (const to of spec.objects('to', ['targetRef', 'rules', 'hostnames']) ?? []) {
    const target = tagsOf(to.object('targetRef', REF));
    // Kuma skips the whole item where its target is no kuma.io/service.
    if (target === null) continue;
    for (const rule of to.objects('rules', ['matches', 'default']) ?? []) {
      const refs = rule.object('default', ['backendRefs', 'filters'])?.objects('backendRefs', BACKEND_REF);
      if (refs === undefined) destinations.push(target);
      else destinations.push(...refs.flatMap((ref) => tagsOf(ref) ?? []));
    }
  }
  return { meta: document.meta, kind, destinations };
}

function tagsOf(ref: Fields | undefined): Tags | null {
  if (ref === undefined) return null;
  const name = ref.text('name') ?? '';
  const tags = ref.tags('tags')?.tags ?? new Map<string, string>();
  switch (ref.text('kind')) {
    case 'MeshService':
      return new Map([[SERVICE_TAG, name]]);
    case 'MeshServiceSubset':
      return new Map([...tags, [SERVICE_TAG, name]]);
    case 'Mesh':
      return new Map([[SERVICE_TAG, MATCH_ALL]]);
    case 'MeshSubset':
      return new Map([...tags, [SERVICE_TAG, MATCH_ALL]]);
    default:
      return null;
  }
}
