import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { balancerRefusals } from './accept-balancer.ts';
import { assignmentRefusals } from './accept-endpoints.ts';
import { breakerRefusals, checkRefusals, outlierRefusals } from './accept-protection.ts';
import { socketRefusals } from './accept-upstream-tls.ts';
import { TYPE_URLS } from '../messages/ads-state.ts';
import type { Acceptance, AdsType } from '../messages/ads-state.ts';
import { CLUSTER_TYPES, missingExtension, RESOLVERS } from '../messages/cluster-extensions.ts';
import { Cluster_DiscoveryType, Cluster_DnsLookupFamily, ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { HttpProtocolOptionsSchema } from '#envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { constraint, notPositive, undefinedEnum } from './proto-constraint.ts';
import { unpack } from '../messages/typed-config.ts';

/**
 * Decodes a cluster and refuses it where Envoy would. Parts that only this egress does not
 * understand are accepted, because a refusal would hold back the whole configuration; such a
 * cluster takes no traffic instead.
 */
export function acceptCluster(any: Any): Acceptance<Cluster> {
  const read = decode(any, 'cluster', ClusterSchema);
  if (read.kind === 'refused') return read;
  const { resource } = read;
  const { name, healthChecks } = resource;
  const [why] = clusterRefusals(resource);
  if (why !== undefined) return { kind: 'refused', name, why };
  const remarks =
    healthChecks.length > 1
      ? [`it has ${healthChecks.length} health checks, which Envoy refuses: an endpoint is well where each says so`]
      : [];
  return { kind: 'accepted', name, resource, remarks };
}

/** Decodes the endpoints of a cluster, which are addresses, and refuses them where Envoy would. */
export function acceptAssignment(any: Any): Acceptance<ClusterLoadAssignment> {
  const read = decode(any, 'endpoint', ClusterLoadAssignmentSchema);
  if (read.kind === 'refused') return read;
  const { resource } = read;
  const [why] = assignmentRefusals(resource, { resolves: false });
  const name = resource.clusterName;
  return why === undefined ? { kind: 'accepted', name, resource, remarks: [] } : { kind: 'refused', name, why };
}

function decode<Desc extends DescMessage>(
  any: Any,
  type: AdsType,
  schema: Desc,
): { readonly kind: 'decoded'; readonly resource: MessageShape<Desc> } | Extract<Acceptance<never>, { kind: 'refused' }> {
  if (any.typeUrl !== TYPE_URLS[type])
    return { kind: 'refused', name: '', why: `its type is ${any.typeUrl}, not ${TYPE_URLS[type]}` };
  try {
    return { kind: 'decoded', resource: fromBinary(schema, any.value) };
  } catch (error) {
    return { kind: 'refused', name: '', why: `cannot be decoded: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/**
 * Checks in Envoy's order: the rules of the proto, then the parts. Lazy: the first refusal counts.
 */
function* clusterRefusals(cluster: Cluster): Iterable<string> {
  const { name, connectTimeout, cleanupInterval, dnsLookupFamily } = cluster;
  if (name === '') yield constraint('Cluster', 'Name', 'value length must be at least 1 characters');
  yield* notPositive('Cluster', { ConnectTimeout: connectTimeout, CleanupInterval: cleanupInterval });
  yield* undefinedEnum('Cluster', { DnsLookupFamily: [dnsLookupFamily, Cluster_DnsLookupFamily] });
  yield* discoveryRefusals(cluster);
  yield* balancerRefusals(cluster);
  yield* breakerRefusals(cluster.circuitBreakers);
  yield* outlierRefusals(cluster.outlierDetection);
  const protocol = protocolOf(cluster);
  if (protocol.refusal !== null) yield protocol.refusal;
  for (const check of cluster.healthChecks) yield* checkRefusals(check, { cluster: name, speaksHttp2: protocol.speaksHttp2 });
  for (const { name: of, transportSocket } of cluster.transportSocketMatches) {
    if (of === '') yield constraint('Cluster_TransportSocketMatch', 'Name', 'value length must be at least 1 characters');
    if (transportSocket !== undefined) yield* socketRefusals(transportSocket);
  }
  if (cluster.transportSocket !== undefined) yield* socketRefusals(cluster.transportSocket);
}

function* discoveryRefusals(cluster: Cluster): Iterable<string> {
  const { clusterDiscoveryType: type, edsClusterConfig, loadAssignment, typedDnsResolverConfig: resolver } = cluster;
  const isEds = type.case === 'type' && type.value === Cluster_DiscoveryType.EDS;
  if (edsClusterConfig !== undefined && !isEds) yield 'eds_cluster_config set in a non-EDS cluster';
  if (edsClusterConfig === undefined && isEds) yield 'cannot create an EDS cluster without an EDS config';
  const missing = resolver === undefined ? null : missingExtension(resolver.name, resolver.typedConfig, RESOLVERS);
  if (missing !== null) yield missing;
  if (type.case === 'clusterType') {
    const { name } = type.value;
    if (!CLUSTER_TYPES.has(name)) yield `Didn't find a registered cluster factory implementation for name: '${name}'`;
    return;
  }
  const discovery = type.value ?? Cluster_DiscoveryType.STATIC;
  yield* undefinedEnum('Cluster', { Type: [discovery, Cluster_DiscoveryType] });
  // Endpoints beside EDS are ignored.
  if (isEds || loadAssignment === undefined) return;
  const isLogical = discovery === Cluster_DiscoveryType.LOGICAL_DNS;
  const [only, ...more] = loadAssignment.endpoints;
  if (isLogical && (only?.lbEndpoints.length !== 1 || more.length > 0))
    yield 'LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint';
  yield* assignmentRefusals(loadAssignment, { resolves: isLogical || discovery === Cluster_DiscoveryType.STRICT_DNS });
}

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function protocolOf({ typedExtensionProtocolOptions: options, http2ProtocolOptions }: Cluster): {
  readonly speaksHttp2: boolean;
  readonly refusal: string | null;
} {
  for (const key of Object.keys(options)) {
    if (!PROTOCOL_OPTIONS.test(key)) {
      const refusal = `Didn't find a registered network or http filter or protocol options implementation for name: '${key}'`;
      return { speaksHttp2: false, refusal };
    }
  }
  const config = options[HTTP_OPTIONS];
  if (config === undefined) return { speaksHttp2: http2ProtocolOptions !== undefined, refusal: null };
  const http = unpack(config, HttpProtocolOptionsSchema);
  if (http === undefined) return { speaksHttp2: false, refusal: `Unable to unpack as ${HTTP_OPTIONS}` };
  const { upstreamProtocolOptions: protocol } = http;
  if (protocol.case === undefined)
    return { speaksHttp2: false, refusal: constraint('HttpProtocolOptions', 'UpstreamProtocolOptions', 'value is required') };
  if (protocol.case !== 'explicitHttpConfig')
    return { speaksHttp2: protocol.value.http2ProtocolOptions !== undefined, refusal: null };
  const { protocolConfig } = protocol.value;
  const refusal =
    protocolConfig.case === undefined
      ? constraint('HttpProtocolOptions_ExplicitHttpConfig', 'ProtocolConfig', 'value is required')
      : null;
  return { speaksHttp2: protocolConfig.case === 'http2ProtocolOptions', refusal };
}

/** Keyed by the name of a filter, or of the options themselves. */
const PROTOCOL_OPTIONS = /^envoy\.(?:extensions\.upstreams\.|filters\.(?:network|http)\.|\w+$)/;
