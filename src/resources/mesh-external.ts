import type { Endpoint, TlsOrigination } from '../model/cluster.ts';
import { meshName, serverName } from '../model/names.ts';
import type { Permission } from '../model/permission.ts';
import { encodeHashSni } from '../wire/sni.ts';
import { addCluster, addRoute, CONNECT_TIMEOUT_MS } from './context.ts';
import type { Context } from './context.ts';
import { endpointAddress } from './endpoints.ts';
import type { MeshExternalService } from './kinds/mesh-external-service.ts';
import { meshExternalOrigination } from './origination.ts';
import type { MeshPolicies } from './policies/mesh-policies.ts';
import type { MeshResources } from './resource-set.ts';

/**
 * A MeshExternalService: always terminated here, whatever `routing.zoneEgress` says. Permissions do not apply to it on a zone egress; the
 * mesh says whether everybody may reach all of them or nobody any.
 */
export function addMeshExternalService(
  context: Context,
  mesh: MeshResources,
  service: MeshExternalService,
  policies: MeshPolicies,
): void {
  const { meta, port, zone, extension } = service;
  const { findings } = context;
  if (zone !== '' && zone !== context.zone) return;
  if (extension !== null) {
    findings.warn(
      extension.at,
      'spec.extension',
      `the extension ${JSON.stringify(extension.type)} needs a plugin of the control plane: not served`,
    );
    return;
  }
  if (service.endpoints.length === 0) {
    findings.warn(meta.at, 'spec.endpoints', 'is empty: not served');
    return;
  }
  const name = meshName(mesh.mesh.meta.name);
  const namespace = meta.labels.get('k8s.kuma.io/namespace') ?? meta.namespace;
  const cluster = `${name}_${meta.displayName}_${namespace}_${zone}_extsvc_${port}`;
  const made = { name: cluster, endpoints: endpointsOf(context, mesh, service), connectTimeoutMs: CONNECT_TIMEOUT_MS };
  addCluster(context, policies.ofMeshExternal(service, made), meta.at);
  const sni = encodeHashSni({ name: meta.displayName, mesh: name, port, kind: 'mes' });
  addRoute(
    context,
    {
      kind: 'terminate',
      serverName: serverName(sni),
      mesh: name,
      destination: meta.displayName,
      cluster,
      permission: permissionOf(mesh),
      protocol: service.protocol,
    },
    meta.at,
  );
}

function endpointsOf(context: Context, mesh: MeshResources, service: MeshExternalService): readonly Endpoint[] {
  const { meta, tls, endpoints } = service;
  let origination: TlsOrigination | null = null;
  if (tls !== null) {
    origination = meshExternalOrigination(service, tls, mesh, context.loader, context.findings);
    // Never plain where TLS was asked for; what is missing is an error, so nothing of this is ever served.
    if (origination === null) return [];
  }
  const tags = { ...Object.fromEntries(meta.labels), mesh: mesh.mesh.meta.name };
  return endpoints.flatMap(({ address: host, port, priority }) => {
    const address = endpointAddress(host, context.family);
    return address === null ? [] : { address, port, weight: 1, priority, zone: '', tags, tls: origination };
  });
}

function permissionOf({ mesh }: MeshResources): Permission {
  return mesh.forbidsMeshExternalServices
    ? { kind: 'deny-all', by: `Mesh ${mesh.meta.name} routing.defaultForbidMeshExternalServiceAccess` }
    : { kind: 'allow-all', by: 'MeshExternalService default' };
}
