/**
 * The extensions of Envoy 1.38 that a listener may carry. One that is on no list is refused, as
 * Envoy refuses it. One that is on a list but not understood here closes its chain instead.
 */
const V3 = (kind: string, names: string): readonly string[] => names.split(' ').map((name) => `envoy.extensions.${kind}.${name}`);

export const NETWORK_FILTERS: ReadonlySet<string> = new Set(
  V3(
    'filters.network',
    'connection_limit.v3.ConnectionLimit direct_response.v3.Config dubbo_proxy.v3.DubboProxy dynamic_modules.v3.DynamicModuleNetworkFilter ' +
      'echo.v3.Echo ext_authz.v3.ExtAuthz ext_proc.v3.NetworkExternalProcessor geoip.v3.Geoip http_connection_manager.v3.HttpConnectionManager ' +
      'http_connection_manager.v3.EnvoyMobileHttpConnectionManager local_ratelimit.v3.LocalRateLimit mongo_proxy.v3.MongoProxy ' +
      'ratelimit.v3.RateLimit rbac.v3.RBAC redis_proxy.v3.RedisProxy reverse_tunnel.v3.ReverseTunnel set_filter_state.v3.Config ' +
      'sni_cluster.v3.SniCluster sni_dynamic_forward_proxy.v3.FilterConfig tcp_proxy.v3.TcpProxy thrift_proxy.v3.ThriftProxy ' +
      'wasm.v3.Wasm zookeeper_proxy.v3.ZooKeeperProxy',
  ),
);

/** Filters that end a chain: exactly one, in the last place. */
export const TERMINAL_NETWORK_FILTERS: ReadonlySet<string> = new Set(
  V3(
    'filters.network',
    'direct_response.v3.Config dubbo_proxy.v3.DubboProxy echo.v3.Echo http_connection_manager.v3.HttpConnectionManager ' +
      'http_connection_manager.v3.EnvoyMobileHttpConnectionManager redis_proxy.v3.RedisProxy reverse_tunnel.v3.ReverseTunnel ' +
      'tcp_proxy.v3.TcpProxy thrift_proxy.v3.ThriftProxy',
  ),
);

/** Filters that restrict no client; their effects that are missing here are remarks. */
export const HARMLESS_HTTP_FILTERS: ReadonlySet<string> = new Set(
  V3(
    'filters.http',
    'adaptive_concurrency.v3.AdaptiveConcurrency admission_control.v3.AdmissionControl alternate_protocols_cache.v3.FilterConfig ' +
      'bandwidth_limit.v3.BandwidthLimit buffer.v3.Buffer cache.v3.CacheConfig cache_v2.v3.CacheV2Config cdn_loop.v3.CdnLoopConfig ' +
      'compressor.v3.Compressor connect_grpc_bridge.v3.FilterConfig cors.v3.Cors decompressor.v3.Decompressor fault.v3.HTTPFault ' +
      'file_system_buffer.v3.FileSystemBufferFilterConfig geoip.v3.Geoip grpc_field_extraction.v3.GrpcFieldExtractionConfig ' +
      'grpc_http1_bridge.v3.Config grpc_http1_reverse_bridge.v3.FilterConfig grpc_json_reverse_transcoder.v3.GrpcJsonReverseTranscoder ' +
      'grpc_json_transcoder.v3.GrpcJsonTranscoder grpc_stats.v3.FilterConfig grpc_web.v3.GrpcWeb header_mutation.v3.HeaderMutation ' +
      'header_to_metadata.v3.Config health_check.v3.HealthCheck ip_tagging.v3.IPTagging json_to_metadata.v3.JsonToMetadata ' +
      'kill_request.v3.KillRequest local_ratelimit.v3.LocalRateLimit on_demand.v3.OnDemand original_src.v3.OriginalSrc ' +
      'proto_message_extraction.v3.ProtoMessageExtractionConfig ' +
      'set_filter_state.v3.Config set_metadata.v3.Config stateful_session.v3.StatefulSession tap.v3.Tap thrift_to_metadata.v3.ThriftToMetadata',
  ),
);

export const HTTP_FILTERS: ReadonlySet<string> = new Set([
  // A filter with a matcher for its clients.
  'envoy.extensions.common.matching.v3.ExtensionWithMatcher',
  ...HARMLESS_HTTP_FILTERS,
  ...V3(
    'filters.http',
    'api_key_auth.v3.ApiKeyAuth aws_lambda.v3.Config aws_request_signing.v3.AwsRequestSigning basic_auth.v3.BasicAuth composite.v3.Composite ' +
      'credential_injector.v3.CredentialInjector csrf.v3.CsrfPolicy dynamic_forward_proxy.v3.FilterConfig dynamic_modules.v3.DynamicModuleFilter ' +
      'ext_authz.v3.ExtAuthz ext_proc.v3.ExternalProcessor gcp_authn.v3.GcpAuthnFilterConfig jwt_authn.v3.JwtAuthentication lua.v3.Lua ' +
      'mcp.v3.Mcp mcp_router.v3.McpRouter oauth2.v3.OAuth2 proto_api_scrubber.v3.ProtoApiScrubberConfig rate_limit_quota.v3.RateLimitQuotaFilterConfig ratelimit.v3.RateLimit ' +
      'rbac.v3.RBAC router.v3.Router ' +
      'transform.v3.TransformConfig wasm.v3.Wasm',
  ),
]);

/** Filters that change nothing that a session uses here. */
export const HARMLESS_LISTENER_FILTERS: ReadonlySet<string> = new Set(
  V3(
    'filters.listener',
    'tls_inspector.v3.TlsInspector http_inspector.v3.HttpInspector original_dst.v3.OriginalDst local_ratelimit.v3.LocalRateLimit',
  ),
);

export const LISTENER_FILTERS: ReadonlySet<string> = new Set([
  ...HARMLESS_LISTENER_FILTERS,
  ...V3(
    'filters.listener',
    'original_src.v3.OriginalSrc proxy_protocol.v3.ProxyProtocol dynamic_modules.v3.DynamicModuleListenerFilter',
  ),
]);

export const DOWNSTREAM_SOCKETS: ReadonlySet<string> = new Set(
  V3(
    'transport_sockets',
    'alts.v3.Alts quic.v3.QuicDownstreamTransport raw_buffer.v3.RawBuffer starttls.v3.StartTlsConfig tap.v3.Tap tcp_stats.v3.Config ' +
      'tls.v3.DownstreamTlsContext',
  ),
);
