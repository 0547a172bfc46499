/**
 * What Kuma 3.0 adds to the chains of an egress of one mesh for rules of MeshTimeout and
 * MeshRateLimit with a `spiffeID`: a filter that keeps the URI SANs of the client, and one more
 * route for each rule.
 */
import type { JsonObject } from '@bufbuild/protobuf';

/** A rule for certain clients, the most specific first, as Kuma sorts them. */
export interface ClientRule {
  /** Envoy's match of a text. */
  readonly client: JsonObject;
  readonly serverName?: string;
  /** Of a MeshTimeout. */
  readonly timeouts?: { readonly timeout?: string; readonly idleTimeout?: string };
  /** Of a MeshRateLimit: requests in 10 s; null where these clients have no limit. */
  readonly limit?: number | null;
}

export type ClientPolicy = 'mesh_timeout' | 'mesh_rate_limit';

const TYPE = 'type.googleapis.com/envoy.extensions.filters';
const MANAGER = 'network.http_connection_manager.v3.HttpConnectionManager';
const LIMIT = 'http.local_ratelimit.v3.LocalRateLimit';
const LIMIT_NAME = 'envoy.filters.http.local_ratelimit';

interface Filter extends JsonObject {
  name: string;
  typedConfig: JsonObject;
}

export function withClientRules(listener: JsonObject, policy: ClientPolicy, rules: readonly ClientRule[]): JsonObject {
  const chains = listener['filterChains'] as readonly JsonObject[];
  return { ...listener, filterChains: chains.map((chain) => chainWith(chain, policy, rules)) };
}

/** Chains of TCP get the filter too. */
function chainWith(chain: JsonObject, policy: ClientPolicy, rules: readonly ClientRule[]): JsonObject {
  const filters = (chain['filters'] as Filter[]).map((filter) => {
    if (filter.typedConfig['@type'] !== `${TYPE}.${MANAGER}`) return filter;
    return { ...filter, typedConfig: managerWith(filter.typedConfig, policy, rules) };
  });
  return { ...chain, filters: withState(filters, policy, rules) };
}

/** MeshTimeout takes a filter that is there for enough, whatever it keeps. */
function withState(filters: readonly Filter[], policy: ClientPolicy, rules: readonly ClientRule[]): Filter[] {
  const values = [
    stateValue(`kuma.${policy}.match.spiffe_id`, '%DOWNSTREAM_PEER_URI_SAN%'),
    ...(rules.some(({ serverName }) => serverName !== undefined)
      ? [stateValue(`kuma.${policy}.match.sni`, '%REQUESTED_SERVER_NAME%')]
      : []),
  ];
  const name = 'envoy.filters.network.set_filter_state';
  const filter = (onDownstreamTlsHandshake: JsonObject[]): Filter => ({
    name,
    typedConfig: { '@type': `${TYPE}.network.set_filter_state.v3.Config`, onDownstreamTlsHandshake },
  });
  const present = filters.find((each) => each.name === name);
  if (present === undefined) return [filter(values), ...filters];
  if (policy === 'mesh_timeout') return [...filters];
  const before = present.typedConfig['onDownstreamTlsHandshake'] as JsonObject[];
  return filters.map((each) => (each === present ? filter([...before, ...values]) : each));
}

export function stateValue(objectKey: string, inlineString: string, more: JsonObject = {}): JsonObject {
  const formatString = { textFormatSource: { inlineString } };
  return { factoryKey: 'envoy.string', formatString, objectKey, readOnly: true, skipIfEmpty: true, ...more };
}

function managerWith(manager: JsonObject, policy: ClientPolicy, rules: readonly ClientRule[]): JsonObject {
  const config = manager['routeConfig'] as JsonObject;
  const hosts = (config['virtualHosts'] as readonly JsonObject[]).map((host) => ({
    ...host,
    routes: (host['routes'] as readonly JsonObject[]).flatMap((route) => [
      ...rules.map((rule) => routeWith(route, policy, rule)),
      route,
    ]),
  }));
  const filters = manager['httpFilters'] as Filter[];
  const limited = rules.some(({ limit }) => typeof limit === 'number') && !filters.some(({ name }) => name === LIMIT_NAME);
  const limits = { name: LIMIT_NAME, typedConfig: { '@type': `${TYPE}.${LIMIT}`, statPrefix: 'rate_limit' } };
  const httpFilters = limited ? [...filters.slice(0, -1), limits, ...filters.slice(-1)] : [...filters];
  return { ...manager, httpFilters, routeConfig: { ...config, virtualHosts: hosts } };
}

function routeWith(
  route: JsonObject,
  policy: ClientPolicy,
  { client, serverName, timeouts = {}, limit }: ClientRule,
): JsonObject {
  const filterState = [
    { key: `kuma.${policy}.match.spiffe_id`, stringMatch: client },
    ...(serverName === undefined ? [] : [{ key: `kuma.${policy}.match.sni`, stringMatch: { exact: serverName } }]),
  ];
  const { [LIMIT_NAME]: own, ...configs } = (route['typedPerFilterConfig'] ?? {}) as JsonObject;
  const kept = limit === undefined ? own : limit === null ? undefined : limitOf(limit);
  return {
    ...route,
    match: { ...(route['match'] as JsonObject), filterState },
    route: { ...(route['route'] as JsonObject), ...timeouts },
    typedPerFilterConfig: { ...configs, ...(kept === undefined ? {} : { [LIMIT_NAME]: kept }) },
  };
}

function limitOf(requests: number): JsonObject {
  const whole = (runtimeKey: string): JsonObject => ({ defaultValue: { numerator: 100 }, runtimeKey });
  return {
    '@type': `${TYPE}.${LIMIT}`,
    filterEnabled: whole('local_rate_limit_enabled'),
    filterEnforced: whole('local_rate_limit_enforced'),
    statPrefix: 'rate_limit',
    tokenBucket: { fillInterval: '10s', maxTokens: requests, tokensPerFill: requests },
  };
}
