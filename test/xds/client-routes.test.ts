// Routes by filter state: what a chain with them does, and what refuses every client.
import { create, fromJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import type { HttpRoute } from '../../src/model/http-route.ts';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { readFilters } from '../../src/xds/translate/read-filters.ts';
import type { ChainFilters } from '../../src/xds/translate/read-filters.ts';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { FilterChainSchema } from '#envoy/config/listener/v3/listener_components_pb.js';
import { stateValue, withClientRules } from '../kuma/client-routes.ts';

const TYPE = 'type.googleapis.com/envoy.extensions.filters';
const KEY = 'kuma.mesh_timeout.match.spiffe_id';
const ID = 'spiffe://m/web';
const OWN = stateValue(KEY, '%DOWNSTREAM_PEER_URI_SAN%');

interface Chain {
  /** Kept when the handshake is done. */
  readonly values?: readonly JsonObject[];
  readonly config?: JsonObject;
  readonly routes: readonly JsonObject[];
  readonly serverNames?: readonly string[];
}

const routed = (timeout: string, match: JsonObject = {}): JsonObject => ({
  match: { prefix: '/', ...match },
  route: { cluster: 'web', timeout },
});
const REST = routed('9s');
const ofClient = (stringMatch: JsonObject, key = KEY): JsonObject => routed('1s', { filterState: [{ key, stringMatch }] });

function chainOf({ values = [OWN], config, routes, serverNames = ['a.test'] }: Chain): JsonObject {
  const state = {
    '@type': `${TYPE}.network.set_filter_state.v3.Config`,
    ...(config ?? { onDownstreamTlsHandshake: [...values] }),
  };
  const manager = {
    '@type': `${TYPE}.network.http_connection_manager.v3.HttpConnectionManager`,
    httpFilters: [{ name: 'x', typedConfig: { '@type': `${TYPE}.http.router.v3.Router` } }],
    routeConfig: { virtualHosts: [{ name: 'x', domains: ['*'], routes: [...routes] }] },
  };
  return {
    filterChainMatch: { serverNames: [...serverNames], transportProtocol: 'tls' },
    filters: [state, manager].map((typedConfig, i) => ({ name: `x${i}`, typedConfig })),
  };
}

const read = (chain: Chain): ChainFilters => readFilters(fromJson(FilterChainSchema, chainOf(chain), { registry: ANY_TYPES }));
const timeouts = (chain: Chain): HttpRoute['clientTimeouts'] => {
  const { http, unsupported } = read(chain);
  t.same(unsupported, []);
  return http?.clientTimeouts;
};
const client = (match: 'exact' | 'prefix', value: string) =>
  ({ kind: 'client', principal: { kind: 'uri-list', match, value } }) as const;

t.test('each route before that of all has the timeouts of its clients, in their order', async (t) => {
  const never = { ...routed('0s'), match: { prefix: '/', filterState: [{ key: KEY, stringMatch: { prefix: 'spiffe://m' } }] } };
  t.same(timeouts({ routes: [ofClient({ exact: ID }), never, REST] }), [
    { clients: [client('exact', ID)], requestMs: 1_000 },
    { clients: [client('prefix', 'spiffe://m')], requestMs: 0 },
  ]);
  const header = { name: 'x-a', stringMatch: { exact: '1' } };
  const both = routed('1s', { headers: [header], filterState: [{ key: KEY, stringMatch: { exact: ID } }] });
  t.match(timeouts({ routes: [both, REST] }), [{ clients: [{ kind: 'header', name: 'x-a' }, client('exact', ID)] }]);
  const twice = routed('1s', {
    filterState: [{ exact: ID }, { prefix: 'spiffe://m' }].map((stringMatch) => ({ key: KEY, stringMatch })),
  });
  t.same(
    timeouts({ routes: [twice, REST] })?.[0]?.clients,
    [client('exact', ID), client('prefix', 'spiffe://m')],
    'both must hold',
  );
});

t.test('a route about another server name, or about what no filter keeps, is for no request', async (t) => {
  const values = [OWN, stateValue('sni', '%REQUESTED_SERVER_NAME%')];
  const about = (exact: string): JsonObject =>
    routed('1s', {
      filterState: [
        { key: KEY, stringMatch: { exact: ID } },
        { key: 'sni', stringMatch: { exact } },
      ],
    });
  t.equal(timeouts({ values, routes: [about('b.test'), REST] }), undefined);
  t.same(timeouts({ values, routes: [about('a.test'), REST] }), [{ clients: [client('exact', ID)], requestMs: 1_000 }]);
  t.match(read({ values, serverNames: ['a.test', 'b.test'], routes: [about('b.test'), REST] }).unsupported, [
    /sni.*not evaluated/,
  ]);
  const unset = read({ values: [], routes: [ofClient({ exact: ID }), REST] });
  t.same([unset.unsupported, unset.http?.clientTimeouts, unset.http?.timeouts?.requestMs], [[], undefined, 9_000]);
  t.match(unset.remarks, [/no filter of it keeps kuma\.mesh_timeout\.match\.spiffe_id/]);
});

t.test('a condition that is not evaluated refuses every client, and its key is in the reason', async (t) => {
  const why = [/by a filter state \(kuma\.mesh_timeout\.match\.spiffe_id\) that is not evaluated/];
  const asked = [ofClient({ exact: ID }), REST];
  for (const stringMatch of [
    { safeRegex: { regex: 'a' } },
    { suffix: '/web' },
    { contains: 'web' },
    { exact: ID, ignoreCase: true },
    { prefix: '' },
    {},
  ])
    t.match(read({ routes: [ofClient(stringMatch), REST] }).unsupported, why, JSON.stringify(stringMatch));
  t.match(read({ routes: [routed('1s', { filterState: [{ key: KEY }] }), REST] }).unsupported, why, 'no matcher');
  for (const format of ['%DOWNSTREAM_PEER_SUBJECT%', 'a %DOWNSTREAM_PEER_URI_SAN%', 'constructor', ''])
    t.match(read({ values: [stateValue(KEY, format)], routes: asked }).unsupported, why, format);
  t.match(read({ config: { onNewConnection: [OWN] }, routes: asked }).unsupported, why, 'before the certificate is there');
  const other = stateValue(KEY, '%REQUESTED_SERVER_NAME%');
  t.match(read({ values: [OWN, other], routes: asked }).unsupported, why, 'two values of one key');
  const envoys = 'envoy.network.transport_socket.original_dst_address';
  t.match(read({ routes: [ofClient({ exact: ID }, envoys), REST] }).unsupported, [
    /original_dst_address\) that is not evaluated/,
  ]);
  const otherwise = { ...ofClient({ exact: ID }), route: { cluster: 'web', timeout: '9s', autoHostRewrite: true } };
  t.match(read({ routes: [otherwise, REST] }).unsupported, [/treat requests differently/]);
  t.match(read({ routes: [ofClient({ exact: ID })] }).unsupported, [/not all of them to one/], 'no route for the others');
});

