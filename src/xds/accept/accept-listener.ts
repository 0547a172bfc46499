import { isIP } from 'node:net';
import { toBinary } from '@bufbuild/protobuf';
import type { DescMessage } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { Acceptance } from '../messages/ads-state.ts';
import { TYPE_URLS } from '../messages/ads-state.ts';
import {
  DOWNSTREAM_SOCKETS,
  HTTP_FILTERS,
  LISTENER_FILTERS,
  NETWORK_FILTERS,
  TERMINAL_NETWORK_FILTERS,
} from '../messages/extension-names.ts';
import { readListener } from './listener-bytes.ts';
import type { ChainMemory } from './listener-bytes.ts';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import type { FilterChain, FilterChainMatch } from '#envoy/config/listener/v3/listener_components_pb.js';
import {
  FilterChainMatch_ConnectionSourceType,
  FilterChainMatchSchema,
} from '#envoy/config/listener/v3/listener_components_pb.js';
import { ExtensionWithMatcherSchema } from '#envoy/extensions/common/matching/v3/extension_matcher_pb.js';
import { HTTPFaultSchema } from '#envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { LocalRateLimitSchema as HttpRateLimitSchema } from '#envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { RBACSchema as HttpRbacSchema } from '#envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { RouterSchema } from '#envoy/extensions/filters/http/router/v3/router_pb.js';
import { ConnectionLimitSchema } from '#envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js';
import { HttpConnectionManagerSchema } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { HttpConnectionManager } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { LocalRateLimitSchema } from '#envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js';
import { RBACSchema as NetworkRbacSchema } from '#envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { ConfigSchema as SetFilterStateSchema } from '#envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.js';
import { TcpProxySchema } from '#envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { DownstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { typeOf, unpack } from '../messages/typed-config.ts';

/**
 * Chains of each listener as it was accepted last, so that unchanged ones are not decoded again.
 */
export type ListenerMemory = Map<string, ChainMemory>;

/**
 * Decodes a listener and refuses it where Envoy would. Parts that only this egress does not
 * understand are accepted, because a refusal would hold back every chain of every mesh; their chain
 * refuses all clients instead. With a memory, chains with the same bytes as before are the same
 * objects as before.
 */
export function acceptListener(any: Any, memory: ListenerMemory = new Map()): Acceptance<Listener> {
  if (any.typeUrl !== TYPE_URLS.listener)
    return { kind: 'refused', name: '', why: `its type is ${any.typeUrl}, not ${TYPE_URLS.listener}` };
  const known: ChainMemory = new Map([...memory.values()].flatMap((chains) => [...chains]));
  let read: ReturnType<typeof readListener>;
  try {
    read = readListener(any.value, known, chainRefusal);
  } catch (error) {
    return { kind: 'refused', name: '', why: `cannot be decoded: ${error instanceof Error ? error.message : String(error)}` };
  }
  const { listener, chains } = read;
  const { name } = listener;
  const [refusal] = [...chains.values()].flatMap((chain) => chain.refusal ?? []);
  const why =
    listenerRefusal(listener) ??
    refusal ??
    (listener.defaultFilterChain === undefined ? null : chainRefusal(listener.defaultFilterChain)) ??
    duplicate(listener);
  if (why !== null) return { kind: 'refused', name, why: `error adding listener '${name}': ${why}` };
  memory.set(name, chains);
  return { kind: 'accepted', name, resource: listener, remarks: [] };
}

function listenerRefusal({
  address,
  filterChains,
  defaultFilterChain,
  listenerFilters,
  apiListener,
  listenerSpecifier,
}: Listener): string | null {
  if (apiListener !== undefined || listenerSpecifier.case !== undefined) return null;
  const complaint = addressRefusal(address?.address);
  if (complaint !== null) return complaint;
  if (filterChains.length === 0 && defaultFilterChain === undefined) return 'no filter chains specified';
  for (const { name, configType } of listenerFilters) {
    if (configType.case === 'configDiscovery') continue;
    const why = extensionRefusal(name, configType.value, LISTENER_FILTERS);
    if (why !== null) return why;
  }
  return null;
}

function addressRefusal(address: NonNullable<Listener['address']>['address'] | undefined): string | null {
  if (address?.case === undefined) return 'address is necessary';
  if (address.case !== 'socketAddress') return null;
  const { address: ip, portSpecifier: port } = address.value;
  if (isIP(ip) === 0) return `malformed IP address: ${ip}`;
  if (port.case === undefined) return 'a port is necessary';
  if (port.case === 'portValue' && port.value > 65_535) return `port ${port.value} (limit 65535)`;
  return null;
}

/** Returns Envoy's message. A name without a configuration names an extension too. */
function extensionRefusal(name: string, config: Any | undefined, known: ReadonlySet<string>): string | null {
  const type = typeOf(config);
  if (known.has(type) || (type === '' && [...known].some((each) => name.endsWith(`.${each.split('.').at(-3) ?? ''}`))))
    return null;
  return `Didn't find a registered implementation for '${name}' with type URL: '${type}'`;
}

/** Types that are read here; others are not decoded. */
const READ: readonly DescMessage[] = [
  NetworkRbacSchema,
  TcpProxySchema,
  HttpConnectionManagerSchema,
  LocalRateLimitSchema,
  ConnectionLimitSchema,
  SetFilterStateSchema,
  HttpRbacSchema,
  HTTPFaultSchema,
  HttpRateLimitSchema,
  ExtensionWithMatcherSchema,
  RouterSchema,
  DownstreamTlsContextSchema,
];

function decodeRefusal(name: string, config: Any | undefined): string | null {
  const type = typeOf(config);
  const schema = READ.find(({ typeName }) => typeName === type);
  return schema === undefined || unpack(config, schema) !== undefined
    ? null
    : `the configuration of ${name} (${type}) cannot be decoded`;
}

