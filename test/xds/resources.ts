import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Cluster_DiscoveryType, ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignment_PolicySchema, ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { DownstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';

/** The least that the conversation reads; `mark` changes the bytes. */

export function staticCluster(name: string, mark = ''): Any {
  const type = { case: 'type' as const, value: Cluster_DiscoveryType.STATIC };
  return anyPack(ClusterSchema, create(ClusterSchema, { name, altStatName: mark, clusterDiscoveryType: type }));
}

export function edsCluster(name: string, serviceName = '', mark = ''): Any {
  const type = { case: 'type' as const, value: Cluster_DiscoveryType.EDS };
  const message = create(ClusterSchema, {
    name,
    altStatName: mark,
    clusterDiscoveryType: type,
    edsClusterConfig: { serviceName },
  });
  return anyPack(ClusterSchema, message);
}

export function endpoints(clusterName: string, mark = 0): Any {
  const message = create(ClusterLoadAssignmentSchema, { clusterName });
  if (mark > 0) message.policy = create(ClusterLoadAssignment_PolicySchema, { overprovisioningFactor: mark });
  return anyPack(ClusterLoadAssignmentSchema, message);
}

/** One chain for each pair of secrets: an identity and a CA. */
export function listener(name: string, chains: readonly (readonly string[])[], mark = ''): Any {
  const sds = (secret: string): object => ({
    name: secret,
    sdsConfig: { configSourceSpecifier: { case: 'ads' as const, value: {} } },
  });
  const filterChains = chains.map(([identity = '', ca = '']) => {
    const context = create(DownstreamTlsContextSchema, {
      commonTlsContext: {
        tlsCertificateSdsSecretConfigs: [sds(identity)],
        validationContextType: {
          case: 'combinedValidationContext',
          value: { validationContextSdsSecretConfig: sds(ca) },
        },
      },
    });
    const configType = { case: 'typedConfig' as const, value: anyPack(DownstreamTlsContextSchema, context) };
    return { name: identity, transportSocket: { name: 'tls', configType } };
  });
  return anyPack(ListenerSchema, create(ListenerSchema, { name, statPrefix: mark, filterChains }));
}

export function secret(name: string, mark = ''): Any {
  const inline = (text: string): object => ({ specifier: { case: 'inlineString' as const, value: text } });
  const message = create(SecretSchema, {
    name,
    type: { case: 'tlsCertificate', value: { certificateChain: inline(mark), privateKey: inline(mark) } },
  });
  return anyPack(SecretSchema, message);
}
