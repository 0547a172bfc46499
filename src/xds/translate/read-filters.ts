import type { HttpFault, HttpRoute } from '../../model/http-route.ts';
import type { ConnectionRateLimit } from '../../model/route.ts';
import type { Matcher } from '#envoy/xds/type/matcher/v3/matcher_pb.js';
import { ExtensionWithMatcherSchema } from '#envoy/extensions/common/matching/v3/extension_matcher_pb.js';
import { HARMLESS_HTTP_FILTERS } from '../messages/extension-names.ts';
import type { Metadata } from '#envoy/config/core/v3/base_pb.js';
import type { FilterChain } from '#envoy/config/listener/v3/listener_components_pb.js';
import type { RouteConfiguration } from '#envoy/config/route/v3/route_pb.js';
import type { Route, VirtualHost } from '#envoy/config/route/v3/route_components_pb.js';
import { HTTPFaultSchema } from '#envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { LocalRateLimitSchema as HttpRateLimitSchema } from '#envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { RBACSchema as HttpRbacSchema } from '#envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import type { RBAC as HttpRbac } from '#envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { RouterSchema } from '#envoy/extensions/filters/http/router/v3/router_pb.js';
import { ConnectionLimitSchema } from '#envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js';
import { HttpConnectionManagerSchema } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type {
  HttpConnectionManager,
  HttpFilter,
} from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { LocalRateLimitSchema } from '#envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js';
import type { LocalRateLimit } from '#envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js';
import { RBACSchema as NetworkRbacSchema } from '#envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import type { RBAC as NetworkRbac } from '#envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { ConfigSchema as SetFilterStateSchema } from '#envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.js';
import { TcpProxySchema } from '#envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import type { TcpProxy } from '#envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { readFilterState } from './filter-state.ts';
import type { StateValue } from './filter-state.ts';
import { matchesAll } from './route-match.ts';
import { readAccessLogs } from './read-access-logs.ts';
import type { ChainAccessLog } from './read-access-logs.ts';
import { readHttpRoutes } from './read-http-routes.ts';
import type { HttpFilterConfigs } from './read-http-routes.ts';
import { typeOf, unpack } from '../messages/typed-config.ts';

/** The filters of one chain, as far as this egress supports them. */
export interface ChainFilters {
  /** Empty where no filter leads to one. */
  readonly cluster: string;
  readonly protocol: 'tcp' | 'http';
  /** Metadata of endpoints in `envoy.lb`, by which a cluster with subsets chooses. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly rbac: readonly (NetworkRbac | HttpRbac)[];
  readonly rateLimit: ConnectionRateLimit | null;
  /** Idle timeout of the bytes that it passes; null where it says none. */
  readonly idleMs: number | null;
  /** Null where it does not speak HTTP. */
  readonly http: HttpRoute | null;
  /** Faults beside those of `http`, each with the matcher of its clients. */
  readonly matched: readonly MatchedFault[];
  /**
   * Why all clients must be refused: a restriction that is not understood, or a chain that leads
   * nowhere.
   */
  readonly unsupported: readonly string[];
  readonly accessLogs: readonly ChainAccessLog[];
  /** Effects on HTTP that Envoy has and this egress has not. */
  readonly undone: readonly string[];
  readonly remarks: readonly string[];
}

export interface MatchedFault {
  readonly fault: HttpFault;
  readonly matcher: Matcher;
}

interface Found {
  matched: readonly MatchedFault[];
  cluster: string;
  protocol: 'tcp' | 'http';
  metadata: Readonly<Record<string, string>>;
  rateLimit: ConnectionRateLimit | null;
  idleMs: number | null;
  http: HttpRoute | null;
  accessLogs: readonly ChainAccessLog[];
  readonly rbac: (NetworkRbac | HttpRbac)[];
  /** Facts of a connection that routes can compare, by key. */
  readonly state: Map<string, StateValue>;
  readonly serverNames: readonly string[];
  readonly unsupported: string[];
  readonly undone: string[];
  readonly remarks: string[];
}

export function readFilters(chain: FilterChain): ChainFilters {
  const found: Found = {
    matched: [],
    accessLogs: [],
    cluster: '',
    protocol: 'tcp',
    metadata: {},
    rateLimit: null,
    idleMs: null,
    http: null,
    rbac: [],
    state: new Map(),
    serverNames: chain.filterChainMatch?.serverNames ?? [],
    unsupported: [],
    undone: [],
    remarks: [],
  };
  for (const { name, configType } of chain.filters) {
    if (configType.case === 'typedConfig') readFilter(configType.value, found);
    else found.unsupported.push(`its filter ${name} has no configuration here`);
  }
  if (found.cluster === '' && found.unsupported.length === 0) found.unsupported.push('no filter of it leads to a cluster');
  return found;
}

type Config = Parameters<typeof unpack>[0];

