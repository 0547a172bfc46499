import type { Cluster } from '../../model/cluster.ts';
import { meshName, serverName } from '../../model/names.ts';
import type { MeshName } from '../../model/names.ts';
import { encodeKriSni } from '../../wire/sni.ts';
import { addAbsent, addCluster, addRoute, brokenBy, CONNECT_TIMEOUT_MS, isTaken } from '../context.ts';
import type { Context } from '../context.ts';
import { isIpv6 } from '../hosts.ts';
import { httpRoute, upstreamHttp } from '../http.ts';
import type { DataplaneDefinition } from '../kinds/dataplane.ts';
import type { MeshExternalService } from '../kinds/mesh-external-service.ts';
import { externalEndpoints } from '../mesh-external.ts';
import type { PemStore } from '../pem.ts';
import { kumaValuesOf } from '../policies/access-logs.ts';
import type { ServingDataplanes } from '../policies/scoped-policies.ts';
import { selectsDataplane } from './dataplane-labels.ts';
import type { MeshPolicies } from '../policies/mesh-policies.ts';
import type { MeshResources } from '../resource-set.ts';
import { scopedIdentity } from './scoped-identity.ts';
import { scopedPermissions } from './scoped-permissions.ts';

/** The Dataplanes that serve a mesh. */
export interface ScopedMesh {
  /** The first by name, whose identity is shown. */
  readonly dataplane: DataplaneDefinition;
  readonly all: readonly DataplaneDefinition[];
}

/**
 * Adds the MeshExternalServices of a mesh, for the Dataplanes of this zone that have a ZoneEgress
 * listener. `hasLegacy`: a ZoneEgress terminates the mTLS of this mesh too, with its own identity.
 */
export function addScopedMesh(
  context: Context,
  resources: MeshResources,
  { dataplane, all }: ScopedMesh,
  how: { readonly policies: MeshPolicies; readonly pems: PemStore; readonly folders: boolean },
): void {
  const name = meshName(resources.mesh.meta.name);
  const { findings, meshes, origins } = context;
  const key = meshes.has(name) ? besideLegacy(name) : name;
  const permissions = scopedPermissions(resources, all, context.zone, findings);
  const before = context.routes.size;
  for (const service of resources.meshExternalServices) {
    addService(context, resources, service, {
      key,
      dataplane,
      policies: how.policies,
      permissionOf: (sni) => permissions.of(sni, service.meta.displayName),
    });
  }
  if (resources.externalServices.length > 0) {
    const message = `its ${resources.externalServices.length} ExternalServices are not served by the Dataplane ${dataplane.meta.name}: an egress of one mesh serves MeshExternalServices only`;
    if (!meshes.has(name)) findings.warn(resources.mesh.meta.at, '', message);
  }
  if (context.routes.size === before) {
    findings.warn(
      dataplane.meta.at,
      '',
      `Dataplane ${dataplane.meta.name}: mesh ${name} has no MeshExternalService that it could serve`,
    );
    return;
  }
  meshes.set(key, scopedIdentity(context, resources, dataplane, { key, ...how }));
  if (key !== name) origins.set(`mesh:${key}`, dataplane.meta.at);
}

/** The key of the identity of a mesh whose ZoneEgress has the name of the mesh. */
function besideLegacy(mesh: string): MeshName {
  return meshName(`${mesh} (MeshIdentity)`);
}

/** Returns the key in `meshes` of the identity that the Dataplanes of a mesh show. */
export function scopedKey(mesh: string, meshes: ReadonlyMap<string, unknown>): MeshName {
  const beside = besideLegacy(mesh);
  return meshes.has(beside) ? beside : meshName(mesh);
}

/** The Dataplanes of a mesh, as policies see them; null without any. */
export function scopedOf(dataplanes: readonly DataplaneDefinition[], zone: string): ServingDataplanes | null {
  const [first] = dataplanes;
  if (first === undefined) return null;
  return {
    selects: (targetRef) => dataplanes.some((dataplane) => selectsDataplane(targetRef, dataplane, zone)),
    values: kumaValuesOf(first, zone),
  };
}

/**
 * Reports the policies that select some of the Dataplanes, or some of their listeners: all of these
 * share their routes here.
 */
