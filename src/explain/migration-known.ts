/**
 * Collects the facts of a mesh beside its routes: from its resources, or, where only a running
 * egress is there, from its clusters.
 */
import type { Cluster, Endpoint } from '../model/cluster.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { TerminateRoute } from '../model/route.ts';
import type { DataSource } from '../resources/data-source.ts';
import type { ExternalService } from '../resources/kinds/external-service.ts';
import type { MeshExternalService } from '../resources/kinds/mesh-external-service.ts';
import type { MeshResources } from '../resources/resource-set.ts';
import { describeSni } from '../wire/sni.ts';

/** The fields of an ExternalService that its MeshExternalService takes over. */
export interface ExternalShape extends Pick<ExternalService, 'service' | 'protocol' | 'host' | 'port' | 'tls'> {
  readonly mesh: string;
}

/** The parts of the server name of a MeshExternalService. */
export interface ServiceName {
  /** Empty for one of the global control plane. */
  readonly zone: string;
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

export interface KnownDataplane {
  readonly name: string;
  /** Empty where it has no label for it. */
  readonly workload: string;
  readonly isReady: boolean;
}

export interface KnownMesh {
  readonly mesh: string;
  /** Null where it is not known. */
  readonly hasIdentity: boolean | null;
  /** The Dataplanes with a ZoneEgress listener. Null where they are not known. */
  readonly dataplanes: readonly KnownDataplane[] | null;
  /** Sentences about what is written in another way in 3.0. */
  readonly schemaChanges: readonly string[];
  /** Returns the ExternalServices of a route; none where a MeshExternalService is behind it. */
  external(route: TerminateRoute): readonly ExternalShape[];
  /** Returns the name of the MeshExternalService of a route; a sentence where it is not known. */
  meshExternal(route: TerminateRoute): ServiceName | string;
}

export function knownOfResources(resources: MeshResources): KnownMesh {
  const mesh = resources.mesh.meta.name;
  return {
    mesh,
    hasIdentity: resources.meshIdentities.length > 0,
    dataplanes: resources.dataplanes.flatMap(({ meta, egresses }) =>
      egresses.length === 0
        ? []
        : [
            {
              name: meta.displayName,
              workload: meta.labels.get('kuma.io/workload') ?? '',
              isReady: egresses.some(({ isReady }) => isReady),
            },
          ],
    ),
    schemaChanges: resources.meshExternalServices.flatMap(schemaChanges),
    external: ({ destination }) =>
      resources.externalServices.filter(({ service }) => service === destination).map((each) => ({ ...each, mesh })),
    meshExternal({ destination }) {
      const service = resources.meshExternalServices.find(({ meta }) => meta.displayName === destination);
      if (service === undefined) return 'its resource is not among the files';
      const { meta, port } = service;
      const zone = meta.labels.get('kuma.io/origin') === 'global' ? '' : service.zone;
      const namespace = zone === '' ? '' : (meta.labels.get('k8s.kuma.io/namespace') ?? meta.namespace);
      return { zone, namespace, name: meta.displayName, port };
    },
  };
}

function schemaChanges({ meta, tls }: MeshExternalService): readonly string[] {
  if (tls === null) return [];
  return [tls.caCert, tls.clientCert, tls.clientKey].flatMap((source) => {
    if (source === undefined || source === null || source.isNewForm === true) return [];
    const { file, line } = source.at;
    const form =
      source.kind === 'secret'
        ? '{ type: Secret, secretRef: { kind: Secret, name } }'
        : '{ type: InsecureInline, insecureInline: { value } }';
    return [`write ${source.path} of MeshExternalService ${meta.displayName} (${file}:${line}) as ${form}, for 3.0`];
  });
}

/** Knows the part that a control plane sent: no resource, and no text of a certificate. */
export function knownOfSnapshot({ routes, clusters }: Snapshot, mesh: string, source: string): KnownMesh {
  const clusterOf = (route: TerminateRoute): Cluster | undefined => clusters.get(route.cluster);
  return {
    mesh,
    hasIdentity: [...routes.values()].some((route) => route.mesh === mesh && describeSni(route.serverName).form === 'kri')
      ? true
      : null,
    dataplanes: null,
    schemaChanges: [],
    external(route) {
      if (describeSni(route.serverName).form !== 'tag') return [];
      return (clusterOf(route)?.endpoints ?? []).map((endpoint) => shapeOf(route, endpoint, source));
    },
    meshExternal(route) {
      const sni = describeSni(route.serverName);
      if (sni.form !== 'hash') return `its server name ${route.serverName} has no form that is known`;
      const tags = clusterOf(route)?.endpoints[0]?.tags ?? {};
      const isOfZone = tags['kuma.io/origin'] === 'zone';
      return {
        zone: isOfZone ? (tags['kuma.io/zone'] ?? '') : '',
        namespace: isOfZone ? (tags['k8s.kuma.io/namespace'] ?? '') : '',
        name: tags['kuma.io/display-name'] ?? sni.name,
        port: sni.port,
      };
    },
  };
}

function shapeOf(
  { mesh, destination, protocol, cluster }: TerminateRoute,
  { address, port, tls }: Endpoint,
  source: string,
): ExternalShape {
  const at = { file: source, line: 0, column: 0 };
  const written = (what: string): DataSource => ({ kind: 'inline', value: '', path: `the ${what} of cluster ${cluster}`, at });
  return {
    mesh,
    service: destination,
    protocol,
    host: address.kind === 'ip' ? address.ip : address.name,
    port,
    tls:
      tls === null
        ? null
        : {
            path: '',
            at,
            serverName: tls.serverName ?? '',
            skipHostnameVerification: tls.names === null,
            allowRenegotiation: tls.allowRenegotiation,
            caCert: tls.trust.kind === 'bundle' ? written('trusted CA') : undefined,
            clientCert: tls.clientCertificate === null ? undefined : written('client certificate'),
            clientKey: tls.clientCertificate === null ? undefined : written('client key'),
          },
  };
}
