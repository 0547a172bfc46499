// Reads the filters and routes of an HTTP chain from Envoy's messages.
import { fromJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { HttpRoute } from '../../src/model/http-route.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { readFilters } from '../../src/xds/translate/read-filters.ts';
import type { ChainFilters } from '../../src/xds/translate/read-filters.ts';
import { translateChain } from '../../src/xds/translate/translate-chain.ts';
import { holds } from '../../src/routing/sender-rules.ts';
import { FilterChainSchema } from '#envoy/config/listener/v3/listener_components_pb.js';

const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
const typed = (name: string, config: JsonObject = {}): JsonObject => ({ '@type': type(name), ...config });

interface Chain {
  readonly routes?: readonly JsonObject[];
  readonly faults?: readonly JsonObject[];
  readonly limits?: boolean;
  /** In this order, instead of limits and faults. */
  readonly filters?: readonly JsonObject[];
  readonly manager?: JsonObject;
}

function routed(action: JsonObject = {}, more: JsonObject = {}): JsonObject {
  return { match: { prefix: '/' }, route: { cluster: 'web', timeout: '0s', ...action }, ...more };
}

const LIMITS = typed('http.local_ratelimit.v3.LocalRateLimit', { statPrefix: 'x' });
const faulty = (fault: JsonObject): JsonObject => typed('http.fault.v3.HTTPFault', fault);

function read(chain: Chain): ChainFilters {
  const { routes = [routed()], faults = [], limits = false, manager = {} } = chain;
  const own = chain.filters ?? [...(limits ? [LIMITS] : []), ...faults.map(faulty)];
  const filters = [...own, typed('http.router.v3.Router')];
  const typedConfig = typed('network.http_connection_manager.v3.HttpConnectionManager', {
    ...manager,
    httpFilters: filters.map((each) => ({ name: 'x', ...('typedConfig' in each ? each : { typedConfig: each }) })),
    routeConfig: { virtualHosts: [{ name: 'x', domains: ['*'], routes: [...routes] }] },
  });
  const json = { filters: [{ name: 'x', typedConfig }] };
  return readFilters(fromJson(FilterChainSchema, json, { registry: ANY_TYPES }));
}

function limited(requests: number, more: JsonObject = {}, headers: JsonObject[] = []): JsonObject {
  const always = { defaultValue: { numerator: 100 }, runtimeKey: 'x' };
  const tokenBucket = { maxTokens: requests, tokensPerFill: requests, fillInterval: '10s' };
  const config = { statPrefix: 'x', filterEnabled: always, filterEnforced: always, tokenBucket, ...more };
  return routed(
    {},
    {
      match: { prefix: '/', headers },
      typedPerFilterConfig: { 'envoy.filters.http.local_ratelimit': typed('http.local_ratelimit.v3.LocalRateLimit', config) },
    },
  );
}

const tagsHeader = (regex: string): JsonObject => ({ name: 'x-kuma-tags', stringMatch: { safeRegex: { regex } } });

t.test('limits of requests are those of the routes, each for the clients that the route asks for', async (t) => {
  const clients = tagsHeader('(.*&kuma.io/service=[^&]*a[,&].*|.*&kuma.io/service=[^&]*b[,&].*&version=[^&]*[,&].*)');
  const own = { status: { code: 'UnprocessableEntity' }, responseHeadersToAdd: [{ header: { key: 'X-A', value: '1' } }] };
  const { http, unsupported, undone } = read({ limits: true, routes: [limited(5, own, [clients]), limited(100)] });
  t.same([unsupported, undone], [[], []]);
  t.same(http?.rateLimits, [
    {
      clients: [{ kind: 'tags', any: [{ 'kuma.io/service': 'a' }, { 'kuma.io/service': 'b', version: '*' }] }],
      requests: 5,
      intervalMs: 10_000,
      status: 422,
      headers: ['x-a', '1'],
    },
    { requests: 100, intervalMs: 10_000 },
  ]);
});

t.test('a limit that is not enforced, or whose filter is not there, limits nothing', async (t) => {
  const never = { defaultValue: { numerator: 0 }, runtimeKey: 'x' };
  const limits = (chain: Chain): HttpRoute['rateLimits'] => read(chain).http?.rateLimits;
  t.equal(limits({ limits: true, routes: [limited(5, { filterEnforced: never })] }), undefined);
  t.equal(limits({ routes: [limited(5)] }), undefined);
});

t.test('faults are read with their shares and clients', async (t) => {
  const { http } = read({
    faults: [
      {
        abort: { httpStatus: 444, percentage: { numerator: 12 } },
        delay: { fixedDelay: '55s', percentage: { numerator: 55 } },
        headers: [{ ...tagsHeader('.*&kuma.io/service=[^&]*frontend[,&].*'), invertMatch: true }],
        responseRateLimit: {
          fixedLimit: { limitKbps: '111000' },
          percentage: { numerator: 6_290, denominator: 'TEN_THOUSAND' },
        },
      },
    ],
  });
  t.same(http?.faults, [
    {
      clients: [{ kind: 'tags', any: [{ 'kuma.io/service': 'frontend' }], not: true }],
      delay: { ms: 55_000, percent: 55 },
      abort: { status: 444, percent: 12 },
      bandwidth: { kibPerSecond: 111_000, percent: 62.9 },
    },
  ]);
});

t.test('a pattern that is not one of tags refuses every client', async (t) => {
  for (const regex of ['frontend', '(a+)+$', '.*&kuma.io/service=[^&]*(a|b)[,&].*', '.*&a=[^&]*b[,&]']) {
    const fault = { abort: { httpStatus: 500, percentage: { numerator: 100 } }, headers: [tagsHeader(regex)] };
    t.match(read({ faults: [fault] }).unsupported, [/the header x-kuma-tags in a way that is not evaluated/], regex);
  }
});

t.test('timeouts of the route and of the manager; what is a default or never ends anything is left out', async (t) => {
  const timeouts = (chain: Chain): HttpRoute['timeouts'] => read(chain).http?.timeouts;
  t.equal(timeouts({}), undefined);
  const unsaid = { match: { prefix: '/' }, route: { cluster: 'web' } };
  t.same(timeouts({ routes: [unsaid] }), { requestMs: 15_000 }, 'Envoy has one where none is said');
  const own = routed({ timeout: '7s', idleTimeout: '8s' });
  t.same(timeouts({ routes: [own] }), { requestMs: 7_000, streamIdleMs: 8_000 });
  const manager = {
    streamIdleTimeout: '0s',
    commonHttpProtocolOptions: { idleTimeout: '0s', maxConnectionDuration: '60s', maxStreamDuration: '30s' },
  };
  t.same(timeouts({ manager }), { streamIdleMs: 0, maxStreamMs: 30_000, idleMs: 0, maxConnectionMs: 60_000 });
  t.same(timeouts({ routes: [own, routed()] }), { requestMs: 7_000, streamIdleMs: 8_000 }, 'no request comes to the second');
  const byPath = { ...own, match: { prefix: '/api' } };
  t.match(read({ routes: [byPath, routed()] }).unsupported, [/its HTTP routes treat requests differently/]);
});

t.test('settings of a manager and its routes without an effect are remarks', async (t) => {
  t.same(read({}).undone, [], 'as Kuma sends it');
  const managers: readonly JsonObject[] = [
    { tracing: {} },
    { upgradeConfigs: [{ upgradeType: 'websocket' }] },
    { localReplyConfig: {} },
    { serverName: 'x' },
    { useRemoteAddress: true },
    { forwardClientCertDetails: 'APPEND_FORWARD' },
    { normalizePath: true },
    { stripMatchingHostPort: true },
    { maxRequestHeadersKb: 8 },
    { commonHttpProtocolOptions: { maxRequestsPerConnection: 5 } },
  ];
  for (const manager of managers) t.equal(read({ manager }).undone.length, 1, JSON.stringify(manager));
  const actions: readonly JsonObject[] = [
    { prefixRewrite: '/v1' },
    { hostRewriteLiteral: 'a' },
    { requestMirrorPolicies: [{ cluster: 'b' }] },
    { retryPolicy: {} },
    { internalRedirectPolicy: {} },
  ];
  for (const action of actions) t.equal(read({ routes: [routed(action)] }).undone.length, 1, JSON.stringify(action));
  const requestHeadersToAdd = [{ header: { key: 'a', value: 'b' } }];
  t.same(read({ routes: [routed({}, { requestHeadersToAdd })] }).undone, ['changes of headers by routes']);
});

t.test('hash policies', async (t) => {
  const hashPolicy = [
    { header: { headerName: 'X-User' }, terminal: true },
    { cookie: { name: 'c', ttl: '5s', path: '/' } },
    { queryParameter: { name: 'q' } },
    { connectionProperties: { sourceIp: true } },
    { filterState: { key: 'k' } },
  ];
  t.same(read({ routes: [routed({ hashPolicy })] }).http?.hashPolicies, [
    { kind: 'header', name: 'x-user', terminal: true },
    { kind: 'cookie', name: 'c', lifetimeMs: 5_000, path: '/' },
    { kind: 'query', name: 'q' },
    { kind: 'source-ip' },
  ]);
});

t.test('a limit that cannot be evaluated refuses every client, and one for a share of requests keeps its shares', async (t) => {
  const share = (numerator: number): JsonObject => ({ defaultValue: { numerator }, runtimeKey: 'x' });
  const half = limited(5, { filterEnabled: share(50), filterEnforced: share(20) });
  t.match(read({ limits: true, routes: [half] }).http?.rateLimits, [{ percent: 50, enforcedPercent: 20 }]);
  for (const [more, why] of [
    [
      { descriptors: [{ entries: [{ key: 'a', value: 'b' }], tokenBucket: { maxTokens: 1, fillInterval: '1s' } }] },
      /by descriptors/,
    ],
    [{ localRateLimitPerDownstreamConnection: true }, /for each connection/],
    [{ localClusterRateLimit: {} }, /for its cluster/],
  ] satisfies (readonly [JsonObject, RegExp])[]) {
    t.match(read({ limits: true, routes: [limited(5, more)] }).unsupported, [why]);
  }
  const byPath = { ...limited(5), match: { prefix: '/api' } };
  t.match(read({ limits: true, routes: [byPath, limited(9)] }).unsupported, [/by more than their senders/]);
  const byQuery = { ...limited(5), match: { prefix: '/', queryParameters: [{ name: 'a' }] } };
  t.match(read({ limits: true, routes: [byQuery, limited(9)] }).unsupported, [/by more than their senders/]);
  t.match(read({ filters: [LIMITS, LIMITS], routes: [limited(5)] }).unsupported, [/more than once/]);
  t.match(read({ filters: [{ typedConfig: LIMITS, disabled: true }], routes: [limited(5)] }).unsupported, [
    /local_ratelimit is disabled until a route says otherwise/,
  ]);
});

t.test('faults and limits act in the order of their filters', async (t) => {
  const fault = faulty({ abort: { httpStatus: 500, percentage: { numerator: 100 } } });
  t.equal(read({ filters: [fault, LIMITS], routes: [limited(5)] }).http?.limitsFirst, undefined);
  t.equal(read({ filters: [LIMITS, fault], routes: [limited(5)] }).http?.limitsFirst, true);
  const mixed = read({ filters: [fault, LIMITS, fault], routes: [limited(5)] });
  t.match(mixed.undone, [/the order of faults and limits/]);
});

t.test('a fault for another cluster or for certain nodes is none here', async (t) => {
  const abort = { httpStatus: 500, percentage: { numerator: 100 } };
  t.equal(read({ faults: [{ abort, upstreamCluster: 'other' }] }).http?.faults, undefined);
  t.match(read({ faults: [{ abort, upstreamCluster: 'web' }] }).http?.faults, [{ abort: { status: 500 } }]);
  const nodes = read({ faults: [{ abort, downstreamNodes: ['a'] }] });
  t.equal(nodes.http?.faults, undefined);
  t.same(nodes.undone, ['faults for certain nodes']);
});

t.test('the time for the head of a request is read, and headers that no answer can carry are left out', async (t) => {
  t.match(read({ manager: { requestHeadersTimeout: '5s' } }).http?.timeouts, { headersMs: 5_000 });
  const responseHeadersToAdd = [
    { header: { key: 'x-a', value: 'a\r\nb' } },
    { header: { key: 'content-length', value: '7' } },
    { header: { key: 'x-b', value: '1' } },
  ];
  const { http, undone } = read({ limits: true, routes: [limited(5, { responseHeadersToAdd })] });
  t.same(http?.rateLimits?.[0]?.headers, ['x-b', '1']);
  t.match(undone, [/headers of a limit/]);
});

/** A fault that a matcher skips, as Kuma 3.0 sends it in every chain of a mesh. */
function matchedFault(predicate: JsonObject, action = 'common.matcher.action.v3.SkipFilter'): JsonObject {
  return {
    '@type': 'type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher',
    extensionConfig: { name: 'x', typedConfig: faulty({ abort: { httpStatus: 503, percentage: { numerator: 50 } } }) },
    xdsMatcher: {
      matcherList: {
        matchers: [{ predicate, onMatch: { action: { name: 'skip', typedConfig: typed(action) } } }],
      },
    },
  };
}

const input = (name: string): JsonObject => ({
  name: 'x',
  typedConfig: { '@type': `type.googleapis.com/envoy.extensions.matching.common_inputs.${name}` },
});
const isServer = (exact: string): JsonObject => ({
  singlePredicate: { input: input('network.v3.ServerNameInput'), valueMatch: { exact } },
});
const isClient = (valueMatch: JsonObject): JsonObject => ({
  singlePredicate: { input: input('ssl.v3.UriSanInput'), valueMatch },
});
const not = (predicate: JsonObject): JsonObject => ({ notMatcher: predicate });

const TLS = {
  name: 'x',
  typedConfig: {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    requireClientCertificate: true,
    commonTlsContext: {
      tlsCertificateSdsSecretConfigs: [{ name: 'identity_cert:secret:default', sdsConfig: { ads: {} } }],
      combinedValidationContext: {
        defaultValidationContext: { matchTypedSubjectAltNames: [{ sanType: 'URI', matcher: { prefix: 'spiffe://default/' } }] },
        validationContextSdsSecretConfig: { name: 'mesh_ca:secret:default', sdsConfig: { ads: {} } },
      },
    },
  },
};

/** Returns the faults of each of these server names of one chain, or why no client may use it. */
function faultsByName(filter: JsonObject, names: readonly string[]): Readonly<Record<string, unknown>> {
  const typedConfig = typed('network.http_connection_manager.v3.HttpConnectionManager', {
    httpFilters: [filter, typed('http.router.v3.Router')].map((each) => ({ name: 'x', typedConfig: each })),
    routeConfig: { virtualHosts: [{ name: 'x', domains: ['*'], routes: [routed()] }] },
  });
  const json = {
    name: 'x',
    filters: [{ name: 'x', typedConfig }],
    filterChainMatch: { serverNames: [...names], transportProtocol: 'tls' },
    transportSocket: TLS,
  };
  const { routes } = translateChain(fromJson(FilterChainSchema, json, { registry: ANY_TYPES }), { port: 1, unsupported: null });
  return Object.fromEntries(
    routes.map((route) => [route.serverName, route.unsupported ?? (route.kind === 'terminate' ? route.http?.faults : null)]),
  );
}

t.test('a fault with a matcher is for the server names and clients that it does not skip', async (t) => {
  const abort = { abort: { status: 503, percent: 50 } };
  t.strictSame(faultsByName(matchedFault(not(isServer('a.test'))), ['a.test', 'b.test']), {
    'a.test': [abort],
    'b.test': undefined,
  });
  const prefix = 'spiffe://default/frontend';
  const by = faultsByName(matchedFault(not(isClient({ prefix }))), ['a.test']);
  const [fault] = by['a.test'] as NonNullable<HttpRoute['faults']>;
  t.match(fault, abort);
  t.ok(holds(fault?.clients, { headers: [], uris: [prefix, 'kuma://team/red'] }));
  t.notOk(holds(fault?.clients, { headers: [], uris: ['spiffe://default/backend'] }));
  t.notOk(holds(fault?.clients, { headers: [], uris: [] }));
  const both = { andMatcher: { predicate: [isServer('a.test'), isClient({ exact: prefix })] } };
  t.match(faultsByName(matchedFault(not(both)), ['a.test', 'b.test']), { 'a.test': [abort], 'b.test': undefined });
});

t.test('a fault whose matcher is not understood refuses every client', async (t) => {
  const why = /it has a fault for certain clients, by a matcher that is not evaluated/;
  for (const filter of [
    matchedFault(isClient({ safeRegex: { regex: 'a' } })),
    matchedFault({ singlePredicate: { input: input('network.v3.SourceIPInput'), valueMatch: { exact: '1.2.3.4' } } }),
    matchedFault(isServer('a.test'), 'http.router.v3.Router'),
  ]) {
    t.match(faultsByName(filter, ['a.test']), { 'a.test': why });
  }
});
