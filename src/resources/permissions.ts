import type { Permission, Principal } from '../model/permission.ts';
import type { ExternalService } from './kinds/external-service.ts';
import type { TrafficPermission } from './kinds/traffic-permission.ts';
import { compareRank, MATCH_ALL, selects, SERVICE_TAG } from './tags.ts';
import type { Tags } from './tags.ts';

/** The TrafficPermissions of one mesh: which one counts for an external service. */
export interface PermissionChoice {
  /** Exactly one decides, never several together; null where none selects the service. */
  best(service: ExternalService): TrafficPermission | null;
}

interface Candidate {
  readonly permission: TrafficPermission;
  readonly destination: Tags;
}

export function permissionChoice(permissions: readonly TrafficPermission[]): PermissionChoice {
  const byService = new Map<string, Candidate[]>();
  const anywhere: Candidate[] = [];
  for (const permission of permissions) {
    for (const destination of permission.destinations) {
      const service = destination.get(SERVICE_TAG);
      const candidate = { permission, destination };
      if (service === undefined || service === MATCH_ALL) anywhere.push(candidate);
      else byService.set(service, pushed(byService.get(service), candidate));
    }
  }
  return {
    best({ service, tags }) {
      let best: Candidate | null = null;
      for (const candidate of [...(byService.get(service) ?? []), ...anywhere]) {
        // An empty destination is an error elsewhere, and selects nothing in Kuma.
        if (candidate.destination.size === 0 || !selects(candidate.destination, tags)) continue;
        if (best === null || compare(candidate, best) > 0) best = candidate;
      }
      return best?.permission ?? null;
    },
  };
}

/**
 * The more specific destination; then the permission that was created later, where the documents
 * say so; then the first by name, in whatever order they stand in the files. So does Kuma, whose
 * store lists them by name; files seldom say when they were created.
 */
function compare(a: Candidate, b: Candidate): number {
  return (
    compareRank(a.destination, b.destination) ||
    Math.sign((a.permission.meta.createdAt ?? 0) - (b.permission.meta.createdAt ?? 0)) ||
    byName(b.permission.meta.name, a.permission.meta.name)
  );
}

function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Adds in place: a list that is copied each time is slow where thousands name one service. */
export function pushed<Item>(list: Item[] | undefined, item: Item): Item[] {
  if (list === undefined) return [item];
  list.push(item);
  return list;
}

export function permissionName({ meta }: TrafficPermission): string {
  return `TrafficPermission ${meta.mesh}/${meta.name}`;
}

/**
 * Sources are alternatives. Principals name the mesh of the permission, which is the mesh of the
 * service.
 */
export function permissionOf(permission: TrafficPermission): Permission {
  const by = permissionName(permission);
  if (permission.notUnderstood !== null) return { kind: 'unsupported', by, why: permission.notUnderstood };
  const principals = permission.sources.map((source) => principalOf(source, permission.meta.mesh));
  if (principals.some(({ kind }) => kind === 'any')) return { kind: 'allow-all', by };
  return { kind: 'rules', by, rules: principals.map((principal) => ({ action: 'allow', by, principal })) };
}

/**
 * A wildcard asks for nothing: every client has a service, and Kuma does not look whether it has
 * the tag.
 */
function principalOf(source: Tags, mesh: string): Principal {
  return allOf([...source].filter(([, value]) => value !== MATCH_ALL).map(([tag, value]) => tagPrincipal(mesh, tag, value)));
}

/**
 * How a client's certificate carries a tag: `spiffe://<mesh>/<service>`, or `kuma://<tag>/<value>`.
 */
export function tagPrincipal(mesh: string, tag: string, value: string): Principal {
  return { kind: 'uri', match: 'exact', value: tag === SERVICE_TAG ? `spiffe://${mesh}/${value}` : `kuma://${tag}/${value}` };
}

export function allOf(principals: readonly Principal[]): Principal {
  const [first] = principals;
  if (first === undefined) return { kind: 'any' };
  return principals.length === 1 ? first : { kind: 'and', all: principals };
}
