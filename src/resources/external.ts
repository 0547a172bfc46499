import type { Endpoint, TlsOrigination } from '../model/cluster.ts';
import type { Origin } from '../model/compiled.ts';
import { meshName, serverName } from '../model/names.ts';
import type { Permission } from '../model/permission.ts';
import { encodeTagSni } from '../wire/sni.ts';
import { addAbsent, addCluster, addRoute, brokenBy, CONNECT_TIMEOUT_MS } from './context.ts';
import type { Context } from './context.ts';
import type { Destinations } from './destinations.ts';
import { endpointAddress, endpointTags, localityPriority } from './endpoints.ts';
import type { ExternalService } from './kinds/external-service.ts';
import { tellUnused } from './kinds/tls-enabled.ts';
import { mergedPermission, meshPermissionName, meshPermissionChoice } from './mesh-permissions.ts';
import type { MeshPermissionChoice } from './mesh-permissions.ts';
import { httpRoute, upstreamHttp } from './http.ts';
import { externalOrigination } from './origination.ts';
import type { RemoteService } from './passthrough.ts';
import { tellOfUnknownServices } from './permission-problems.ts';
import { permissionName, permissionOf, permissionChoice } from './permissions.ts';
import type { PermissionChoice } from './permissions.ts';
import type { MeshPolicies } from './policies/mesh-policies.ts';
import type { MeshResources } from './resource-set.ts';
import { PROTOCOL_TAG, SERVICE_TAG, ZONE_TAG } from './tags.ts';

/**
 * Adds the ExternalServices of a mesh that are reachable from this zone; the egress terminates
 * their mesh mTLS. Services with the same `kuma.io/service` form one destination, whose endpoints
 * keep their own TLS settings. `remote` lists the services of other zones: a service that another
 * zone offers goes there.
 */
export function addExternalServices(
  context: Context,
  mesh: MeshResources,
  destinations: Destinations,
  remote: ReadonlyMap<string, RemoteService>,
  meshPolicies: MeshPolicies,
): void {
  const { findings } = context;
  const byService = new Map<string, ExternalService[]>();
  for (const service of mesh.externalServices) {
    const elsewhere = mesh.mesh.zoneEgress && remote.has(service.service);
    if (service.zone !== '' && service.zone !== context.zone) {
      const { meta, zone: value, service: destination } = service;
      const what = {
        reason: 'other-zone',
        resource: `ExternalService ${meta.name}`,
        mesh: meta.mesh,
        destination,
        value,
      } as const;
      addAbsent(context, what, meta.at);
      if (mesh.mesh.zoneEgress && !elsewhere) findings.warn(service.meta.at, `tags["${ZONE_TAG}"]`, notOffered(service));
    } else if (elsewhere) {
      findings.warn(
        service.meta.at,
        `tags["${SERVICE_TAG}"]`,
        `${service.service} is offered by a ZoneIngress too, so it goes there`,
      );
    } else if (service.service !== '') {
      const group = byService.get(service.service) ?? [];
      byService.set(service.service, group);
      group.push(service);
    }
  }
  const policies = meshPermissionChoice(mesh.meshPermissions, findings);
  const permissions = permissionChoice(mesh.permissions);
  const told = new Set<string>();
  tellOfUnknownServices(mesh, remote, findings);
  for (const services of byService.values()) {
    const permission = permissionFor(context, services, policies, permissions, told);
    addExternalService(context, mesh, services, destinations, permission, meshPolicies);
  }
}

function notOffered({ service, zone }: ExternalService): string {
  return `${service} is reachable from zone ${JSON.stringify(zone)} only, and no ZoneIngress of another zone offers it: it is not served`;
}

function addExternalService(
  context: Context,
  mesh: MeshResources,
  services: readonly ExternalService[],
  destinations: Destinations,
  decided: DecidedPermission,
  policies: MeshPolicies,
): void {
  const [first] = services;
  if (first === undefined) return;
  const { service, protocol, meta } = first;
  const name = meshName(mesh.mesh.meta.name);
  const cluster = `${name}:${service}`;
  const endpoints = services.flatMap((each) => endpointOf(context, mesh, each) ?? []);
  // A control plane leaves out an endpoint that cannot be used, and serves a cluster without
  // endpoints; so does this.
  const broken = endpoints.length > 0 ? undefined : services.map((each) => each.findings.broken()).find((why) => why !== null);
  const sets = destinations.of(service);
  if (sets.length === 0) {
    const resource = `ExternalService ${meta.name}`;
    addAbsent(context, { reason: 'no-traffic-route', resource, mesh: name, destination: service, value: '' }, meta.at);
    context.findings.warn(
      meta.at,
      '',
      `no TrafficRoute of mesh ${JSON.stringify(name)} leads to ${service}: no client can reach it`,
    );
    return;
  }
  const how = { connectTimeoutMs: CONNECT_TIMEOUT_MS, ...upstreamHttp(protocol), ...brokenBy(broken) };
  const made = { name: cluster, endpoints, ...how };
  if (!addCluster(context, policies.ofService(service, made), meta.at)) return;
  const { rateLimit, http } = policies.ofExternal(services);
  const limited = rateLimit === null ? {} : { rateLimit };
  tellOfProtocols(context, services);
  // The tags of a route form an SNI of their own, but choose no endpoint: an external service has
  // no versions.
  for (const tags of sets) {
    const sni = encodeTagSni({ ...Object.fromEntries(tags), [SERVICE_TAG]: service, mesh: name });
    addRoute(
      context,
      {
        kind: 'terminate',
        serverName: serverName(sni),
        mesh: name,
        destination: service,
        cluster,
        permission: decided.permission,
        protocol,
        ...httpRoute(protocol, decided.answersDenied, http),
        ...limited,
      },
      meta.at,
    );
  }
}

