/** The types that Kuma puts into an `Any`, so that they can be shown, and written by tests. */
import { createRegistry } from '@bufbuild/protobuf';
import type { Registry } from '@bufbuild/protobuf';
import { file_google_protobuf_empty, file_google_protobuf_struct, file_google_protobuf_wrappers } from '@bufbuild/protobuf/wkt';
import { file_envoy_config_cluster_v3_cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { file_envoy_config_endpoint_v3_endpoint } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { file_envoy_config_listener_v3_listener } from '#envoy/config/listener/v3/listener_pb.js';
import { file_envoy_config_route_v3_route } from '#envoy/config/route/v3/route_pb.js';
import { file_envoy_config_rbac_v3_rbac } from '#envoy/config/rbac/v3/rbac_pb.js';
import { file_envoy_config_bootstrap_v3_bootstrap } from '#envoy/config/bootstrap/v3/bootstrap_pb.js';
import { file_envoy_config_grpc_credential_v3_file_based_metadata } from '#envoy/config/grpc_credential/v3/file_based_metadata_pb.js';
import { file_envoy_extensions_access_loggers_file_v3_file } from '#envoy/extensions/access_loggers/file/v3/file_pb.js';
import { file_envoy_extensions_access_loggers_filters_cel_v3_cel } from '#envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js';
import { file_envoy_extensions_common_matching_v3_extension_matcher } from '#envoy/extensions/common/matching/v3/extension_matcher_pb.js';
import { file_envoy_extensions_filters_common_matcher_action_v3_skip_action } from '#envoy/extensions/filters/common/matcher/action/v3/skip_action_pb.js';
import { file_envoy_extensions_filters_http_fault_v3_fault } from '#envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit } from '#envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { file_envoy_extensions_filters_http_rbac_v3_rbac } from '#envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_http_router_v3_router } from '#envoy/extensions/filters/http/router/v3/router_pb.js';
import { file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector } from '#envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { file_envoy_extensions_filters_network_connection_limit_v3_connection_limit } from '#envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js';
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { file_envoy_extensions_filters_network_local_ratelimit_v3_local_rate_limit } from '#envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js';
import { file_envoy_extensions_filters_network_rbac_v3_rbac } from '#envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_network_set_filter_state_v3_set_filter_state } from '#envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.js';
import { file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy } from '#envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { file_envoy_extensions_load_balancing_policies_least_request_v3_least_request } from '#envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
import { file_envoy_extensions_load_balancing_policies_maglev_v3_maglev } from '#envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.js';
import { file_envoy_extensions_load_balancing_policies_random_v3_random } from '#envoy/extensions/load_balancing_policies/random/v3/random_pb.js';
import { file_envoy_extensions_load_balancing_policies_ring_hash_v3_ring_hash } from '#envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.js';
import { file_envoy_extensions_load_balancing_policies_round_robin_v3_round_robin } from '#envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js';
import { file_envoy_extensions_load_balancing_policies_subset_v3_subset } from '#envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js';
import { file_envoy_extensions_load_balancing_policies_wrr_locality_v3_wrr_locality } from '#envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js';
import { file_envoy_extensions_matching_common_inputs_network_v3_network_inputs } from '#envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js';
import { file_envoy_extensions_matching_common_inputs_ssl_v3_ssl_inputs } from '#envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.js';
import { file_envoy_extensions_regex_engines_v3_google_re2 } from '#envoy/extensions/regex_engines/v3/google_re2_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_tls } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_tls_spiffe_validator_config } from '#envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js';
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options } from '#envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';

export const ANY_TYPES: Registry = createRegistry(
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  file_envoy_config_cluster_v3_cluster,
  file_envoy_config_endpoint_v3_endpoint,
  file_envoy_config_listener_v3_listener,
  file_envoy_config_route_v3_route,
  file_envoy_config_rbac_v3_rbac,
  file_envoy_config_bootstrap_v3_bootstrap,
  file_envoy_config_grpc_credential_v3_file_based_metadata,
  file_envoy_extensions_access_loggers_file_v3_file,
  file_envoy_extensions_access_loggers_filters_cel_v3_cel,
  file_envoy_extensions_common_matching_v3_extension_matcher,
  file_envoy_extensions_filters_common_matcher_action_v3_skip_action,
  file_envoy_extensions_filters_http_fault_v3_fault,
  file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit,
  file_envoy_extensions_filters_http_rbac_v3_rbac,
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector,
  file_envoy_extensions_filters_network_connection_limit_v3_connection_limit,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_extensions_filters_network_local_ratelimit_v3_local_rate_limit,
  file_envoy_extensions_filters_network_rbac_v3_rbac,
  file_envoy_extensions_filters_network_set_filter_state_v3_set_filter_state,
  file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy,
  file_envoy_extensions_load_balancing_policies_least_request_v3_least_request,
  file_envoy_extensions_load_balancing_policies_maglev_v3_maglev,
  file_envoy_extensions_load_balancing_policies_random_v3_random,
  file_envoy_extensions_load_balancing_policies_ring_hash_v3_ring_hash,
  file_envoy_extensions_load_balancing_policies_round_robin_v3_round_robin,
  file_envoy_extensions_load_balancing_policies_subset_v3_subset,
  file_envoy_extensions_load_balancing_policies_wrr_locality_v3_wrr_locality,
  file_envoy_extensions_matching_common_inputs_network_v3_network_inputs,
  file_envoy_extensions_matching_common_inputs_ssl_v3_ssl_inputs,
  file_envoy_extensions_regex_engines_v3_google_re2,
  file_envoy_extensions_transport_sockets_tls_v3_tls,
  file_envoy_extensions_transport_sockets_tls_v3_tls_spiffe_validator_config,
  file_envoy_extensions_upstreams_http_v3_http_protocol_options,
  file_envoy_extensions_transport_sockets_tls_v3_secret,
);
