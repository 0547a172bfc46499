import type { Permission, Principal } from '../model/permission.ts';
import type { ExternalService } from './kinds/external-service.ts';
import type { TrafficPermission } from './kinds/traffic-permission.ts';
import { compareRank, MATCH_ALL, selects, SERVICE_TAG } from './tags.ts';
import type { Tags } from './tags.ts';

/** Chooses the TrafficPermission that counts for an external service of one mesh. */
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
        // An empty destination is reported elsewhere, and selects nothing in Kuma.
        if (candidate.destination.size === 0 || !selects(candidate.destination, tags)) continue;
        if (best === null || compare(candidate, best) > 0) best = candidate;
      }
      return best?.permission ?? null;
    },
  };
}

/**
 * Orders candidates as Kuma does: the more specific destination first, then the permission that was
 * created later, where the documents have a time, then by name. Kuma's store lists them by name;
 * files seldom have the time of creation.
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

/**
 * Adds in place: copying the list each time is slow where thousands of permissions name one
 * service.
 */
export function pushed<Item>(list: Item[] | undefined, item: Item): Item[] {
  if (list === undefined) return [item];
  list.push(item);
  return list;
}

export function permissionName({ meta }: TrafficPermission): string {
  return `TrafficPermission ${meta.mesh}/${meta.name}`;
}

/**
 * Makes the permission. Sources are alternatives. Principals name the mesh of the permission, which
 * is the mesh of the service.
 */
export function permissionOf(permission: TrafficPermission): Permission {
  const by = permissionName(permission);
  if (permission.notUnderstood !== null) return { kind: 'unsupported', by, why: permission.notUnderstood };
  const principals = permission.sources.map((source) => principalOf(source, permission.meta.mesh));
  if (principals.some(({ kind }) => kind === 'any')) return { kind: 'allow-all', by };
  return { kind: 'rules', by, rules: principals.map((principal) => ({ action: 'allow', by, principal })) };
}

/**
 * Makes the principal of a source. A wildcard asks for nothing: every client has a service, and
 * Kuma does not check whether it has the tag.
 */
function principalOf(source: Tags, mesh: string): Principal {
  return allOf([...source].filter(([, value]) => value !== MATCH_ALL).map(([tag, value]) => tagPrincipal(mesh, tag, value)));
}

/**
 * Makes the principal for a tag as a client's certificate carries it: `spiffe://<mesh>/<service>`,
 * or `kuma://<tag>/<value>`.
 */
export function tagPrincipal(mesh: string, tag: string, value: string): Principal {
  return { kind: 'uri', match: 'exact', value: tag === SERVICE_TAG ? `spiffe://${mesh}/${value}` : `kuma://${tag}/${value}` };
}

export function allOf(principals: readonly Principal[]): Principal {
  const [first] = principals;
  if (first === undefined) return { kind: 'any' };
  return principals.length === 1 ? first : { kind: 'and', all: principals };
}