/**
 * Warns where services of one name have several protocols: one listener serves all of them, so it
 * uses one protocol.
 */
function tellOfProtocols({ findings }: Context, [first, ...more]: readonly ExternalService[]): void {
  for (const other of more) {
    if (first === undefined || other.protocol === first.protocol) continue;
    const message = `the service ${other.service} has the protocol of ExternalService ${first.meta.name}, ${first.protocol}: this one does not count`;
    findings.warn(other.meta.at, `tags["${PROTOCOL_TAG}"]`, message);
  }
}

function endpointOf(context: Context, mesh: MeshResources, service: ExternalService): Endpoint | null {
  const { meta, tags, host, port, tls } = service;
  const address = endpointAddress(host, context.family);
  let origination: TlsOrigination | null = null;
  tellUnused(service, context.findings);
  if (tls !== null) origination = externalOrigination(service, tls, mesh, context.loader, service.findings);
  // Skips an endpoint whose resource has an error. An endpoint for which TLS was configured is
  // never used without TLS.
  if (address === null || (tls !== null && origination === null) || service.findings.broken() !== null) return null;
  const zone = tags.get(ZONE_TAG);
  return {
    address,
    port,
    weight: 1,
    priority: mesh.mesh.localityAware ? localityPriority(zone, context.zone) : 0,
    zone: zone ?? '',
    tags: endpointTags(tags, mesh.mesh.meta.name, tls === null ? {} : { 'kuma.io/external-service-name': meta.name }),
    tls: origination,
  };
}

/**
 * `answersDenied`: the denied client gets an HTTP answer. Kuma puts a TrafficPermission before
 * HTTP, so that a client it denies is disconnected, and every other permission into HTTP.
 */
interface DecidedPermission {
  readonly permission: Permission;
  readonly answersDenied: boolean;
}

/**
 * Chooses the permission of a service. Where the mesh has a MeshTrafficPermission, only those
 * count, and a service that none selects refuses every client. Else the one TrafficPermission that
 * fits best decides; without one, every client is refused.
 */
function permissionFor(
  context: Context,
  services: readonly ExternalService[],
  policies: MeshPermissionChoice,
  permissions: PermissionChoice,
  told: Set<string>,
): DecidedPermission {
  const { findings, origins } = context;
  const [first] = services;
  const service = first?.service ?? '';
  const found = services.flatMap((each) => permissions.best(each) ?? []);
  // As in Kuma, the last external service by name decides for all of them.
  const best = found.at(-1);
  const selecting = policies.selecting(service);
  if (selecting.length > 0) {
    for (const policy of selecting) origins.set(`permission:${meshPermissionName(policy)}`, policy.meta.at);
    const permission = mergedPermission(selecting);
    const [strongest = null] = [...selecting].reverse();
    if (strongest !== null) origins.set(`permission:${permission.by}`, strongest.meta.at);
    const deciding = selecting.find((policy) => meshPermissionName(policy) === permission.by);
    if (deciding !== undefined) tellUnsupported(context, permission, deciding.meta.at, told);
    return { permission, answersDenied: true };
  }
  if (best === undefined || policies.rule) {
    if (first !== undefined) findings.warn(first.meta.at, '', nobody(service, best !== undefined));
    const permission = {
      kind: 'deny-all',
      by: `no ${policies.rule ? 'MeshTrafficPermission' : 'permission'} for ${service}`,
    } as const;
    return { permission, answersDenied: true };
  }
  const by = permissionName(best);
  origins.set(`permission:${by}`, best.meta.at);
  if (new Set(found).size > 1 && first !== undefined) {
    findings.warn(
      first.meta.at,
      '',
      `different permissions select the ExternalServices with the service ${service}: ${by} decides for all`,
    );
  }
  const permission = permissionOf(best);
  tellUnsupported(context, permission, best.meta.at, told);
  return { permission, answersDenied: false };
}

function nobody(service: string, hasTrafficPermission: boolean): string {
  return hasTrafficPermission
    ? `no MeshTrafficPermission selects ${service}, and its TrafficPermission does not count in a mesh that has one: no client may reach it`
    : `no permission selects ${service}: no client may reach it`;
}

function tellUnsupported({ findings }: Context, permission: Permission, at: Origin, told: Set<string>): void {
  if (permission.kind !== 'unsupported' || told.has(permission.by)) return;
  told.add(permission.by);
  findings.warn(at, '', `${permission.why}, so it cannot be evaluated: no client may reach the services that it selects`);
}
