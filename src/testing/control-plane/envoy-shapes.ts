/**
 * The parts of what Kuma sends a zone egress, as proto3 JSON: clusters, endpoints, filter chains
 * and secrets in the form of the recordings.
 */
import { Buffer } from 'node:buffer';
import { isIP } from 'node:net';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { isLatest } from './fake-node.ts';
import type { KumaVersion } from './fake-node.ts';

export interface ServiceAddress {
  readonly address: string;
  readonly port: number;
  /** Absent means 0, the first to be tried. */
  readonly priority?: number;
}

/** How TLS to a server outside of the mesh is set up. */
export interface UpstreamTlsShape {
  /** PEM. Absent verifies nothing. */
  readonly caCert?: string;
  /** The SNI, and a name that the certificate must have. Absent means the address. */
  readonly serverName?: string;
  /** The client certificate to show. */
  readonly client?: { readonly cert: string; readonly key: string };
}

export type EndpointTags = Readonly<Record<string, string>>;

const TYPE = 'type.googleapis.com/envoy';
const ADS = { ads: {}, resourceApiVersion: 'V3' };
const INTERNAL = '10.0.0.0/8 192.168.0.0/16 172.16.0.0/12 fc00::/7 fd00::/8 127.0.0.1/32 ::1/128';
const LOOPBACK = '127.0.0.1/32 ::1/128';

export function socketAddress(address: string, port: number): JsonObject {
  return { socketAddress: { address, portValue: port } };
}

/** Makes a cluster whose addresses Kuma knows: external services of both kinds. */
export function externalCluster(options: {
  readonly name: string;
  readonly addresses: readonly ServiceAddress[];
  readonly http: boolean;
  readonly metadata: EndpointTags;
  /** The part of the metadata that chooses the TLS socket; empty for a MeshExternalService. */
  readonly tlsMatch: EndpointTags;
  readonly tls: UpstreamTlsShape | null;
  readonly thresholds: JsonObject | null;
  readonly altStatName: string | null;
  /** Localities `priority-N`, as 2.14 has them for a MeshExternalService. */
  readonly priorities: boolean;
}): JsonObject {
  const { name, addresses, metadata, tls, tlsMatch, altStatName, thresholds } = options;
  const isStatic = addresses.every(({ address }) => isIP(address) !== 0);
  return {
    name,
    ...(altStatName === null ? {} : { altStatName }),
    type: isStatic ? 'STATIC' : 'STRICT_DNS',
    ...(isStatic ? {} : { dnsLookupFamily: 'V4_ONLY' }),
    connectTimeout: '5s',
    ...(thresholds === null ? {} : { circuitBreakers: { thresholds: [thresholds] } }),
    loadAssignment: { clusterName: name, endpoints: localities(options.priorities, addresses, metadata) },
    ...(tls === null
      ? {}
      : {
          transportSocketMatches: [
            {
              name: addresses[0]?.address ?? '',
              ...(Object.keys(tlsMatch).length === 0 ? {} : { match: tlsMatch }),
              transportSocket: upstreamTls(tls, addresses[0]?.address ?? ''),
            },
          ],
        }),
    ...(options.http
      ? {
          typedExtensionProtocolOptions: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': `${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions`,
              explicitHttpConfig: { httpProtocolOptions: {} },
            },
          },
        }
      : {}),
  };
}

function localities(byPriority: boolean, addresses: readonly ServiceAddress[], metadata: EndpointTags): JsonObject[] {
  if (!byPriority) return [{ lbEndpoints: addresses.map((address) => lbEndpoint(address, metadata)) }];
  const priorities = [...new Set(addresses.map(({ priority = 0 }) => priority))].sort((a, b) => a - b);
  return priorities.map((priority) => ({
    lbEndpoints: addresses
      .filter((address) => (address.priority ?? 0) === priority)
      .map((address) => lbEndpoint(address, metadata)),
    locality: { subZone: `priority-${priority}` },
    ...(priority === 0 ? {} : { priority }),
  }));
}

