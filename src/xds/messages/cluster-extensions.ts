import type { Any } from '@bufbuild/protobuf/wkt';
import { typeOf } from './typed-config.ts';

/**
 * The extensions of Envoy 1.38 that a cluster may carry. One that is on no list is refused, as
 * Envoy refuses it. One that is on a list but not understood here closes its cluster, or is a
 * remark.
 */
const V3 = (kind: string, names: string): readonly string[] => names.split(' ').map((name) => `envoy.extensions.${kind}.${name}`);

export const UPSTREAM_SOCKETS: ReadonlySet<string> = new Set(
  V3(
    'transport_sockets',
    'alts.v3.Alts http_11_proxy.v3.Http11ProxyUpstreamTransport internal_upstream.v3.InternalUpstreamTransport ' +
      'proxy_protocol.v3.ProxyProtocolUpstreamTransport quic.v3.QuicUpstreamTransport raw_buffer.v3.RawBuffer ' +
      'starttls.v3.UpstreamStartTlsConfig tap.v3.Tap tcp_stats.v3.Config tls.v3.UpstreamTlsContext',
  ),
);

export const BALANCERS: ReadonlySet<string> = new Set(
  V3(
    'load_balancing_policies',
    'client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin cluster_provided.v3.ClusterProvided ' +
      'dynamic_modules.v3.DynamicModulesLoadBalancerConfig least_request.v3.LeastRequest load_aware_locality.v3.LoadAwareLocality ' +
      'maglev.v3.Maglev override_host.v3.OverrideHost random.v3.Random ring_hash.v3.RingHash round_robin.v3.RoundRobin subset.v3.Subset ' +
      'wrr_locality.v3.WrrLocality',
  ),
);

export const HEALTH_CHECKERS: ReadonlySet<string> = new Set(
  V3('health_checkers', 'dynamic_modules.v3.DynamicModuleHealthCheck redis.v3.Redis thrift.v3.Thrift'),
);

export const RESOLVERS: ReadonlySet<string> = new Set(
  V3(
    'network.dns_resolver',
    'apple.v3.AppleDnsResolverConfig cares.v3.CaresDnsResolverConfig getaddrinfo.v3.GetAddrInfoDnsResolverConfig ' +
      'hickory.v3.HickoryDnsResolverConfig',
  ),
);

/** Found by name, not by type. */
export const CLUSTER_TYPES: ReadonlySet<string> = new Set(
  (
    'aggregate composite dns dynamic_forward_proxy dynamic_modules eds logical_dns mcp_multicluster original_dst redis reverse_connection static ' +
    'strict_dns'
  )
    .split(' ')
    .flatMap((name) => [`envoy.cluster.${name}`, `envoy.clusters.${name}`]),
);

/**
 * Returns Envoy's message, or null for an extension that it has. A name without a configuration
 * names an extension too; a TypedStruct has its type inside.
 */
export function missingExtension(name: string, config: Any | undefined, known: ReadonlySet<string>): string | null {
  const type = typeOf(config);
  const byName = type === '' && [...known].some((each) => name.endsWith(`.${each.split('.').at(-3) ?? ''}`));
  return known.has(type) || byName || type.endsWith('.TypedStruct')
    ? null
    : `Didn't find a registered implementation for '${name}' with type URL: '${type}'`;
}
