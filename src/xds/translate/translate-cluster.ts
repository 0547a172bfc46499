import type { Cluster, HttpPool } from '../../model/cluster.ts';
import type { ContentHash } from '../../model/names.ts';
import type { ReadFile } from '../../resources/load.ts';
import { createPemStore } from '../../resources/pem.ts';
import { readBalancing } from './cluster-balancer.ts';
import { readEndpoints } from './cluster-endpoints.ts';
import type { Socket, SocketMatches } from './cluster-endpoints.ts';
import { readProtection } from './cluster-protection.ts';
import { milliseconds } from '../messages/duration.ts';
import { Cluster_DiscoveryType, Cluster_DnsLookupFamily } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster as EnvoyCluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { TransportSocket } from '#envoy/config/core/v3/base_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { UpstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { HttpProtocolOptions } from '#envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { HttpProtocolOptionsSchema } from '#envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { typeOf, unpack } from '../messages/typed-config.ts';
import { readUpstreamTls } from './upstream-tls.ts';

export interface ClusterSource {
  readonly cluster: EnvoyCluster;
  /** Its EDS resource; only a cluster of that type uses it. */
  readonly assignment?: ClusterLoadAssignment | undefined;
  /** Returns the SDS resource of this name. */
  readonly secret: (name: string) => Secret | undefined;
  /**
   * Reads certificates that a resource names by their place on the proxy's disk. Without it such a
   * cluster is unusable.
   */
  readonly readFile?: ReadFile;
}

export interface TranslatedCluster {
  readonly cluster: Cluster;
  /** PEM texts that the cluster refers to. */
  readonly secrets: ReadonlyMap<ContentHash, string>;
  /**
   * Effects that Envoy has and this egress has not, and facts for the operator: one sentence each.
   */
  readonly remarks: readonly string[];
  /**
   * Why no route may lead to it: its endpoints must be connected to in a way that is not possible
   * here.
   */
  readonly unusable?: string;
}

/** Envoy's default. */
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Returns the same value as files of the same zone give, except for the reason where no server is
 * trusted. Never throws.
 */
export function translateCluster({ cluster, assignment, secret, readFile }: ClusterSource): TranslatedCluster {
  const remarks: string[] = [];
  const pems = createPemStore();
  const protocol = readProtocol(cluster);
  const sockets = socketsOf(cluster, (socket) => {
    if (socket === undefined) return { kind: 'plain' };
    const config = socket.configType.value;
    if (typeOf(config) === RAW_BUFFER || (config === undefined && socket.name === 'envoy.transport_sockets.raw_buffer'))
      return { kind: 'plain' };
    const context = unpack(config, UpstreamTlsContextSchema);
    if (context === undefined) return { kind: 'unusable', why: `its transport socket is ${typeOf(config) || socket.name}` };
    const read = readUpstreamTls(context, { secret, pems, alpn: protocol.alpn, ...(readFile === undefined ? {} : { readFile }) });
    if (read.kind === 'tls') remarks.push(...read.remarks);
    return read;
  });
  const { family, isEds, why } = discoveryOf(cluster);
  const assigned = isEds ? assignment : cluster.loadAssignment;
  const found = readEndpoints(assigned, sockets, family);
  const balancing = readBalancing(cluster);
  const protection = readProtection(cluster, assigned?.endpoints.flatMap(({ lbEndpoints }) => lbEndpoints) ?? []);
  remarks.push(...found.remarks, ...balancing.remarks, ...protection.remarks, ...protocol.remarks, ...unused(cluster));
  const factor = assigned?.policy?.overprovisioningFactor;
  const unusable = why ?? unknownSockets(cluster) ?? found.unusable;
  return {
    cluster: {
      name: cluster.name,
      endpoints: unusable === null ? found.endpoints : [],
      connectTimeoutMs: milliseconds(cluster.connectTimeout) ?? CONNECT_TIMEOUT_MS,
      ...(protocol.http === undefined ? {} : { http: protocol.http }),
      ...(protocol.pool === undefined ? {} : { httpPool: protocol.pool }),
      ...balancing.fields,
      ...(factor === undefined ? {} : { overprovisioningFactor: factor / 100 }),
      ...protection.fields,
    },
    secrets: pems.secrets,
    remarks: [...new Set(remarks)],
    ...(unusable === null ? {} : { unusable }),
  };
}

const RAW_BUFFER = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';

/** Reads each socket once, and only if an endpoint uses it. */
function socketsOf(cluster: EnvoyCluster, read: (socket: TransportSocket | undefined) => Socket): SocketMatches {
  const once = (socket: TransportSocket | undefined): (() => Socket) => {
    let known: Socket | undefined;
    return () => (known ??= read(socket));
  };
  return {
    matches: cluster.transportSocketMatches.map(({ match, transportSocket }) => ({
      match: match ?? {},
      socket: once(transportSocket),
    })),
    otherwise: once(cluster.transportSocket),
  };
}

interface Discovery {
  readonly family: 'v4' | 'any' | null;
  readonly isEds: boolean;
  readonly why: string | null;
}