export function lbEndpoint({ address, port }: ServiceAddress, metadata: EndpointTags): JsonObject {
  return {
    endpoint: { address: socketAddress(address, port) },
    loadBalancingWeight: 1,
    metadata: { filterMetadata: { 'envoy.lb': metadata, 'envoy.transport_socket_match': metadata } },
  };
}

/**
 * Makes a cluster whose endpoints come by EDS. `subsetKeys` are the tags that distinguish its
 * endpoints.
 */
export function edsCluster(name: string, subsetKeys: readonly string[], thresholds: JsonObject | null): JsonObject {
  return {
    name,
    altStatName: name.replace(':', '_'),
    type: 'EDS',
    edsClusterConfig: { edsConfig: ADS },
    connectTimeout: '5s',
    ...(thresholds === null ? {} : { circuitBreakers: { thresholds: [thresholds] } }),
    ...(subsetKeys.length === 0
      ? {}
      : {
          lbSubsetConfig: {
            fallbackPolicy: 'ANY_ENDPOINT',
            subsetSelectors: [{ fallbackPolicy: 'NO_FALLBACK', keys: [...subsetKeys] }],
          },
        }),
  };
}

/** Makes a cluster of the proxy itself. */
export function ownCluster(name: string, address: JsonObject): JsonObject {
  return {
    name,
    altStatName: name.replaceAll(':', '_'),
    type: 'STATIC',
    connectTimeout: '5s',
    loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
  };
}

export function listener(options: {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly version: KumaVersion;
  readonly filterChains: JsonObject[];
}): JsonObject {
  const { name, address, port, version, filterChains } = options;
  return {
    name,
    address: socketAddress(address, port),
    trafficDirection: 'INBOUND',
    enableReusePort: isLatest(version),
    listenerFilters: [
      filter('envoy.filters.listener.tls_inspector', 'extensions.filters.listener.tls_inspector.v3.TlsInspector', {}),
    ],
    filterChains,
  };
}

export function serverNameMatch(serverName: string): JsonObject {
  return { serverNames: [serverName], transportProtocol: 'tls' };
}

export function tcpProxy(cluster: string, statPrefix: string, subset: EndpointTags | null): JsonObject {
  return filter('envoy.filters.network.tcp_proxy', 'extensions.filters.network.tcp_proxy.v3.TcpProxy', {
    cluster,
    statPrefix,
    ...(subset === null ? {} : { metadataMatch: { filterMetadata: { 'envoy.lb': subset } } }),
  });
}

export function networkRbac(statPrefix: string, rules: JsonObject): JsonObject {
  return filter('envoy.filters.network.rbac', 'extensions.filters.network.rbac.v3.RBAC', { rules, statPrefix });
}

/** `rules`: the RBAC of a chain that has it in HTTP; null without one. */
export function httpManager(options: {
  readonly statPrefix: string;
  readonly routeName: string;
  readonly cluster: string;
  readonly rules: JsonObject | null;
}): JsonObject {
  const { statPrefix, routeName, cluster, rules } = options;
  const route = { match: { prefix: '/' }, route: { autoHostRewrite: true, cluster, timeout: '0s' } };
  const rbac = rules === null ? [] : [filter('envoy.filters.http.rbac', 'extensions.filters.http.rbac.v3.RBAC', { rules })];
  return connectionManager(statPrefix, rbac, INTERNAL, {
    name: routeName,
    virtualHosts: [{ name: statPrefix, domains: ['*'], routes: [route] }],
  });
}