export function tellPartly(
  resources: MeshResources,
  dataplanes: readonly DataplaneDefinition[],
  { zone, findings }: Context,
): void {
  const listeners = dataplanes.flatMap((dataplane) => dataplane.egresses.map((egress) => ({ ...dataplane, egresses: [egress] })));
  const { circuitBreakers, healthChecks, strategies, rateLimits, faultInjections, timeouts, accessLogs } = resources;
  const lists = [circuitBreakers, healthChecks, strategies, rateLimits, faultInjections, timeouts, accessLogs];
  for (const { kind, meta, targetRef, isShadow } of lists.flat()) {
    const selected = listeners.filter((listener) => selectsDataplane(targetRef, listener, zone)).length;
    if (isShadow || selected === 0 || selected === listeners.length) continue;
    const message = `${kind} ${meta.name} selects ${selected} of the ${listeners.length} ZoneEgress listeners of mesh ${meta.mesh}, which share their routes here: it applies to all of them`;
    findings.warn(targetRef?.at ?? meta.at, 'spec.targetRef', message);
  }
}

interface Serving {
  readonly key: MeshName;
  readonly dataplane: DataplaneDefinition;
  readonly policies: MeshPolicies;
  readonly permissionOf: (sni: string) => ReturnType<ReturnType<typeof scopedPermissions>['of']>;
}

function addService(
  context: Context,
  mesh: MeshResources,
  service: MeshExternalService,
  { key, dataplane, policies, permissionOf }: Serving,
): void {
  const { meta, port, protocol } = service;
  const name = meshName(mesh.mesh.meta.name);
  const named = namesOf(context, name, service);
  // Checked before the cluster is added, which may have the same name as that of the other.
  if (named === null || isTaken(context, serverName(named.sni), meta.displayName, meta.at)) return;
  const { sni } = named;
  const family = isIpv6(dataplane.egresses[0]?.address ?? '') ? 'any' : 'v4';
  const endpoints = externalEndpoints({ ...context, family }, mesh, service);
  const cluster: Cluster = {
    name: `kri_extsvc_${name}_${named.zone}_${named.namespace}_${meta.displayName}_${port}`,
    endpoints,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    ...upstreamHttp(protocol),
    ...brokenBy(service.findings.broken()),
  };
  const { cluster: whole, http, rateLimit, idleMs, accessLogs } = policies.ofScoped(service, sni, cluster);
  if (!addCluster(context, whole, meta.at)) return;
  addRoute(
    context,
    {
      kind: 'terminate',
      serverName: serverName(sni),
      mesh: name,
      destination: meta.displayName,
      cluster: whole.name,
      ...(key === name ? {} : { identity: key }),
      permission: permissionOf(sni),
      protocol,
      ...httpRoute(protocol, true, http),
      ...(rateLimit === null ? {} : { rateLimit }),
      ...(idleMs === undefined ? {} : { idleMs }),
      ...(accessLogs.length === 0 ? {} : { accessLogs }),
    },
    meta.at,
  );
}

interface Names {
  readonly sni: string;
  /** Both are empty for a resource of the global control plane. */
  readonly zone: string;
  readonly namespace: string;
}

/** Returns null where the service is not served, which is reported. */
function namesOf(context: Context, mesh: MeshName, service: MeshExternalService): Names | null {
  const { meta, port, extension } = service;
  const zone = zoneOf(service, context.zone);
  // Without these there is no SNI that clients could ask for.
  if (port === 0 || meta.displayName === '') return null;
  const namespace = zone === '' ? '' : (meta.labels.get('k8s.kuma.io/namespace') ?? meta.namespace);
  const encoded = encodeKriSni({ kind: 'extsvc', mesh, zone, namespace, name: meta.displayName, section: String(port) });
  if (encoded.kind === 'invalid') {
    service.findings.error(meta.nameAt, 'name', `no SNI can be made for an egress of one mesh: ${encoded.problems.join('; ')}`);
    return null;
  }
  const { sni } = encoded;
  const what = { resource: `MeshExternalService ${meta.name}`, mesh, destination: meta.displayName };
  if (zone !== '' && zone !== context.zone) {
    addAbsent(context, { ...what, reason: 'other-zone', value: zone }, meta.at, sni);
    return null;
  }
  const missing = extension !== null ? 'endpoints instead of an extension' : 'spec.endpoints';
  if (extension !== null || (service.endpoints.length === 0 && service.findings.broken() === null)) {
    context.findings.warn(
      extension?.at ?? meta.at,
      extension === null ? missing : 'spec.extension',
      'is nothing that this egress serves',
    );
    addAbsent(context, { ...what, reason: 'incomplete', value: missing }, meta.at, sni);
    return null;
  }
  return { sni, zone, namespace };
}

/** Returns the zone of a resource made in a zone; this zone where it names none. */
function zoneOf({ zone, meta }: MeshExternalService, here: string): string {
  if (zone !== '') return meta.labels.get('kuma.io/origin') === 'global' ? '' : zone;
  return meta.labels.get('kuma.io/origin') === 'zone' ? here : '';
}