function chainRefusal({ filters, transportSocket, filterChainMatch }: FilterChain): string | null {
  for (const [i, { name, configType }] of filters.entries()) {
    if (configType.case === 'configDiscovery') continue;
    const why =
      extensionRefusal(name, configType.value, NETWORK_FILTERS) ??
      decodeRefusal(name, configType.value) ??
      orderRefusal(name, typeOf(configType.value), { isLast: i === filters.length - 1 });
    if (why !== null) return why;
    const manager = unpack(configType.value, HttpConnectionManagerSchema);
    const inside = manager === undefined ? null : managerRefusal(manager);
    if (inside !== null) return inside;
  }
  const partial = (filterChainMatch?.serverNames ?? []).find((name) => name.includes('*') && !/^\*\.[^*]+$/.test(name));
  if (partial !== undefined) return 'partial wildcards are not supported in "server_names"';
  return transportSocket === undefined ? null : socketRefusal(transportSocket);
}

function orderRefusal(name: string, type: string, { isLast }: { readonly isLast: boolean }): string | null {
  const isTerminal = TERMINAL_NETWORK_FILTERS.has(type);
  if (isTerminal && !isLast)
    return `Error: terminal filter named ${name} of type ${type} must be the last filter in a network filter chain.`;
  if (!isTerminal && isLast && type !== '') {
    return `Error: non-terminal filter named ${name} of type ${type} is the last filter in a network filter chain.`;
  }
  return null;
}

function managerRefusal({ httpFilters, routeSpecifier }: HttpConnectionManager): string | null {
  if (routeSpecifier.case === undefined) return 'HttpConnectionManager: the route specifier is required';
  for (const { name, configType, isOptional } of httpFilters) {
    if (configType.case === 'configDiscovery') continue;
    const why = isOptional ? null : extensionRefusal(name, configType.value, HTTP_FILTERS);
    if (why !== null) return why;
    const undecodable = decodeRefusal(name, configType.value);
    if (undecodable !== null) return undecodable;
    const inner = unpack(configType.value, ExtensionWithMatcherSchema)?.extensionConfig;
    if (inner === undefined) continue;
    const within = extensionRefusal(inner.name, inner.typedConfig, HTTP_FILTERS) ?? decodeRefusal(inner.name, inner.typedConfig);
    if (within !== null) return within;
  }
  const last = httpFilters.at(-1);
  if (last === undefined) return 'HttpConnectionManager: the list of HTTP filters is empty';
  const type = last.configType.case === 'typedConfig' ? typeOf(last.configType.value) : '';
  // Recognises filters that end requests besides the router; a discovered filter cannot be
  // recognised.
  if (type === '' || /\.(?:router|aws_lambda|mcp_router|health_check)\.v3\./.test(type)) return null;
  return `Error: non-terminal filter named ${last.name} of type ${type} is the last filter in a http filter chain.`;
}

function socketRefusal({ name, configType }: NonNullable<FilterChain['transportSocket']>): string | null {
  const why = extensionRefusal(name, configType.value, DOWNSTREAM_SOCKETS) ?? decodeRefusal(name, configType.value);
  if (why !== null) return why;
  const context = unpack(configType.value, DownstreamTlsContextSchema)?.commonTlsContext;
  if (context === undefined) return null;
  const certificates = context.tlsCertificates.length + context.tlsCertificateSdsSecretConfigs.length;
  const others =
    context.tlsCertificateProviderInstance ??
    context.tlsCertificateCertificateProvider ??
    context.tlsCertificateCertificateProviderInstance;
  return certificates === 0 && others === undefined ? 'No TLS certificates found for server context' : null;
}

/** Finds two chains for one connection. A listener with a matcher has no matches to compare. */
function duplicate({ filterChains, filterChainMatcher }: Listener): string | null {
  if (filterChainMatcher !== undefined) return null;
  const seen = new Map<string, FilterChain>();
  for (const chain of filterChains) {
    for (const key of matchKeys(chain.filterChainMatch)) {
      const other = seen.get(key);
      if (other !== undefined) {
        const [own, before] = [chain.name, other.name].map((name) => `'${name}'`);
        return other.filterChainMatch?.serverNames.length === chain.filterChainMatch?.serverNames.length
          ? `filter chain ${own} has the same matching rules defined as ${before}`
          : `multiple filter chains with overlapping matching rules are defined: ${own} and ${before}`;
      }
      seen.set(key, chain);
    }
  }
  return null;
}

/** Returns one key for each server name, with all other conditions of the match. */
function matchKeys(match: FilterChainMatch | undefined): readonly string[] {
  if (match === undefined) return [''];
  const names = match.serverNames.length === 0 ? [''] : match.serverNames;
  const rest = asksForMore(match)
    ? Buffer.from(toBinary(FilterChainMatchSchema, { ...match, serverNames: [] })).toString('hex')
    : '';
  return names.map((name) => `${match.transportProtocol}\n${rest}\n${name}`);
}

/**
 * Compares fields first, because serialising costs more, and the comparison is enough for every
 * chain of Kuma.
 */
function asksForMore(match: FilterChainMatch): boolean {
  const { prefixRanges, directSourcePrefixRanges, sourcePrefixRanges, sourcePorts, applicationProtocols } = match;
  const lists = [
    prefixRanges,
    directSourcePrefixRanges,
    sourcePrefixRanges,
    sourcePorts,
    applicationProtocols,
    match.$unknown ?? [],
  ];
  return (
    lists.some((list) => list.length > 0) ||
    match.destinationPort !== undefined ||
    match.sourceType !== FilterChainMatch_ConnectionSourceType.ANY ||
    match.addressSuffix !== ''
  );
}