/** Makes the two chains of `kuma:envoy:admin`: plain for `/ready`, mutual TLS for the rest. */
export function adminChains(options: {
  readonly caCert: string;
  readonly server: { readonly cert: string; readonly key: string };
  readonly readyCluster: string;
}): JsonObject[] {
  const { caCert, server, readyCluster } = options;
  const ready = { match: { prefix: '/ready' }, route: { cluster: readyCluster, prefixRewrite: '/ready' } };
  const rest = { match: { prefix: '/' }, route: { cluster: 'kuma:envoy:admin', prefixRewrite: '/' } };
  const manager = (routes: JsonObject[]): JsonObject =>
    connectionManager('kuma_envoy_admin', [], LOOPBACK, {
      virtualHosts: [{ name: 'kuma:envoy:admin', domains: ['*'], routes }],
    });
  return [
    { filters: [manager([ready])] },
    {
      filterChainMatch: { transportProtocol: 'tls' },
      filters: [manager([ready, rest])],
      transportSocket: tlsSocket('DownstreamTlsContext', {
        requireClientCertificate: true,
        commonTlsContext: {
          tlsCertificates: [{ certificateChain: inline(server.cert), privateKey: inline(server.key) }],
          validationContext: {
            trustedCa: inline(caCert),
            matchTypedSubjectAltNames: [{ sanType: 'DNS', matcher: { exact: 'kuma-cp' } }],
          },
        },
      }),
    },
  ];
}

function connectionManager(statPrefix: string, filters: JsonObject[], internal: string, routes: JsonObject): JsonObject {
  return filter(
    'envoy.filters.network.http_connection_manager',
    'extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    {
      statPrefix,
      httpFilters: [...filters, filter('envoy.filters.http.router', 'extensions.filters.http.router.v3.Router', {})],
      internalAddressConfig: { cidrRanges: internal.split(' ').map(cidr) },
      routeConfig: { validateClusters: false, ...routes },
    },
  );
}

/** Makes the TLS that a mesh demands of its data planes; both secrets come by SDS. */
export function downstreamTls(mesh: string): JsonObject {
  return tlsSocket('DownstreamTlsContext', {
    requireClientCertificate: true,
    commonTlsContext: {
      combinedValidationContext: {
        defaultValidationContext: {
          matchTypedSubjectAltNames: [{ sanType: 'URI', matcher: { prefix: `spiffe://${mesh}/` } }],
        },
        validationContextSdsSecretConfig: { name: `mesh_ca:secret:${mesh}`, sdsConfig: ADS },
      },
      tlsCertificateSdsSecretConfigs: [{ name: `identity_cert:secret:${mesh}`, sdsConfig: ADS }],
    },
  });
}

function upstreamTls({ caCert, serverName, client }: UpstreamTlsShape, address: string): JsonObject {
  const sni = serverName ?? address;
  const common: JsonObject = {
    ...(client === undefined
      ? {}
      : { tlsCertificates: [{ certificateChain: inline(client.cert), privateKey: inline(client.key) }] }),
    ...(caCert === undefined
      ? {}
      : {
          validationContext: {
            trustedCa: inline(caCert),
            matchTypedSubjectAltNames: ['DNS', 'IP_ADDRESS'].map((sanType) => ({ sanType, matcher: { exact: sni } })),
          },
        }),
  };
  return tlsSocket('UpstreamTlsContext', { sni, ...(Object.keys(common).length === 0 ? {} : { commonTlsContext: common }) });
}

export function certificateSecret(name: string, { cert, key }: { readonly cert: string; readonly key: string }): JsonObject {
  return { name, tlsCertificate: { certificateChain: inline(cert), privateKey: inline(key) } };
}

export function authoritySecret(name: string, caCert: string): JsonObject {
  return { name, validationContext: { trustedCa: inline(caCert) } };
}

function tlsSocket(context: 'DownstreamTlsContext' | 'UpstreamTlsContext', config: JsonObject): JsonObject {
  return filter('envoy.transport_sockets.tls', `extensions.transport_sockets.tls.v3.${context}`, config);
}

function filter(name: string, type: string, config: JsonObject): JsonObject {
  return { name, typedConfig: { '@type': `${TYPE}.${type}`, ...config } };
}

function inline(pem: string): JsonObject {
  return { inlineBytes: Buffer.from(pem).toString('base64') };
}

function cidr(range: string): JsonValue {
  const [addressPrefix = '', prefixLen = ''] = range.split('/');
  return { addressPrefix, prefixLen: Number(prefixLen) };
}
