/**
 * Plans the way from a ZoneEgress to an egress of each mesh: the resources to apply, in an order
 * that drops no traffic, and the clients whose access changes.
 */
import { meshName } from '../model/names.ts';
import type { Permission, Principal } from '../model/permission.ts';
import type { Route, TerminateRoute } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { describeSni, encodeKriSni } from '../wire/sni.ts';
import { accessChange } from './access-change.ts';
import type { AccessChange } from './access-change.ts';
import type { ExternalShape, KnownMesh, ServiceName } from './migration-known.ts';
import { MADE, madeDataplane, madeIdentity, madePermission, successorOf } from './migration-resources.ts';
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
  /** The workloads of its egresses, which their tokens are bound to. */
  readonly workloads: readonly string[];
  /** False where the mesh may have an identity or a Dataplane that is not known here. */
  readonly isComplete: boolean;
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

export interface MigrationSource {
  readonly snapshot: Snapshot;
  readonly meshes: readonly KnownMesh[];
  readonly zone: string;
  /** Where the ZoneEgress listens. */
  readonly at: { readonly address: string; readonly port: number };
}

/** Plans each mesh of which something ends its mTLS at the ZoneEgress. */
export function planMigration({ snapshot, meshes, zone, at }: MigrationSource): MigrationPlan {
  return {
    meshes: meshes.flatMap((known) => {
      const routes = [...snapshot.routes.values()].filter(
        (route): route is TerminateRoute =>
          route.kind === 'terminate' && route.mesh === known.mesh && describeSni(route.serverName).form !== 'kri',
      );
      return routes.length === 0 ? [] : [planMesh(known, routes, { zone, at })];
    }),
  };
}

function planMesh(
  known: KnownMesh,
  routes: readonly TerminateRoute[],
  { zone, at }: Pick<MigrationSource, 'zone' | 'at'>,
): MeshPlan {
  const { mesh } = known;
  const trustDomain = `${mesh}.${zone}.mesh.local`;
  const tasks: string[] = [...known.schemaChanges];
  const services: MadeResource[] = [];
  const planned = routes.map((route): Planned => {
    const own = known.external(route);
    if (own.length === 0) return planMeshExternal(route, known.meshExternal(route), trustDomain);
    const successor = successorOf(own);
    if (typeof successor === 'string') return lost(route, 'ExternalService', successor);
    const plan = planExternal(route, successor, trustDomain);
    if (plan.lost === '' && !services.some(({ name }) => name === successor.resource.name)) {
      services.push(successor.resource);
      tasks.push(...secretTasks(own, successor), ...laterTasks(successor));
    }
    return plan;
  });
  const admitted = planned.flatMap((plan) => (plan.admitted === null ? [] : [plan.admitted]));
  const dataplanes = known.dataplanes ?? [];
  const ready = dataplanes.filter(({ isReady }) => isReady).map(({ name }) => name);
  if (ready.length > 0)
    tasks.push(
      `apply the steps before step 4 at once: Dataplane ${ready.join(', ')} is Ready, so the sidecars of the mesh use it already`,
    );
  return {
    mesh,
    trustDomain,
    identity: known.hasIdentity === true ? null : madeIdentity(mesh),
    services,
    permission: admitted.length === 0 ? null : madePermission(mesh, admitted),
    dataplane: dataplanes.length > 0 ? null : madeDataplane(mesh, at),
    workloads: dataplanes.length > 0 ? [...new Set(dataplanes.map(({ workload }) => workload))] : [MADE],
    isComplete: known.hasIdentity !== null && known.dataplanes !== null,
    destinations: planned.map(({ admitted: _, ...plan }) => plan),
    tasks,
  };
}

function planMeshExternal(route: TerminateRoute, service: ServiceName | string, trustDomain: string): Planned {
  if (typeof service === 'string') return lost(route, 'MeshExternalService', service);
  return named(route, { from: 'MeshExternalService', ...service, trustDomain });
}

function planExternal(route: TerminateRoute, { resource }: Successor, trustDomain: string): Planned {
  const spec = resource['spec'] as { readonly match: { readonly port: number } };
  const { port } = spec.match;
  return named(route, { from: 'ExternalService', zone: '', namespace: '', name: resource.name, port, trustDomain });
}

function named(
  route: TerminateRoute,
  of: ServiceName & { readonly from: DestinationPlan['from']; readonly trustDomain: string },
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

function secretTasks(services: readonly ExternalShape[], { secrets }: Successor): readonly string[] {
  return secrets.map(({ name, of }) => {
    const { file, line } = of.at;
    const place = line === 0 ? file : `${file}:${line}`;
    return `make the Secret ${name} of mesh ${services[0]?.mesh ?? ''} from ${of.path} at ${place}`;
  });
}

/** Control planes up to 2.14 know only the form that is printed. */
function laterTasks({ resource, sources }: Successor): readonly string[] {
  return sources.map(({ field, secret }) => {
    const form = `{ type: Secret, secretRef: { kind: Secret, name: ${secret} } }`;
    return `after the upgrade to 3.0 write ${field} of MeshExternalService ${resource.name} as ${form}`;
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
