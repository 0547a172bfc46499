// What the filters and routes of a chain of HTTP come to, read from Envoy's messages.
import { fromJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { HttpRoute } from '../../src/model/http-route.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { readFilters } from '../../src/xds/translate/read-filters.ts';
import type { ChainFilters } from '../../src/xds/translate/read-filters.ts';
import { FilterChainSchema } from '#envoy/config/listener/v3/listener_components_pb.js';

const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
const typed = (name: string, config: JsonObject = {}): JsonObject => ({ '@type': type(name), ...config });

interface Chain {
  readonly routes?: readonly JsonObject[];
  readonly faults?: readonly JsonObject[];
  readonly limits?: boolean;
  readonly manager?: JsonObject;
}

function routed(action: JsonObject = {}, more: JsonObject = {}): JsonObject {
  return { match: { prefix: '/' }, route: { cluster: 'web', timeout: '0s', ...action }, ...more };
}

function read({ routes = [routed()], faults = [], limits = false, manager = {} }: Chain): ChainFilters {
  const filters = [
    ...(limits ? [typed('http.local_ratelimit.v3.LocalRateLimit', { statPrefix: 'x' })] : []),
    ...faults.map((fault) => typed('http.fault.v3.HTTPFault', fault)),
    typed('http.router.v3.Router'),
  ];
  const typedConfig = typed('network.http_connection_manager.v3.HttpConnectionManager', {
    ...manager,
    httpFilters: filters.map((each) => ({ name: 'x', typedConfig: each })),
    routeConfig: { virtualHosts: [{ name: 'x', domains: ['*'], routes: [...routes] }] },
  });
  const chain = { filters: [{ name: 'x', typedConfig }] };
  return readFilters(fromJson(FilterChainSchema, chain, { registry: ANY_TYPES }));
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

t.test('a pattern that is not one of tags lets nobody pass', async (t) => {
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
  t.match(read({ routes: [own, routed()] }).unsupported, [/its HTTP routes treat requests differently/]);
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