function readFilter(config: NonNullable<Config>, found: Found): void {
  const type = typeOf(config);
  const read = (): boolean => {
    switch (type.replace('envoy.extensions.filters.network.', '')) {
      case 'rbac.v3.RBAC':
        return taken(unpack(config, NetworkRbacSchema), (rbac) => found.rbac.push(rbac));
      case 'tcp_proxy.v3.TcpProxy':
        return taken(unpack(config, TcpProxySchema), (proxy) => readTcpProxy(proxy, found));
      case 'http_connection_manager.v3.HttpConnectionManager':
        return taken(unpack(config, HttpConnectionManagerSchema), (manager) => readHttp(manager, found));
      case 'local_ratelimit.v3.LocalRateLimit':
        return taken(unpack(config, LocalRateLimitSchema), (limit) => readRateLimit(limit, found));
      case 'set_filter_state.v3.Config':
        return taken(unpack(config, SetFilterStateSchema), (state) => {
          const why = readFilterState(state, found.state);
          if (why !== null) found.unsupported.push(`its filter set_filter_state ${why}`);
        });
      case 'connection_limit.v3.ConnectionLimit':
        return taken(unpack(config, ConnectionLimitSchema), ({ maxConnections, runtimeEnabled }) => {
          if (runtimeEnabled?.defaultValue === false) return;
          found.unsupported.push(`it limits its connections to ${maxConnections ?? 0n}, which this egress does not do by chain`);
        });
      default:
        return false;
    }
  };
  if (!read()) found.unsupported.push(`its filter ${type} is not understood`);
}

function taken<Message>(message: Message | undefined, take: (message: Message) => void): boolean {
  if (message !== undefined) take(message);
  return message !== undefined;
}

function readTcpProxy(proxy: TcpProxy, found: Found): void {
  const { clusterSpecifier: to, tunnelingConfig, metadataMatch, idleTimeout, maxDownstreamConnectionDuration } = proxy;
  if (to.case === 'cluster') found.cluster = to.value;
  else if (to.case === 'weightedClusters' && to.value.clusters.length === 1) found.cluster = to.value.clusters[0]?.name ?? '';
  else found.unsupported.push(`it leads to ${to.case === undefined ? 'no cluster' : 'several clusters by weight'}`);
  if (tunnelingConfig !== undefined) found.unsupported.push('it tunnels through HTTP');
  readMetadata(metadataMatch, found);
  const onConnect = proxy.flushAccessLogOnConnected || proxy.accessLogOptions?.flushAccessLogOnConnected === true;
  found.accessLogs = readAccessLogs(proxy.accessLog, onConnect, found.remarks);
  found.idleMs = idleTimeout === undefined ? null : durationMs(idleTimeout);
  if (maxDownstreamConnectionDuration !== undefined) found.remarks.push('its longest duration of a connection has no effect');
}

function readMetadata(metadata: Metadata | undefined, found: Found): void {
  const entries = Object.entries(metadata?.filterMetadata['envoy.lb'] ?? {});
  if (entries.every((entry): entry is [string, string] => typeof entry[1] === 'string'))
    found.metadata = Object.fromEntries(entries);
  else found.unsupported.push('it chooses endpoints by metadata that is no text');
}

/**
 * Kuma sets the refill to the size of the bucket. Where it differs, the same number of connections
 * is allowed in another interval.
 */
function readRateLimit({ tokenBucket, runtimeEnabled, shareKey }: LocalRateLimit, found: Found): void {
  if (runtimeEnabled?.defaultValue === false) return;
  const connections = tokenBucket?.maxTokens ?? 0;
  const perFill = tokenBucket?.tokensPerFill ?? 1;
  const fillMs = durationMs(tokenBucket?.fillInterval);
  if (connections === 0 || perFill === 0 || fillMs === 0) {
    found.unsupported.push(`it limits new connections to ${perFill} in ${fillMs} ms and ${connections} at once`);
    return;
  }
  if (shareKey !== '') found.remarks.push(`its limit of new connections is not shared with other chains (${shareKey})`);
  const limit = { connections, intervalMs: (fillMs * connections) / perFill };
  const before = found.rateLimit;
  // The stricter of two limits counts.
  const isStricter = before === null || limit.connections / limit.intervalMs < before.connections / before.intervalMs;
  if (isStricter) found.rateLimit = limit;
}

