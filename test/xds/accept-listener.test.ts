import t from 'tap';
import { create } from '@bufbuild/protobuf';
import { anyPack, AnySchema } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import type { ListenerMemory } from '../../src/xds/accept/accept-listener.ts';
import { acceptSecret } from '../../src/xds/accept/accept-secret.ts';
import { FilterSchema } from '#envoy/config/listener/v3/listener_components_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { ca } from '../resources/fixtures/compiling.ts';
import { anyOf, fromRecord } from './recorded-state.ts';

const TYPE = 'type.googleapis.com/envoy.extensions.';
const TCP = {
  name: 'tcp',
  typedConfig: { '@type': `${TYPE}filters.network.tcp_proxy.v3.TcpProxy`, statPrefix: 'x', cluster: 'c' },
};
const RBAC = { name: 'rbac', typedConfig: { '@type': `${TYPE}filters.network.rbac.v3.RBAC`, rules: {}, statPrefix: 'x' } };
const ROUTER = { name: 'router', typedConfig: { '@type': `${TYPE}filters.http.router.v3.Router` } };
const manager = (httpFilters: readonly object[], more: object = { routeConfig: {} }): object => ({
  name: 'http',
  typedConfig: {
    '@type': `${TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager`,
    statPrefix: 'x',
    httpFilters,
    ...more,
  },
});
const ADDRESS = { socketAddress: { address: '127.0.0.1', portValue: 10_002 } };

function chain(name: string, more: object = {}): object {
  return { name, filterChainMatch: { serverNames: [name], transportProtocol: 'tls' }, filters: [RBAC, TCP], ...more };
}

function listener(more: object = {}): object {
  return { name: 'in', address: ADDRESS, filterChains: [chain('a'), chain('b')], ...more };
}

function why(any: Any): string {
  const accepted = acceptListener(any);
  return accepted.kind === 'refused' ? accepted.why : '';
}

t.test('a listener that Envoy refuses is refused with its name and a reason', async (t) => {
  const one = (more: object): object => listener({ filterChains: [chain('a', more)] });
  const tls = (context: object): object => ({
    name: 'tls',
    typedConfig: { '@type': `${TYPE}transport_sockets.tls.v3.DownstreamTlsContext`, ...context },
  });
  const cases: readonly [object, RegExp][] = [
    [listener({ address: {} }), /address is necessary/],
    [listener({ address: { socketAddress: { address: 'example.org', portValue: 1 } } }), /malformed IP address: example\.org/],
    [listener({ address: { socketAddress: { address: '::1', portValue: 65_536 } } }), /port 65536 \(limit 65535\)/],
    [listener({ address: { socketAddress: { address: '::1' } } }), /port is necessary/],
    [listener({ filterChains: [] }), /no filter chains/],
    [listener({ filterChains: [chain('a'), chain('a')] }), /'a' has the same matching rules defined as 'a'/],
    [
      listener({
        filterChains: [chain('a'), chain('x', { filterChainMatch: { serverNames: ['x', 'a'], transportProtocol: 'tls' } })],
      }),
      /overlapping/,
    ],
    [listener({ filterChains: [{ filters: [TCP] }, { filters: [TCP] }] }), /same matching rules/],
    [one({ filterChainMatch: { serverNames: ['a*.example.org'] } }), /partial wildcards/],
    [one({ filters: [TCP, RBAC] }), /terminal filter named tcp .* must be the last/],
    [one({ filters: [RBAC] }), /non-terminal filter named rbac .* is the last filter in a network/],
    [one({ filters: [manager([])] }), /list of HTTP filters is empty/],
    [one({ filters: [manager([ROUTER], {})] }), /route specifier/],
    [
      one({ filters: [manager([{ name: 'fault', typedConfig: { '@type': `${TYPE}filters.http.fault.v3.HTTPFault` } }])] }),
      /non-terminal filter named fault .* http filter chain/,
    ],
    [one({ filters: [manager([TCP, ROUTER])] }), /registered implementation for 'tcp'/],
    [
      one({ filters: [ROUTER] }),
      /registered implementation for 'router' with type URL: 'envoy\.extensions\.filters\.http\.router\.v3\.Router'/,
    ],
    [one({ filters: [{ name: 'nothing' }] }), /registered implementation for 'nothing'/],
    [one({ transportSocket: TCP }), /registered implementation for 'tcp'/],
    [one({ transportSocket: tls({ commonTlsContext: {} }) }), /No TLS certificates/],
    [listener({ listenerFilters: [TCP] }), /registered implementation for 'tcp'/],
  ];
  for (const [json, reason] of cases) {
    const accepted = acceptListener(anyOf(ListenerSchema, json));
    t.match(accepted, { kind: 'refused', name: 'in', why: reason }, String(reason));
  }
  t.match(acceptListener(create(AnySchema, { typeUrl: 'x/y' })), { kind: 'refused', name: '', why: /its type is x\/y/ });
  const { typeUrl } = anyOf(ListenerSchema, {});
  t.match(why(create(AnySchema, { typeUrl, value: Uint8Array.of(0x0a, 5) })), /cannot be decoded/);
});

