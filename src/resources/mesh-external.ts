import { quote } from '../base/key-material.ts';
import type { Endpoint, TlsOrigination } from '../model/cluster.ts';
import type { AbsentReason } from '../model/compiled.ts';
import { meshName, serverName } from '../model/names.ts';
import type { Permission } from '../model/permission.ts';
import { encodeHashSni } from '../wire/sni.ts';
import { addAbsent, addCluster, addRoute, brokenBy, CONNECT_TIMEOUT_MS, isTaken } from './context.ts';
import type { Context } from './context.ts';
import { endpointAddress } from './endpoints.ts';
import type { MeshExternalService } from './kinds/mesh-external-service.ts';
import { tellUnused } from './kinds/tls-enabled.ts';
import { httpRoute, upstreamHttp } from './http.ts';
import { meshExternalOrigination } from './origination.ts';
import type { MeshPolicies } from './policies/mesh-policies.ts';
import type { MeshResources } from './resource-set.ts';

/**
 * Adds a MeshExternalService. The egress always terminates it, whatever `routing.zoneEgress` is.
 * Permissions do not apply to it on a zone egress; a setting of the mesh allows all clients to
 * reach all of them, or none.
 */
export function addMeshExternalService(
  context: Context,
  mesh: MeshResources,
  service: MeshExternalService,
  policies: MeshPolicies,
): void {
  const { meta, port, zone, extension } = service;
  const { findings } = context;
  const sni = encodeHashSni({ name: meta.displayName, mesh: mesh.mesh.meta.name, port, kind: 'mes' });
  const absent = (reason: AbsentReason, value: string): void => {
    const what = { reason, resource: `MeshExternalService ${meta.name}`, mesh: mesh.mesh.meta.name, value };
    addAbsent(context, { ...what, destination: meta.displayName }, meta.at, sni);
  };
  // Without these there is no SNI that clients could ask for.
  if (port === 0 || meta.displayName === '') return;
  if (zone !== '' && zone !== context.zone) return absent('other-zone', zone);
  if (extension !== null) {
    absent('incomplete', 'endpoints instead of an extension');
    findings.warn(
      extension.at,
      'spec.extension',
      `the extension ${quote(extension.type)} needs a plugin of the control plane: not served`,
    );
    return;
  }
  if (service.endpoints.length === 0 && service.findings.broken() === null) {
    absent('incomplete', 'spec.endpoints');
    findings.warn(meta.at, 'spec.endpoints', 'is empty: not served');
    return;
  }
  // Checked before the cluster is added, which may have the same name as that of the other.
  if (isTaken(context, serverName(sni), meta.displayName, meta.at)) return;
  const name = meshName(mesh.mesh.meta.name);
  const namespace = meta.labels.get('k8s.kuma.io/namespace') ?? meta.namespace;
  const cluster = `${name}_${meta.displayName}_${namespace}_${zone}_extsvc_${port}`;
  const endpoints = externalEndpoints(context, mesh, service);
  const broken = brokenBy(service.findings.broken());
  const how = { connectTimeoutMs: CONNECT_TIMEOUT_MS, ...upstreamHttp(service.protocol), ...broken };
  const made = { name: cluster, endpoints, ...how };
  const { cluster: whole, http } = policies.ofMeshExternal(service, made);
  if (!addCluster(context, whole, meta.at)) return;
  addRoute(
    context,
    {
      kind: 'terminate',
      serverName: serverName(sni),
      mesh: name,
      destination: meta.displayName,
      cluster,
      permission: permissionOf(context, mesh),
      protocol: service.protocol,
      ...httpRoute(service.protocol, true, http),
    },
    meta.at,
  );
}

export function externalEndpoints(context: Context, mesh: MeshResources, service: MeshExternalService): readonly Endpoint[] {
  const { meta, tls, endpoints } = service;
  let origination: TlsOrigination | null = null;
  tellUnused(service, context.findings);
  if (tls !== null) {
    origination = meshExternalOrigination(service, tls, mesh, context.loader, service.findings);
  }
  // Skips an endpoint whose resource has an error. An endpoint for which TLS was configured is
  // never used without TLS.
  if (service.findings.broken() !== null || (tls !== null && origination === null)) return [];
  const tags = { ...Object.fromEntries(meta.labels), mesh: mesh.mesh.meta.name };
  return endpoints.flatMap(({ address: host, port, priority }) => {
    const address = endpointAddress(host, context.family);
    return address === null ? [] : { address, port, weight: 1, priority, zone: '', tags, tls: origination };
  });
}

function permissionOf({ origins }: Context, { mesh }: MeshResources): Permission {
  if (!mesh.forbidsMeshExternalServices) return { kind: 'allow-all', by: 'MeshExternalService default' };
  const by = `Mesh ${mesh.meta.name} routing.defaultForbidMeshExternalServiceAccess`;
  origins.set(`permission:${by}`, mesh.meta.at);
  return { kind: 'deny-all', by };
}
