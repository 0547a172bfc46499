/**
 * Plans the way from a ZoneEgress to an egress of each mesh: the resources to apply, in an order
 * that drops no traffic, and the clients whose access changes.
 */
import { meshName } from '../model/names.ts';
import type { Permission, Principal } from '../model/permission.ts';
import type { Route, TerminateRoute } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { ExternalService } from '../resources/kinds/external-service.ts';
import type { ZoneEgress } from '../resources/kinds/zone-egress.ts';
import type { MeshResources } from '../resources/resource-set.ts';
import { describeSni, encodeKriSni } from '../wire/sni.ts';
import { accessChange } from './access-change.ts';
import type { AccessChange } from './access-change.ts';
import { madeDataplane, madeIdentity, madePermission, successorOf } from './migration-resources.ts';
import type { Admitted, MadeResource, Successor } from './migration-resources.ts';

export interface MigrationPlan {
  readonly meshes: readonly MeshPlan[];
}

export interface MeshPlan {
  readonly mesh: string;
  readonly trustDomain: string;
  /** Null where the mesh has one. */
  readonly identity: MadeResource | null;
  readonly services: readonly MadeResource[];
  readonly permission: MadeResource | null;
  /** Null where the mesh has one. */
  readonly dataplane: MadeResource | null;
  readonly destinations: readonly DestinationPlan[];
  /** Lists the tasks of the operator, in whole sentences. */
  readonly tasks: readonly string[];
}

export interface DestinationPlan {
  readonly name: string;
  /** As its clients ask for it now. */
  readonly before: string;
  /** As they will; empty where it has no successor. */
  readonly after: string;
  readonly from: 'ExternalService' | 'MeshExternalService';
  /** Why it has none; empty where it has one. */
  readonly lost: string;
}

interface Planned extends DestinationPlan {
  readonly admitted: Admitted | null;
}

/** Plans each mesh of which something ends its mTLS at the ZoneEgress. */
export function planMigration(
  { snapshot, meshes, zone }: { readonly snapshot: Snapshot; readonly meshes: readonly MeshResources[]; readonly zone: string },
  egress: ZoneEgress,
): MigrationPlan {
  return {
    meshes: meshes.flatMap((mesh) => {
      const routes = [...snapshot.routes.values()].filter(
        (route): route is TerminateRoute =>
          route.kind === 'terminate' && route.mesh === mesh.mesh.meta.name && describeSni(route.serverName).form !== 'kri',
      );
      return routes.length === 0 ? [] : [planMesh(mesh, routes, { zone, egress })];
    }),
  };
}

function planMesh(
  resources: MeshResources,
  routes: readonly TerminateRoute[],
  { zone, egress }: { readonly zone: string; readonly egress: ZoneEgress },
): MeshPlan {
  const mesh = resources.mesh.meta.name;
  const trustDomain = `${mesh}.${zone}.mesh.local`;
  const tasks: string[] = [];
  const services: MadeResource[] = [];
  const planned = routes.map((route): Planned => {
    const own = resources.externalServices.filter(({ service }) => service === route.destination);
    if (own.length === 0) return planMeshExternal(resources, route, trustDomain);
    const successor = successorOf(own);
    if (typeof successor === 'string') return lost(route, 'ExternalService', successor);
    const plan = planExternal(route, successor, trustDomain);
    if (plan.lost === '' && !services.some(({ name }) => name === successor.resource.name)) {
      services.push(successor.resource);
      tasks.push(...secretTasks(own, successor));
    }
    return plan;
  });
  const admitted = planned.flatMap((plan) => (plan.admitted === null ? [] : [plan.admitted]));
  return {
    mesh,
    trustDomain,
    identity: resources.meshIdentities.length > 0 ? null : madeIdentity(mesh),
    services,
    permission: admitted.length === 0 ? null : madePermission(mesh, admitted),
    dataplane: resources.dataplanes.some(({ egresses }) => egresses.length > 0) ? null : madeDataplane(mesh, egress),
    destinations: planned.map(({ admitted: _, ...plan }) => plan),
    tasks,
  };
}

function planMeshExternal(resources: MeshResources, route: TerminateRoute, trustDomain: string): Planned {
  const service = resources.meshExternalServices.find(({ meta }) => meta.displayName === route.destination);
  if (service === undefined) return lost(route, 'MeshExternalService', 'its resource is not among the files');
  const { meta, port, zone } = service;
  const inZone = meta.labels.get('kuma.io/origin') === 'global' ? '' : zone;
  const namespace = inZone === '' ? '' : (meta.labels.get('k8s.kuma.io/namespace') ?? meta.namespace);
  return named(route, { from: 'MeshExternalService', zone: inZone, namespace, name: meta.displayName, port, trustDomain });
}

function planExternal(route: TerminateRoute, { resource }: Successor, trustDomain: string): Planned {
  const spec = resource['spec'] as { readonly match: { readonly port: number } };
  const { port } = spec.match;
  return named(route, { from: 'ExternalService', zone: '', namespace: '', name: resource.name, port, trustDomain });
}

