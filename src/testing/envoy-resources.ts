/** Envoy's resources as a test writes them (messages, or proto3 JSON) and as they travel. */
import { create, createRegistry, fromJson, isMessage, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, JsonObject, JsonValue, Message, MessageShape, Registry } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { AdsType } from '../xds/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../xds/ads-state.ts';
import { ClusterSchema, file_envoy_config_cluster_v3_cluster } from '../xds/proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '../xds/proto/envoy/config/cluster/v3/cluster_pb.js';
import {
  ClusterLoadAssignmentSchema,
  file_envoy_config_endpoint_v3_endpoint,
} from '../xds/proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterLoadAssignment } from '../xds/proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema, file_envoy_config_listener_v3_listener } from '../xds/proto/envoy/config/listener/v3/listener_pb.js';
import type { Listener } from '../xds/proto/envoy/config/listener/v3/listener_pb.js';
import {
  SecretSchema,
  file_envoy_extensions_transport_sockets_tls_v3_secret,
} from '../xds/proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { Secret } from '../xds/proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { file_envoy_config_rbac_v3_rbac } from '../xds/proto/envoy/config/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_access_loggers_file_v3_file } from '../xds/proto/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { file_envoy_extensions_access_loggers_filters_cel_v3_cel } from '../xds/proto/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js';
import { file_envoy_extensions_filters_http_fault_v3_fault } from '../xds/proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit } from '../xds/proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { file_envoy_extensions_filters_http_rbac_v3_rbac } from '../xds/proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_http_router_v3_router } from '../xds/proto/envoy/extensions/filters/http/router/v3/router_pb.js';
import { file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector } from '../xds/proto/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { file_envoy_extensions_filters_network_connection_limit_v3_connection_limit } from '../xds/proto/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js';
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from '../xds/proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { file_envoy_extensions_filters_network_local_ratelimit_v3_local_rate_limit } from '../xds/proto/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js';
import { file_envoy_extensions_filters_network_rbac_v3_rbac } from '../xds/proto/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy } from '../xds/proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { file_envoy_extensions_matching_common_inputs_network_v3_network_inputs } from '../xds/proto/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js';
import { file_envoy_extensions_matching_common_inputs_ssl_v3_ssl_inputs } from '../xds/proto/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_tls } from '../xds/proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_tls_spiffe_validator_config } from '../xds/proto/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js';
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options } from '../xds/proto/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';

/** What stands inside an `Any` of what Kuma sends. */
const TYPES: Registry = createRegistry(
  file_envoy_config_cluster_v3_cluster,
  file_envoy_config_endpoint_v3_endpoint,
  file_envoy_config_listener_v3_listener,
  file_envoy_extensions_transport_sockets_tls_v3_secret,
  file_envoy_config_rbac_v3_rbac,
  file_envoy_extensions_access_loggers_file_v3_file,
  file_envoy_extensions_access_loggers_filters_cel_v3_cel,
  file_envoy_extensions_filters_http_fault_v3_fault,
  file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit,
  file_envoy_extensions_filters_http_rbac_v3_rbac,
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector,
  file_envoy_extensions_filters_network_connection_limit_v3_connection_limit,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_extensions_filters_network_local_ratelimit_v3_local_rate_limit,
  file_envoy_extensions_filters_network_rbac_v3_rbac,
  file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy,
  file_envoy_extensions_matching_common_inputs_network_v3_network_inputs,
  file_envoy_extensions_matching_common_inputs_ssl_v3_ssl_inputs,
  file_envoy_extensions_transport_sockets_tls_v3_tls,
  file_envoy_extensions_transport_sockets_tls_v3_tls_spiffe_validator_config,
  file_envoy_extensions_upstreams_http_v3_http_protocol_options,
);

const SCHEMAS: Readonly<Record<AdsType, DescMessage>> = {
  cluster: ClusterSchema,
  endpoint: ClusterLoadAssignmentSchema,
  listener: ListenerSchema,
  secret: SecretSchema,
};

/** Resources of a control plane; a JSON object may keep its `@type`. */
export interface EnvoyResources {
  readonly clusters?: readonly (Cluster | JsonObject)[];
  readonly endpoints?: readonly (ClusterLoadAssignment | JsonObject)[];
  readonly listeners?: readonly (Listener | JsonObject)[];
  readonly secrets?: readonly (Secret | JsonObject)[];
}

export const RESOURCE_KEYS: Readonly<Record<AdsType, keyof EnvoyResources>> = {
  cluster: 'clusters',
  endpoint: 'endpoints',
  listener: 'listeners',
  secret: 'secrets',
};

export interface PackedResource {
  readonly name: string;
  readonly any: Any;
}

/** Throws where the JSON is not a resource of the type. */
export function packResource(type: AdsType, resource: Message | JsonObject): PackedResource {
  const message = isMessage(resource) ? resource : readEnvoyJson(SCHEMAS[type], withoutType(resource));
  return { name: nameOf(message), any: create(AnySchema, { typeUrl: TYPE_URLS[type], value: toBinary(SCHEMAS[type], message) }) };
}

/** Proto3 JSON with `Any` resolved, as Envoy and the recordings write it. */
export function readEnvoyJson<Desc extends DescMessage>(schema: Desc, json: JsonValue): MessageShape<Desc> {
  return fromJson(schema, json, { registry: TYPES });
}

export function adsTypeOf(typeUrl: string): AdsType | null {
  return ADS_TYPES.find((type) => TYPE_URLS[type] === typeUrl) ?? null;
}

function withoutType({ '@type': _, ...rest }: JsonObject): JsonObject {
  return rest;
}

/** The name by which a request asks for it. */
function nameOf(message: Message): string {
  const { name, clusterName } = message as { readonly name?: string; readonly clusterName?: string };
  return name ?? clusterName ?? '';
}
