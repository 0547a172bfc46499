/** A restriction from a control plane that is not evaluated here refuses every client. */
import { clone, create, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { AnySchema, anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import type { Route } from '../../src/model/route.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import type { FakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { acceptAssignment, acceptCluster } from '../../src/xds/accept/accept-cluster.ts';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import { acceptSecret } from '../../src/xds/accept/accept-secret.ts';
import { TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import type { AdsState, AdsType } from '../../src/xds/messages/ads-state.ts';
import { HeldResources } from '../../src/xds/stream/held-resources.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { AddressSchema, CidrRangeSchema, SocketAddress_Protocol } from '#envoy/config/core/v3/address_pb.js';
import { TypedExtensionConfigSchema } from '#envoy/config/core/v3/extension_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import { FilterChainMatchSchema } from '#envoy/config/listener/v3/listener_components_pb.js';
import type { FilterChain } from '#envoy/config/listener/v3/listener_components_pb.js';
import { RouteSchema, VirtualHostSchema } from '#envoy/config/route/v3/route_components_pb.js';
import type { VirtualHost } from '#envoy/config/route/v3/route_components_pb.js';
import { RBACSchema } from '#envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { HttpConnectionManagerSchema } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { HttpConnectionManager } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { CertificateValidationContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SPIFFECertValidatorConfigSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js';
import { DownstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { CommonTlsContext } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { createTranslator } from '../../src/xds/translate/translate.ts';
import type { Translated } from '../../src/xds/translate/translate.ts';
import { answerOf } from './recorded.ts';

const CONTEXT = { name: 'egress-1', zone: 'zone-1', adminPort: 9_901 };
const mesh = await createTestMesh('default', { keyType: 'ec' });

/** One HTTP service, one TCP service, and the admin listener, after `change`. */
function sent(change: (configuration: FakeConfiguration) => void = () => {}): FakeConfiguration {
  const made = fakeConfiguration({
    address: '127.0.0.1',
    port: 10_002,
    meshes: [mesh],
    external: {
      web: { address: '192.0.2.1', port: 80, protocol: 'http' },
      legacy: { address: '192.0.2.2', port: 80, allow: ['frontend'] },
    },
    admin: { port: 9_901, caCert: mesh.ca.cert, server: mesh.client('egress') },
  });
  change(made);
  return made;
}

function stateOf({ clusters, endpoints, listeners, secrets }: FakeConfiguration): AdsState {
  const held = new HeldResources({
    cluster: acceptCluster,
    endpoint: acceptAssignment,
    listener: (any) => acceptListener(any),
    secret: acceptSecret,
  });
  const take = <Desc extends DescMessage>(type: AdsType, schema: Desc, all: readonly MessageShape<Desc>[]): void => {
    const resources = all.map((each) => create(AnySchema, { typeUrl: TYPE_URLS[type], value: toBinary(schema, each) }));
    const { refused } = held.apply(type, answerOf(create(DiscoveryResponseSchema, { resources, versionInfo: '1' })), 0);
    if (refused.length > 0) throw new Error(JSON.stringify(refused));
  };
  take('cluster', ClusterSchema, clusters);
  take('endpoint', ClusterLoadAssignmentSchema, endpoints);
  take('listener', ListenerSchema, listeners);
  take('secret', SecretSchema, secrets);
  return held.state;
}

function translated(change?: (configuration: FakeConfiguration) => void): Translated {
  return createTranslator()(stateOf(sent(change)), CONTEXT);
}

function routeTo(destination: string, { snapshot }: Translated): Route {
  const route = [...snapshot.routes.values()].find((each) => each.destination === destination);
  if (route === undefined) throw new Error(`no route to ${destination}`);
  return route;
}

function aboutListeners({ remarks }: Translated): readonly string[] {
  return remarks.filter(({ about }) => about.startsWith('listener:')).map(({ text }) => text);
}

function chainTo(destination: string, { listeners }: FakeConfiguration): FilterChain {
  return listeners[0]!.filterChains.find(({ name }) => name.startsWith(destination))!;
}

function changeManager({ filters }: FilterChain, change: (manager: HttpConnectionManager) => void): void {
  const filter = filters.at(-1)!;
  const manager = anyUnpack(filter.configType.value as Any, HttpConnectionManagerSchema)!;
  change(manager);
  filter.configType = { case: 'typedConfig', value: anyPack(HttpConnectionManagerSchema, manager) };
}

function changeTls(chain: FilterChain, change: (common: CommonTlsContext) => void): void {
  const context = anyUnpack(chain.transportSocket!.configType.value as Any, DownstreamTlsContextSchema)!;
  change(context.commonTlsContext!);
  chain.transportSocket!.configType = { case: 'typedConfig', value: anyPack(DownstreamTlsContextSchema, context) };
}

function hostsOf({ routeSpecifier }: HttpConnectionManager): VirtualHost[] {
  if (routeSpecifier.case !== 'routeConfig') throw new Error('no routes');
  return routeSpecifier.value.virtualHosts;
}

function adminListener({ listeners }: FakeConfiguration): Listener {
  return listeners.find(({ name }) => name === 'kuma:envoy:admin')!;
}

t.test('HTTP routes that do not lead every request of every host to the one service refuse every client', async (t) => {
  t.equal(routeTo('web', translated()).unsupported, undefined, 'as Kuma sends it');
  const withHosts = (change: (hosts: VirtualHost[]) => void): Route =>
    routeTo(
      'web',
      translated((made) => changeManager(chainTo('web', made), (manager) => change(hostsOf(manager)))),
    );
  const cases: Readonly<Record<string, (hosts: VirtualHost[]) => void>> = {
    'a path of one host, and everything of another': (hosts) => {
      hosts.push(clone(VirtualHostSchema, hosts[0]!));
      Object.assign(hosts[1]!, { name: 'other', domains: ['other'] });
      for (const route of hosts[0]!.routes) route.match!.pathSpecifier = { case: 'prefix', value: '/public' };
    },
    'only with a certificate of the client': ([host]) => {
      host!.routes[0]!.match!.tlsContext = {
        $typeName: 'envoy.config.route.v3.RouteMatch.TlsContextMatchOptions',
        presented: true,
      };
    },
    'only with metadata': ([host]) => {
      host!.routes[0]!.match!.dynamicMetadata.push({
        $typeName: 'envoy.type.matcher.v3.MetadataMatcher',
        filter: 'x',
        path: [],
        invert: false,
      });
    },
    'only with what a newer Envoy knows': ([host]) => {
      host!.routes[0]!.match!.$unknown = [{ no: 900, wireType: 2, data: Uint8Array.of(0) }];
    },
  };
  for (const [what, change] of Object.entries(cases)) t.match(withHosts(change).unsupported, /different places|not all/, what);
});

t.test('limits that another service keeps for all proxies are not kept here, so every client is refused', async (t) => {
  for (const type of ['ratelimit.v3.RateLimit', 'rate_limit_quota.v3.RateLimitQuotaFilterConfig']) {
    const value = create(AnySchema, { typeUrl: `type.googleapis.com/envoy.extensions.filters.http.${type}` });
    const route = routeTo(
      'web',
      translated((made) =>
        changeManager(chainTo('web', made), ({ httpFilters }) =>
          httpFilters.unshift({ ...httpFilters[0]!, name: 'x', configType: { case: 'typedConfig', value } }),
        ),
      ),
    );
    t.match(route.unsupported, /is not understood/, type);
  }
});

t.test('a check of clients that comes inside of a chain is compared whole, and a new one is taken up', async (t) => {
  const bundle = (ca: string) =>
    anyPack(
      SPIFFECertValidatorConfigSchema,
      create(SPIFFECertValidatorConfigSchema, {
        trustDomains: [{ name: 'default', trustBundle: { specifier: { case: 'inlineString', value: ca } } }],
      }),
    );
  const validator = (ca: string) => create(TypedExtensionConfigSchema, { name: 'x', typedConfig: bundle(ca) });
  const inline =
    (ca: string) =>
    (common: CommonTlsContext): void => {
      const value = create(CertificateValidationContextSchema, { customValidatorConfig: validator(ca) });
      common.validationContextType = { case: 'validationContext', value };
    };
  const another = await createTestMesh('default', { keyType: 'ec' });
  const both = (web: string, legacy: string): FakeConfiguration =>
    sent((made) => {
      changeTls(chainTo('web', made), inline(web));
      changeTls(chainTo('legacy', made), inline(legacy));
    });
  const translate = createTranslator();
  const trust = ({ snapshot, secrets }: Translated): string | undefined => secrets.get([...snapshot.meshes.values()][0]!.trust);
  t.equal(trust(translate(stateOf(both(mesh.ca.cert, mesh.ca.cert)), CONTEXT)), mesh.ca.cert);
  t.equal(trust(translate(stateOf(both(another.ca.cert, another.ca.cert)), CONTEXT)), another.ca.cert, 'a new CA');
  const apart = translate(stateOf(both(mesh.ca.cert, another.ca.cert)), CONTEXT);
  t.match(
    [...apart.snapshot.routes.values()].filter(({ unsupported }) => unsupported !== undefined),
    [{ unsupported: /another certificate or CA than other chains/ }],
  );

  const beside = translated((made) =>
    changeTls(chainTo('legacy', made), ({ validationContextType: type }) => {
      if (type.case !== 'combinedValidationContext') throw new Error('not as Kuma sends it');
      type.value.defaultValidationContext!.customValidatorConfig = validator(another.ca.cert);
    }),
  );
  t.match(routeTo('legacy', beside).unsupported, /a CA of its own beside/);
});

t.test('a listener that is not on a TCP port is opened nowhere else', async (t) => {
  t.match(translated().listener, { address: '127.0.0.1', port: 10_002 });
  const place = (address: NonNullable<MessageInitShape<typeof AddressSchema>['address']>) => (listener: Listener) =>
    void (listener.address = create(AddressSchema, { address }));
  const port = { case: 'portValue', value: 1 } as const;
  const udp = { protocol: SocketAddress_Protocol.UDP, address: '127.0.0.1', portSpecifier: port };
  const cases: readonly (readonly [change: (listener: Listener) => void, why: RegExp])[] = [
    [place({ case: 'pipe', value: { path: '/run/x.sock' } }), /its address is a pipe/],
    [place({ case: 'socketAddress', value: udp }), /not TCP/],
    [(listener) => (listener.bindToPort = false), /not to be bound/],
  ];
  for (const [change, why] of cases) {
    const read = translated(({ listeners }) => change(listeners[0]!));
    t.equal(read.listener, null, String(why));
    t.match(aboutListeners(read), [why]);
  }
});

t.test('admin pages refuse every client that a chain of the control plane would refuse', async (t) => {
  t.match(translated().admin, { plaintextPaths: ['/ready'], tls: { clientName: 'kuma-cp' } });
  const read = (at: 'plain' | 'secured', change: (chain: FilterChain) => void): Translated =>
    translated((made) =>
      change(
        adminListener(made).filterChains.find(({ transportSocket }) => (transportSocket === undefined) === (at === 'plain'))!,
      ),
    );
  const everything = create(RouteSchema, {
    match: { pathSpecifier: { case: 'prefix', value: '/' } },
    action: { case: 'route', value: { clusterSpecifier: { case: 'cluster', value: 'kuma:envoy:admin' } } },
  });
  const refusing = create(RouteSchema, {
    match: { pathSpecifier: { case: 'prefix', value: '/config_dump' } },
    action: { case: 'directResponse', value: { status: 403 } },
  });
  const routes =
    (...added: (typeof everything)[]) =>
    (chain: FilterChain): void =>
      changeManager(chain, (manager) => hostsOf(manager)[0]!.routes.push(...added));
  t.strictSame(read('plain', routes(everything)).admin?.plaintextPaths, ['/ready', '/'], 'it may open all of them');
  t.strictSame(read('plain', routes(refusing, everything)).admin?.plaintextPaths, ['/ready'], 'but a refusal goes first');
  const secret = create(RouteSchema, {
    match: { pathSpecifier: { case: 'prefix', value: '/' }, headers: [{ name: 'x-secret' }] },
    action: { case: 'route', value: { clusterSpecifier: { case: 'cluster', value: 'kuma:envoy:admin' } } },
  });
  t.strictSame(read('plain', routes(secret)).admin?.plaintextPaths, ['/ready'], 'nor is a header compared');

  const local = (chain: FilterChain): void => {
    chain.filterChainMatch ??= create(FilterChainMatchSchema);
    chain.filterChainMatch.sourcePrefixRanges.push(create(CidrRangeSchema, { addressPrefix: '127.0.0.1' }));
  };
  const authorising = (chain: FilterChain): void =>
    changeManager(chain, (manager) =>
      manager.httpFilters.unshift({
        ...manager.httpFilters[0]!,
        name: 'envoy.filters.http.rbac',
        configType: { case: 'typedConfig', value: anyPack(RBACSchema, create(RBACSchema, { rules: {} })) },
      }),
    );
  for (const change of [local, authorising]) {
    t.strictSame(read('plain', change).admin?.plaintextPaths, []);
    t.equal(read('secured', change).admin?.tls, null);
  }
  const revoking = read('secured', (chain) =>
    changeTls(chain, ({ validationContextType: type }) => {
      if (type.case === 'validationContext') type.value.verifyCertificateHash.push('00');
    }),
  );
  t.equal(revoking.admin?.tls, null);
  t.match(aboutListeners(revoking), [/checks more of the client than is checked here: verifyCertificateHash/]);
});