t.test('bytes that are not what their type says are refused where they are read', async (t) => {
  for (const name of [
    'network.rbac.v3.RBAC',
    'network.tcp_proxy.v3.TcpProxy',
    'network.http_connection_manager.v3.HttpConnectionManager',
  ]) {
    const value = create(AnySchema, { typeUrl: `${TYPE}filters.${name}`, value: Uint8Array.of(0x12, 9) });
    const message = fromRecord(ListenerSchema, listener());
    message.filterChains[0]!.filters = [create(FilterSchema, { name: 'x', configType: { case: 'typedConfig', value } })];
    t.match(why(anyPack(ListenerSchema, message)), /configuration of x .* cannot be decoded/);
  }
});

t.test('what is only not understood here is accepted, since a refusal would keep every other chain from changing', async (t) => {
  const unread = create(AnySchema, { typeUrl: `${TYPE}filters.network.ext_authz.v3.ExtAuthz`, value: Uint8Array.of(0x0a, 0) });
  const message = fromRecord(ListenerSchema, listener());
  message.filterChains[0]!.filters.unshift(
    create(FilterSchema, { name: 'x', configType: { case: 'typedConfig', value: unread } }),
  );
  t.equal(why(anyPack(ListenerSchema, message)), '');
  const cases: readonly object[] = [
    listener(),
    listener({ filterChains: [chain('a', { filters: [RBAC, RBAC, TCP] })] }),
    listener({
      filterChains: [
        chain('a', { filters: [{ ...RBAC, typedConfig: { ...RBAC.typedConfig, rules: { policies: { p: {} } } } }, TCP] }),
      ],
    }),
    listener({
      filterChains: [chain('a'), chain('x', { filterChainMatch: { serverNames: ['a'], transportProtocol: 'raw_buffer' } })],
    }),
    listener({
      filterChains: [
        chain('a'),
        chain('x', { filterChainMatch: { serverNames: ['a'], transportProtocol: 'tls', sourcePorts: [1] } }),
      ],
    }),
    listener({ filterChains: [chain('a', { filters: [] })] }),
    listener({ filterChains: [chain('a', { filters: [{ name: 'x', configDiscovery: {} }, TCP] })] }),
    listener({ filterChains: [chain('a', { filters: [manager([{ ...TCP, isOptional: true }, ROUTER])] })] }),
    listener({ filterChains: [chain('a', { filterChainMatch: { serverNames: ['*.example.org'] } })] }),
  ];
  for (const json of cases) t.equal(why(anyOf(ListenerSchema, json)), '', JSON.stringify(json).slice(0, 200));
});

t.test('chains that did not change are the same objects as before, and no others are', async (t) => {
  const memory: ListenerMemory = new Map();
  const chains = (json: object): readonly object[] => {
    const accepted = acceptListener(anyOf(ListenerSchema, json), memory);
    return accepted.kind === 'accepted' ? accepted.resource.filterChains : [];
  };
  const [a, b] = chains(listener());
  const [b2, c, a2] = chains(listener({ filterChains: [chain('b'), chain('c'), chain('a', { filters: [TCP] })] }));
  t.equal(b2, b);
  t.not(a2, a);
  t.ok(c);
  const [a3] = chains(listener());
  t.not(a3, a, 'of the listener before the last one nothing is kept');
  t.same(a3, a);
  t.same(chains(listener({ address: {} })), []);
  t.equal(chains(listener())[0], a3, 'a refused listener takes the place of none');
});

t.test('secrets that Envoy cannot load are refused, and nothing of a key is in the reason', async (t) => {
  const secret = (json: object): ReturnType<typeof acceptSecret> => acceptSecret(anyOf(SecretSchema, { name: 's', ...json }));
  const inline = (inlineString: string): object => ({ inlineString });
  const pair = (cert: object, key: object): object => ({ tlsCertificate: { certificateChain: cert, privateKey: key } });
  t.match(secret(pair(inline(ca.cert), inline(ca.key))), { kind: 'accepted', name: 's', remarks: [] });
  t.match(secret({ validationContext: { trustedCa: inline(ca.cert) } }), { kind: 'accepted' });
  t.match(secret({ validationContext: {} }), { kind: 'accepted' });
  t.match(secret(pair({ filename: '/x' }, { filename: '/y' })), { kind: 'accepted' });
  const refused: readonly [object, string][] = [
    [pair(inline('x'), inline(ca.key)), 'Failed to load certificate chain from <inline>'],
    [pair(inline(ca.cert), inline('topsecret')), 'Failed to load private key from <inline>'],
    [pair(inline(''), inline(ca.key)), 'Failed to load certificate chain from <inline>'],
    [pair(inline(ca.cert), inline('')), 'Failed to load incomplete private key from path: '],
    [{ validationContext: { trustedCa: inline('x') } }, 'Failed to load trusted CA certificates from <inline>'],
  ];
  for (const [json, reason] of refused) t.same(secret(json), { kind: 'refused', name: 's', why: reason });
  t.match(acceptSecret(create(AnySchema, { typeUrl: 'x/y' })), { kind: 'refused', name: '', why: /its type is x\/y/ });
  const { typeUrl } = anyOf(SecretSchema, {});
  t.match(acceptSecret(create(AnySchema, { typeUrl, value: Uint8Array.of(0x0a, 5) })), {
    kind: 'refused',
    why: /cannot be decoded/,
  });
});