t.test('a filter that keeps more than routes compare refuses every client, without such a route too', async (t) => {
  const why = [/set_filter_state keeps "[^"]*" for other parts of Envoy/];
  for (const value of [
    stateValue('envoy.network.upstream_server_name', '%REQUESTED_SERVER_NAME%'),
    stateValue('envoy.tcp_proxy.cluster', 'other'),
    stateValue(KEY, '%DOWNSTREAM_PEER_URI_SAN%', { factoryKey: 'envoy.tcp_proxy.cluster' }),
    stateValue(KEY, '%DOWNSTREAM_PEER_URI_SAN%', { sharedWithUpstream: 'ONCE' }),
    stateValue('', '%DOWNSTREAM_PEER_URI_SAN%'),
  ])
    t.match(read({ values: [value], routes: [REST] }).unsupported, why, JSON.stringify(value));
  t.same(read({ values: [stateValue('mine', '%START_TIME%')], routes: [REST] }).unsupported, [], 'which no route compares');
});

t.test(
  'with two policies Kuma’s MeshTimeout keeps nothing of its own, so its routes are for no request, as in Envoy',
  async (t) => {
    const listener = { filterChains: [{ ...chainOf({ routes: [REST] }) }] };
    (listener.filterChains[0]!['filters'] as JsonObject[]).shift();
    const limited = withClientRules(listener, 'mesh_rate_limit', [{ client: { exact: ID }, limit: 3 }]);
    const both = withClientRules(limited, 'mesh_timeout', [{ client: { exact: ID }, timeouts: { timeout: '1s' } }]);
    const [chain] = both['filterChains'] as JsonObject[];
    const { http, unsupported } = readFilters(fromJson(FilterChainSchema, chain!, { registry: ANY_TYPES }));
    t.same([unsupported, http?.clientTimeouts], [[], undefined]);
    t.match(http?.rateLimits, [{ clients: [client('exact', ID)], requests: 3 }]);
  },
);

t.test('a filter that cannot be decoded is refused as by Envoy', async (t) => {
  const broken = { typeUrl: `${TYPE}.network.set_filter_state.v3.Config`, value: new Uint8Array([0x12, 0x7f]) };
  const chain = fromJson(FilterChainSchema, chainOf({ routes: [REST] }), { registry: ANY_TYPES });
  const [first] = chain.filters;
  first!.configType = { case: 'typedConfig', value: { $typeName: 'google.protobuf.Any', ...broken } };
  const address = {
    address: { case: 'socketAddress', value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: 1 } } },
  } as const;
  const listener = create(ListenerSchema, { name: 'l', address, filterChains: [chain] });
  t.match(acceptListener(anyPack(ListenerSchema, listener)), {
    kind: 'refused',
    why: /x0 .*set_filter_state.*cannot be decoded/,
  });
});