function named(
  route: TerminateRoute,
  of: {
    readonly from: DestinationPlan['from'];
    readonly zone: string;
    readonly namespace: string;
    readonly name: string;
    readonly port: number;
    readonly trustDomain: string;
  },
): Planned {
  const { from, zone, namespace, name, port, trustDomain } = of;
  const encoded = encodeKriSni({ kind: 'extsvc', mesh: route.mesh, zone, namespace, name, section: String(port) });
  if (encoded.kind === 'invalid') return lost(route, from, encoded.problems.join('; '));
  const { sni } = encoded;
  const ids = idsOf(route.permission, route.mesh, trustDomain);
  const admitted = ids === null ? null : { sni, ids };
  return { name: route.destination, before: route.serverName, after: sni, from, lost: '', admitted };
}

function lost(route: TerminateRoute, from: DestinationPlan['from'], why: string): Planned {
  return { name: route.destination, before: route.serverName, after: '', from, lost: why, admitted: null };
}

/**
 * Returns the SPIFFE ids that a permission lets in, as they will be. An empty list is every client
 * of the mesh, null is no client. Clients by other tags than their service have no successor.
 */
function idsOf(of: Permission, mesh: string, trustDomain: string): readonly string[] | null {
  if (of.kind === 'allow-all') return [];
  if (of.kind !== 'rules') return null;
  const ids: string[] = [];
  const denied = new Set<string>();
  for (const { action, principal } of of.rules) {
    if (principal.kind === 'any') {
      if (action === 'deny') break;
      return denied.size === 0 ? [] : ids.length === 0 ? null : ids;
    }
    const id = principal.kind === 'uri' && principal.match === 'exact' ? renamed(principal.value, mesh, trustDomain) : null;
    // A Deny without a new id may be about every client, so all of them stay out.
    if (id === null && action === 'deny') return null;
    if (id === null) continue;
    if (action === 'deny') denied.add(id);
    else if (!denied.has(id)) ids.push(id);
  }
  return ids.length === 0 ? null : [...new Set(ids)];
}

/** Kuma's ids of a service and of a workload with its name; null for what is no such id. */
function renamed(uri: string, mesh: string, trustDomain: string): string | null {
  const prefix = `spiffe://${mesh}/`;
  return uri.startsWith(prefix) ? `spiffe://${trustDomain}/workload/${uri.slice(prefix.length)}` : null;
}

function secretTasks(services: readonly ExternalService[], { secrets }: Successor): readonly string[] {
  return secrets.map(({ name, of }) => {
    const { file, line } = of.at;
    return `make the Secret ${name} of mesh ${services[0]?.meta.mesh ?? ''} from ${of.path} at ${file}:${line}`;
  });
}

export interface AccessReport {
  readonly mesh: string;
  readonly name: string;
  readonly change: AccessChange;
}

/**
 * Compares the access before and after: the routes of the ZoneEgress, with the ids that their
 * clients will have, beside those that the planned resources compile to.
 */
export function accessReports({ meshes }: MigrationPlan, before: Snapshot, after: Snapshot): readonly AccessReport[] {
  return meshes.flatMap(({ mesh, trustDomain, destinations }) =>
    destinations.flatMap(({ name, before: old, after: now }): readonly AccessReport[] => {
      const [was, is] = [before.routes.get(old as never) ?? null, after.routes.get(now as never) ?? null];
      const change = accessChange(inDomain(was, mesh, trustDomain), inDomain(is, mesh, trustDomain));
      return change.newly.length + change.noLonger.length === 0 ? [] : [{ mesh, name, change }];
    }),
  );
}

/** As if the trust domain were the mesh, so that both are asked about the same clients. */
function inDomain(route: Route | null, mesh: string, trustDomain: string): Route | null {
  if (route?.kind !== 'terminate') return route;
  return { ...route, mesh: meshName(trustDomain), permission: withIds(route.permission, mesh, trustDomain) };
}

function withIds(of: Permission, mesh: string, trustDomain: string): Permission {
  if (of.kind === 'all-of') return { ...of, all: of.all.map((part) => withIds(part, mesh, trustDomain)) };
  if (of.kind !== 'rules') return of;
  return {
    ...of,
    rules: of.rules.map((rule) => {
      // A client will have one id and no tags: it counts as allowed where one with tags is.
      const tagged: Principal = rule.action === 'deny' ? { kind: 'or', any: [] } : { kind: 'any' };
      return { ...rule, principal: withId(rule.principal, (uri) => renamed(uri, mesh, trustDomain), tagged) };
    }),
  };
}

function withId(principal: Principal, rename: (uri: string) => string | null, tagged: Principal): Principal {
  const inner = (part: Principal): Principal => withId(part, rename, tagged);
  switch (principal.kind) {
    case 'uri':
    case 'uri-list':
      if (principal.value.startsWith('kuma://')) return tagged;
      return { ...principal, value: rename(principal.value) ?? principal.value };
    case 'and':
      return { kind: 'and', all: principal.all.map(inner) };
    case 'or':
      return { kind: 'or', any: principal.any.map(inner) };
    case 'not':
      return { kind: 'not', not: inner(principal.not) };
    case 'any':
      return principal;
    default:
      return principal satisfies never;
  }
}
