import { fromBinary } from '@bufbuild/protobuf';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { Cluster_DiscoveryType } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { TransportSocket } from '#envoy/config/core/v3/base_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import type { SdsSecretConfig } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { CommonTlsContext } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { DownstreamTlsContextSchema, UpstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';

/**
 * Finds the names of other resources that a resource refers to. Pure. A secret in a file or in the
 * bootstrap is not requested over ADS.
 */

/**
 * Returns the name for a request of the cluster's endpoints; null for a cluster that contains them.
 */
export function endpointResourceName(cluster: Cluster): string | null {
  const { clusterDiscoveryType, edsClusterConfig, name } = cluster;
  if (clusterDiscoveryType.case !== 'type' || clusterDiscoveryType.value !== Cluster_DiscoveryType.EDS) return null;
  const serviceName = edsClusterConfig?.serviceName ?? '';
  return serviceName === '' ? name : serviceName;
}

/** Returns each name once, in the order of the chains. */
export function secretNamesOfListener({ filterChains, defaultFilterChain }: Listener): readonly string[] {
  const chains = defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain];
  return secretNames(chains.map(({ transportSocket }) => transportSocket));
}

export function secretNamesOfCluster({ transportSocket, transportSocketMatches }: Cluster): readonly string[] {
  return secretNames([transportSocket, ...transportSocketMatches.map((match) => match.transportSocket)]);
}

/**
 * Keyed by the socket itself: most chains of a listener are the same objects as before, and
 * decoding 10,000 contexts is most of the work.
 */
const KNOWN = new WeakMap<TransportSocket, readonly string[]>();

function secretNames(sockets: readonly (TransportSocket | undefined)[]): readonly string[] {
  const names = new Set<string>();
  for (const socket of sockets) {
    if (socket === undefined) continue;
    let own = KNOWN.get(socket);
    if (own === undefined) {
      const overAds = secretConfigs(tlsContext(socket)).filter((each) => each.sdsConfig?.configSourceSpecifier.case === 'ads');
      own = overAds.map(({ name }) => name);
      KNOWN.set(socket, own);
    }
    for (const name of own) names.add(name);
  }
  return [...names];
}

/**
 * Returns undefined also for bytes that are no such context; the check of the resource decides
 * whether that is refused.
 */
function tlsContext(socket: TransportSocket): CommonTlsContext | undefined {
  if (socket.configType.case !== 'typedConfig') return undefined;
  const { typeUrl, value } = socket.configType.value;
  try {
    if (typeUrl.endsWith(`/${DownstreamTlsContextSchema.typeName}`))
      return fromBinary(DownstreamTlsContextSchema, value).commonTlsContext;
    if (typeUrl.endsWith(`/${UpstreamTlsContextSchema.typeName}`))
      return fromBinary(UpstreamTlsContextSchema, value).commonTlsContext;
  } catch {
    // The comment of the function explains it.
  }
  return undefined;
}

function secretConfigs(context: CommonTlsContext | undefined): readonly SdsSecretConfig[] {
  if (context === undefined) return [];
  const { tlsCertificateSdsSecretConfigs, validationContextType } = context;
  switch (validationContextType.case) {
    case 'validationContextSdsSecretConfig':
      return [...tlsCertificateSdsSecretConfigs, validationContextType.value];
    case 'combinedValidationContext': {
      const { validationContextSdsSecretConfig: combined } = validationContextType.value;
      return combined === undefined ? tlsCertificateSdsSecretConfigs : [...tlsCertificateSdsSecretConfigs, combined];
    }
    default:
      return tlsCertificateSdsSecretConfigs;
  }
}