function readHttp(manager: HttpConnectionManager, found: Found): void {
  found.protocol = 'http';
  found.accessLogs = readAccessLogs(manager.accessLog, false, found.remarks);
  // A filter of connections before it disconnects the clients that it denies.
  const answersDenied = found.rbac.length === 0;
  const filters: HttpFilterConfigs = { rateLimit: undefined, faults: [], limitsFirst: false };
  for (const filter of manager.httpFilters) readHttpFilter(filter, found, filters);
  const { routeSpecifier } = manager;
  const isRead = routeSpecifier.case === 'routeConfig' && readRoutes(routeSpecifier.value, found);
  if (routeSpecifier.case !== 'routeConfig') found.unsupported.push('its routes do not come with it');
  const routes = routeSpecifier.case === 'routeConfig' ? routeSpecifier.value : null;
  found.http = { autoHostRewrite: false, answersDenied };
  if (!isRead || routes === null) return;
  const { matched, ...http } = readHttpRoutes(manager, routes, {
    filters,
    state: { values: found.state, serverNames: found.serverNames },
    notes: found,
  });
  found.http = { ...http, answersDenied };
  found.matched = matched;
}

function readHttpFilter({ name, configType, disabled }: HttpFilter, found: Found, filters: HttpFilterConfigs): void {
  if (configType.case !== 'typedConfig') {
    found.unsupported.push(`its HTTP filter ${name} has no configuration here`);
    return;
  }
  const config = configType.value;
  const type = typeOf(config);
  const rbac = unpack(config, HttpRbacSchema);
  if (rbac !== undefined) {
    // A route may switch it on again.
    if (disabled) found.unsupported.push('its HTTP authorisation filter is disabled, which is not evaluated');
    else found.rbac.push(rbac);
    return;
  }
  if (unpack(config, RouterSchema) !== undefined) return;
  const rateLimit = unpack(config, HttpRateLimitSchema);
  const matched = unpack(config, ExtensionWithMatcherSchema);
  const { extensionConfig, xdsMatcher: matcher = null } = matched ?? {};
  const fault = unpack(matched === undefined ? config : extensionConfig?.typedConfig, HTTPFaultSchema);
  if (disabled && rateLimit === undefined && fault === undefined && matched === undefined) {
    // The filter has no effect here, and a route may change it.
    found.undone.push(shortName(type));
  } else if (disabled) {
    found.unsupported.push(`its HTTP filter ${shortName(type)} is disabled until a route says otherwise, which is not evaluated`);
  } else if (rateLimit !== undefined) {
    if (filters.rateLimit !== undefined) found.unsupported.push('it limits requests more than once, which is not evaluated');
    filters.rateLimit = rateLimit;
    filters.limitsFirst = filters.faults.length === 0;
  } else if (fault !== undefined && (matched === undefined || matcher !== null)) {
    if (filters.rateLimit !== undefined && !filters.limitsFirst)
      found.undone.push('the order of faults and limits of requests: those before a limit come first');
    filters.faults.push({ fault, matcher });
  } else if (HARMLESS_HTTP_FILTERS.has(type)) found.undone.push(shortName(type));
  else found.unsupported.push(`its HTTP filter ${type} is not understood`);
}

function shortName(type: string): string {
  return type.replace(/^envoy\.extensions\.(?:filters\.http\.)?|\.v3\..*$/g, '');
}

/** A proxy of connections can only serve routes that lead every request to one destination. */
function readRoutes(config: RouteConfiguration, found: Found): boolean {
  const routes = config.virtualHosts.flatMap((host) => host.routes);
  const clusters = new Set(routes.map(clusterOf));
  const [cluster = null] = clusters;
  const isWhole = config.virtualHosts.every(isWholeHost) && config.virtualHosts.some(({ domains }) => domains.includes('*'));
  if (cluster === null || clusters.size !== 1 || !isWhole || config.vhds !== undefined) {
    found.unsupported.push('its HTTP routes lead requests to different places, or not all of them to one');
    return false;
  }
  found.cluster = cluster;
  const overrides = [config, ...config.virtualHosts, ...routes].flatMap(({ typedPerFilterConfig }) =>
    Object.values(typedPerFilterConfig),
  );
  for (const schema of [HttpRateLimitSchema, HTTPFaultSchema]) {
    const isBroken = overrides.some((each) => typeOf(each) === schema.typeName && unpack(each, schema) === undefined);
    if (isBroken) found.unsupported.push(`its HTTP routes have a configuration of ${schema.typeName} that cannot be decoded`);
  }
  for (const type of new Set(overrides.map(typeOf))) {
    if (/\.(?:local_ratelimit|fault|cors|ratelimit|compressor|buffer|header_mutation|stateful_session)\.v3\./.test(type))
      continue;
    found.unsupported.push(`its HTTP routes have a configuration of their own for ${type}`);
  }
  return true;
}

function clusterOf({ action }: Route): string | null {
  return action.case === 'route' && action.value.clusterSpecifier.case === 'cluster' ? action.value.clusterSpecifier.value : null;
}

/** Envoy answers 404 where no route of the host matches. */
function isWholeHost({ routes, matcher, $unknown = [] }: VirtualHost): boolean {
  return matcher === undefined && $unknown.length === 0 && routes.some(matchesAll);
}

function durationMs(duration: { readonly seconds: bigint; readonly nanos: number } | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000;
}