function discoveryOf({ clusterDiscoveryType: type, dnsLookupFamily }: EnvoyCluster): Discovery {
  const family = dnsLookupFamily === Cluster_DnsLookupFamily.V4_ONLY ? 'v4' : 'any';
  const ofAddresses = { family: null, isEds: false, why: null };
  if (type.case === 'clusterType') return { ...ofAddresses, why: `its type is ${type.value.name}` };
  const { value } = type;
  switch (value) {
    case Cluster_DiscoveryType.EDS:
      return { ...ofAddresses, isEds: true };
    case Cluster_DiscoveryType.STRICT_DNS:
    case Cluster_DiscoveryType.LOGICAL_DNS:
      return { ...ofAddresses, family };
    case Cluster_DiscoveryType.ORIGINAL_DST:
      return { ...ofAddresses, why: 'its endpoint is where the client wanted to go' };
    case Cluster_DiscoveryType.STATIC:
    case undefined:
      return ofAddresses;
    default:
      return value satisfies never;
  }
}

/**
 * `transport_socket_matcher`, which would choose the endpoints with TLS, is not in these protos
 * yet.
 */
const SOCKET_MATCHER = 59;

function unknownSockets({ $unknown = [] }: EnvoyCluster): string | null {
  return $unknown.some(({ no }) => no === SOCKET_MATCHER) ? 'its transport sockets are chosen by a matcher' : null;
}

interface Protocol {
  /** The ALPN list that Envoy offers to a TLS server of such a cluster. */
  readonly alpn: readonly string[];
  readonly http?: 'http1' | 'http2';
  readonly pool?: HttpPool;
  readonly remarks: readonly string[];
}

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/**
 * Bytes are relayed here, so ALPN has to be the client's protocol. Where the cluster leaves a
 * choice, none is offered.
 */
function readProtocol({ typedExtensionProtocolOptions, http2ProtocolOptions }: EnvoyCluster): Protocol {
  const options = unpack(typedExtensionProtocolOptions[HTTP_OPTIONS], HttpProtocolOptionsSchema);
  if (options === undefined) return { alpn: http2ProtocolOptions === undefined ? [] : ['h2'], remarks: [] };
  const { upstreamProtocolOptions: protocol } = options;
  const explicit = protocol.case === 'explicitHttpConfig' ? protocol.value.protocolConfig.case : undefined;
  switch (explicit) {
    case 'httpProtocolOptions':
      return { alpn: ['http/1.1'], http: 'http1', ...readPool(options), remarks: [] };
    case 'http2ProtocolOptions':
      return { alpn: ['h2'], http: 'http2', ...readPool(options), remarks: [] };
    case 'http3ProtocolOptions':
      return { alpn: [], remarks: ['HTTP/3 is not spoken'] };
    case undefined:
      return {
        alpn: [],
        remarks: ['no protocol is offered to its server in TLS (ALPN), as it is not known which one clients speak'],
      };
    default:
      return explicit satisfies never;
  }
}

/** 0 means no limit, except for idle time, which has a default in Envoy. */
function readPool({
  commonHttpProtocolOptions: common,
  upstreamProtocolOptions: by,
}: HttpProtocolOptions): Pick<Protocol, 'pool'> {
  const explicit = by.case === 'explicitHttpConfig' ? by.value.protocolConfig : undefined;
  const idleMs = milliseconds(common?.idleTimeout);
  const limits = {
    maxConnectionMs: milliseconds(common?.maxConnectionDuration),
    maxStreamMs: milliseconds(common?.maxStreamDuration),
    maxRequests: common?.maxRequestsPerConnection,
    maxStreams: explicit?.case === 'http2ProtocolOptions' ? explicit.value.maxConcurrentStreams : undefined,
  };
  const written = Object.entries(limits).filter(([, limit]) => limit !== undefined && limit > 0);
  const pool: HttpPool = { ...(idleMs === undefined ? {} : { idleMs }), ...Object.fromEntries(written) };
  return Object.keys(pool).length === 0 ? {} : { pool };
}

function unused(cluster: EnvoyCluster): readonly string[] {
  const { upstreamBindConfig, filters, upstreamConfig, dnsLookupFamily, clusterDiscoveryType, maxRequestsPerConnection } =
    cluster;
  const isDns =
    clusterDiscoveryType.value === Cluster_DiscoveryType.STRICT_DNS ||
    clusterDiscoveryType.value === Cluster_DiscoveryType.LOGICAL_DNS;
  const fields = [
    ...(upstreamBindConfig === undefined ? [] : ['upstreamBindConfig']),
    ...(filters.length === 0 ? [] : ['filters']),
    ...(upstreamConfig === undefined ? [] : ['upstreamConfig']),
    ...(maxRequestsPerConnection === undefined ? [] : ['maxRequestsPerConnection']),
    ...(cluster.dnsResolvers.length === 0 &&
    cluster.typedDnsResolverConfig === undefined &&
    cluster.dnsResolutionConfig === undefined
      ? []
      : ['DNS resolvers']),
    ...(cluster.$unknown ?? []).map(({ no }) => `field ${no}`),
  ];
  return [
    ...(fields.length === 0 ? [] : [`of it these are not used: ${fields.join(', ')}`]),
    ...(isDns && dnsLookupFamily === Cluster_DnsLookupFamily.V6_ONLY ? ['its names are resolved to IPv4 addresses too'] : []),
  ];
}
