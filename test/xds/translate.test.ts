/** What becomes of a control plane's messages: the same as from files, and the same as in Envoy. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { fromBinary, toJsonString } from '@bufbuild/protobuf';
import type { VerifiedClient } from '../../src/model/client.ts';
import type { EndpointView } from '../../src/model/endpoint-view.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import type { Route } from '../../src/model/route.ts';
import { compile } from '../../src/resources/compile.ts';
import { decide } from '../../src/routing/decide.ts';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import type { ListenerMemory } from '../../src/xds/accept/accept-listener.ts';
import { acceptSecret } from '../../src/xds/accept/accept-secret.ts';
import type { AdsState } from '../../src/xds/messages/ads-state.ts';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { createTranslator } from '../../src/xds/translate/translate.ts';
import type { TranslatedCluster } from '../../src/xds/translate/translate-cluster.ts';
import type { TranslateContext, Translated } from '../../src/xds/translate/translate.ts';
import { readAdsState } from '../kuma/ads-state.ts';
import { canonical } from '../kuma/canonical.ts';
import { compare } from '../kuma/compare.ts';
import { deciding } from '../kuma/from-snapshot.ts';
import { liveZone } from '../kuma/live-zone.ts';
import { snapshotOf, withIdentities } from '../resources/fixtures/compiling.ts';
import { LIVE } from '../data.ts';
import { anyOf, held, recordedState, registry } from './recorded-state.ts';

const CONTEXT: TranslateContext = { name: 'egress-1', zone: 'zone-1', adminPort: 9901 };
const SOTW = new URL('ads/sotw/', LIVE);

/** One endpoint each, so that only the decision about a client is left. */
function anyCluster({ clusters }: AdsState): ReadonlyMap<string, TranslatedCluster> {
  const endpoint = {
    address: { kind: 'ip', ip: '192.0.2.1' },
    port: 1,
    weight: 1,
    priority: 0,
    zone: '',
    tags: {},
    tls: null,
  } as const;
  const translation = (name: string): TranslatedCluster => ({
    cluster: { name, endpoints: [{ ...endpoint, tags: { version: 'v2' } }], connectTimeoutMs: 5_000 },
    secrets: new Map(),
    remarks: [],
  });
  return new Map([...clusters.keys()].map((name) => [name, translation(name)]));
}

function translate(state: AdsState): Translated {
  return createTranslator(anyCluster)(state, CONTEXT);
}

/**
 * Each configuration that was recorded completely, by the number of the message that completed it.
 */
const RECORDINGS: readonly (readonly [folder: string, ...until: readonly number[]])[] = [
  ['ads/sotw/', 12, 15, 21, 25, 32, 40, 61, 65, 76, 82],
  ['ads/variants/unified-naming/', Infinity],
  ['versions/2.9.19/ads/initial/', Infinity],
  ['versions/2.12.14/ads/initial/', Infinity],
];

t.test('every recorded configuration is served, for the clients that Envoy served', async (t) => {
  for (const [path, ...numbers] of RECORDINGS) {
    for (const until of numbers) {
      const folder = new URL(path, LIVE);
      const { snapshot, listener, remarks } = translate(recordedState(folder, until));
      const title = `${path} ${until}`;
      const { routes } = readAdsState(folder, until);
      t.ok(Object.keys(routes).length >= (path.includes('unified') ? 1 : 46), `${title}: ${snapshot.routes.size} routes`);
      t.same([...snapshot.routes.keys()].sort(), Object.keys(routes).sort(), title);
      t.match(listener, { name: 'egress-1', adminPort: 9901 });
      for (const [sni, expected] of Object.entries(routes)) {
        const route = snapshot.routes.get(serverName(sni));
        const { allowed, shadow } =
          route?.kind === 'terminate' ? deciding(route.permission) : deciding({ kind: 'allow-all', by: '' });
        const own = {
          mode: route?.kind,
          unsupported: route?.unsupported,
          allowed: canonical(allowed),
          shadowDenied: canonical(shadow),
        };
        const { mode, shadowDenied } = expected;
        const wanted = { mode, unsupported: undefined, allowed: expected.allowed, shadowDenied };
        t.same(own, wanted, `${title}: ${sni}`);
        if (route?.kind === 'passthrough') t.same(route.subset, expected.subset, `${title}: ${sni}`);
      }
      const twice = remarks.filter(({ text }) => /more than once/.test(text));
      // Kuma's egress policies run once for each mesh, and a mesh without chains leaves an HTTP
      // filter twice.
      t.equal(
        twice.length > 0,
        path === 'ads/sotw/' && (until === 61 || until === 76),
        `${title}: ${twice.length} chains with a filter twice`,
      );
    }
  }
});

t.test('the bytes as they came are read as their JSON is', async (t) => {
  const bytes = Buffer.from(readFileSync(new URL('008-response-lds.pb.b64', SOTW), 'utf8'), 'base64');
  const { resources } = fromBinary(DiscoveryResponseSchema, bytes);
  const state = recordedState(SOTW, 12);
  t.equal(resources.length, 2);
  for (const any of resources) {
    const accepted = acceptListener(any);
    const expected = state.listeners.get(accepted.name)?.resource;
    if (accepted.kind === 'refused' || expected === undefined)
      throw new Error(`${accepted.name}: not accepted, or not in the JSON`);
    t.same(accepted.remarks, []);
    t.equal(toJsonString(ListenerSchema, accepted.resource, { registry }), toJsonString(ListenerSchema, expected, { registry }));
  }
});

interface Known {
  readonly path: RegExp;
  readonly reason: string;
}

const ON_PURPOSE: readonly Known[] = [
  { path: /\.protocol: expected "(?:grpc|http2)", got "http"$/, reason: 'what HTTP carries is no part of a listener' },
  {
    path: /\.by: expected "MeshTrafficPermission .+", got "MeshTrafficPermission of mesh .+"$/,
    reason: 'Kuma does not send the names of MeshTrafficPermissions to an egress',
  },
  {
    path: /\.by: expected "no MeshTrafficPermission for .+", got "no permission for .+"$/,
    reason: 'nor which kind of permission the mesh has, where none lets anybody in',
  },
  {
    path: /\.rules\[\d+\]: expected \{"action":"deny",.*"principal":\{"kind":"any"\}\}, got nothing$/,
    reason: 'a last rule that denies everybody is not sent: whom no rule matches is denied',
  },
  { path: /\.tls\.trust\.reason: expected/, reason: 'why the certificate of a service is not verified is not sent' },
  { path: /\.identity\./, reason: 'certificates are given, where files have the CA that issues them' },
  { path: /^\.meshes.*\.trust: expected/, reason: 'the CA of the files is another one than that of the recording' },
];

/** Puts alternatives and conditions into one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => {
    const list = sorted(inner);
    return [
      key,
      key === 'all' && Array.isArray(list) ? list.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : list,
    ];
  });
  return Object.fromEntries(entries);
}

t.test('the same zone gives the same snapshot from its files as from its control plane', async (t) => {
  const own = snapshotOf(compile(liveZone({}), withIdentities));
  const { snapshot } = createTranslator()(recordedState(SOTW, 12), CONTEXT);
  t.equal(snapshot.zone, own.zone);
  t.equal(own.routes.size, 46);
  t.same([...snapshot.routes.keys()].sort(), [...own.routes.keys()].sort());
  t.same([...snapshot.meshes.keys()].sort(), [...own.meshes.keys()].sort());
  t.equal(own.clusters.size, 42);
  t.same([...snapshot.clusters.keys()].sort(), [...own.clusters.keys()].sort());
  const plain = (snapshotPart: ReadonlyMap<string, unknown>): unknown => sorted(Object.fromEntries(snapshotPart));
  const all = ({ routes, clusters, meshes }: typeof own): object => ({
    routes: plain(routes),
    clusters: plain(clusters),
    meshes: plain(meshes),
  });
  const { differences } = compare(all(own), all(snapshot));
  t.same(
    differences.filter((line) => !ON_PURPOSE.some(({ path }) => path.test(line))),
    [],
  );
  for (const { path, reason } of ON_PURPOSE)
    t.ok(
      differences.some((line) => path.test(line)),
      `still so: ${reason}`,
    );
  t.comment(`equal but for ${differences.length} lines: ${ON_PURPOSE.map(({ reason }) => reason).join('; ')}`);
});

const VIEW: EndpointView = { turn: 0, names: new Map(), ownListeners: [], localAddresses: new Set(), allowedResolved: [] };

function decisionOf(translated: Translated, route: Route, uris: readonly string[]): string {
  const client = { mesh: route.mesh, spiffeIds: [], uris, issuer: '', expiry: '' } as unknown as VerifiedClient;
  const decision = decide(translated.snapshot, { serverName: route.serverName, client, viewOf: () => VIEW });
  if (decision.kind === 'refused') return decision.refusal.code;
  return decision.allowed.shadowDenied ? 'shadow' : 'allowed';
}

/** The clients of the recorded permissions, and another one. */
const CLIENTS: readonly (readonly string[])[] = [
  ['spiffe://default/frontend', 'kuma://team/red'],
  ['spiffe://default/other', 'kuma://team/blue'],
  ['spiffe://default/nobody'],
  ['spiffe://mesh-2/client-ok'],
  ['spiffe://mesh-2/other', 'kuma://team/red'],
  ['spiffe://default/somebody'],
];

type Json = Record<string, unknown>;

/** Changes of a filter that must change some decision. */
const MUTATIONS: readonly (readonly [what: string, mutate: (rbac: Json) => boolean])[] = [
  ['the rules deny', (rbac) => setAction(rbac, 'rules', 'DENY')],
  ['nobody is named', (rbac) => replaceIn(rbac, 'rules', 'policies', {})],
  ['everybody is named', (rbac) => setPolicies(rbac, 'rules', [{ any: true }])],
  [
    'somebody else is named',
    (rbac) => setPolicies(rbac, 'rules', [{ authenticated: { principalName: { exact: 'spiffe://default/somebody' } } }]),
  ],
  [
    'a principal is an address',
    (rbac) => setPolicies(rbac, 'rules', [{ sourceIp: { addressPrefix: '10.0.0.0', prefixLen: 8 } }]),
  ],
  ['the shadow is gone', (rbac) => rbac['shadowRules'] !== undefined && delete rbac['shadowRules']],
  ['the shadow allows', (rbac) => rbac['shadowRules'] !== undefined && setAction(rbac, 'shadowRules', 'ALLOW')],
];

function setAction(rbac: Json, of: string, action: string): boolean {
  rbac[of] = { ...(rbac[of] as Json), action };
  return true;
}

function replaceIn(rbac: Json, of: string, key: string, value: unknown): boolean {
  const rules = rbac[of] as Json;
  if (rules[key] === undefined || JSON.stringify(rules[key]) === JSON.stringify(value)) return false;
  rbac[of] = { ...rules, [key]: value };
  return true;
}

function setPolicies(rbac: Json, of: string, principals: readonly object[]): boolean {
  const rules = rbac[of] as Json;
  const before = JSON.stringify(rules['policies'] ?? {});
  const policies = { p: { principals, permissions: [{ any: true }] } };
  if (before.includes(JSON.stringify(principals))) return false;
  rbac[of] = { ...rules, policies };
  return true;
}

function rbacsIn(value: unknown): Json[] {
  if (typeof value !== 'object' || value === null) return [];
  const own =
    typeof (value as Json)['@type'] === 'string' && ((value as Json)['@type'] as string).endsWith('.rbac.v3.RBAC')
      ? [value as Json]
      : [];
  return [...own, ...Object.values(value).flatMap(rbacsIn)];
}

t.test('each recorded authorisation filter decides: changed, it decides otherwise', async (t) => {
  const state = recordedState(SOTW, 12);
  const before = translate(state);
  const json = recordedListener();
  const seen = new Set<string>();
  let mutations = 0;
  for (const chain of json['filterChains'] as Json[]) {
    const [rbac] = rbacsIn(chain);
    const [sni = ''] = (chain['filterChainMatch'] as { readonly serverNames: readonly string[] }).serverNames;
    const route = before.snapshot.routes.get(serverName(sni));
    // Keeps one of several equal filters: only the names that they count under differ.
    const key = JSON.stringify({ ...rbac, statPrefix: '' });
    if (rbac === undefined || route === undefined || seen.has(key)) continue;
    seen.add(key);
    for (const [what, mutate] of MUTATIONS) {
      const copy = structuredClone(chain);
      const [own] = rbacsIn(copy);
      if (own === undefined || !mutate(own)) continue;
      const after = translate(withListener(state, { ...json, filterChains: [copy] }));
      const [was, is] = [before, after].map((translated) => CLIENTS.map((uris) => decisionOf(translated, route, uris)).join());
      t.not(is, was, `${sni}, ${what}: ${was}`);
      mutations++;
    }
  }
  t.equal(seen.size, 11);
  t.ok(mutations > 40, `${mutations} changes of ${seen.size} filters`);
});

function recordedListener(): Json {
  const { resources } = JSON.parse(readFileSync(new URL('008-response-lds.json', SOTW), 'utf8')) as { resources: Json[] };
  return resources.find(({ name }) => name === 'inbound:127.0.0.2:10002') ?? {};
}

function withListener(state: AdsState, json: Json): AdsState {
  const any = anyOf(ListenerSchema, json);
  const accepted = held(acceptListener(any), any);
  return { ...state, listeners: new Map([[accepted.name, accepted]]) };
}

function chainOf(sni: string): Json {
  const chains = recordedListener()['filterChains'] as {
    readonly filterChainMatch: { readonly serverNames: readonly string[] };
  }[];
  return structuredClone(chains.find(({ filterChainMatch }) => filterChainMatch.serverNames.includes(sni)) ?? {});
}

/** Returns the route of this service's recorded chain after a change. */
function routeOf(
  sni: string,
  change: (chain: Json) => void,
): { readonly route: Route | undefined; readonly translated: Translated } {
  const chain = chainOf(sni);
  change(chain);
  const translated = translate(withListener(recordedState(SOTW, 12), { ...recordedListener(), filterChains: [chain] }));
  return { route: translated.snapshot.routes.get(serverName(sni)), translated };
}

const TCP = 'es-tcp{mesh=default}';
const HTTP = 'es-http{mesh=default}';
const PASS = 'backend{mesh=default}';
const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;

function filtersOf(chain: Json): Json[] {
  return chain['filters'] as Json[];
}

function configOf(filter: Json | undefined): Json {
  return filter?.['typedConfig'] as Json;
}

function tlsOf(chain: Json): Json {
  return (chain['transportSocket'] as { typedConfig: Json }).typedConfig;
}

function commonOf(chain: Json): Json {
  return tlsOf(chain)['commonTlsContext'] as Json;
}

function validationOf(chain: Json): Json {
  return (commonOf(chain)['combinedValidationContext'] as { defaultValidationContext: Json }).defaultValidationContext;
}

t.test('a chain with an unsupported restriction refuses every client, and the others are served', async (t) => {
  const filter = (name: string, more: Json = {}): Json => ({ name: 'x', typedConfig: { '@type': type(name), ...more } });
  const cases: readonly [sni: string, change: (chain: Json) => void, why: RegExp][] = [
    [
      TCP,
      (chain) =>
        filtersOf(chain).unshift(
          filter('filters.network.connection_limit.v3.ConnectionLimit', { statPrefix: 'x', maxConnections: '5' }),
        ),
      /limits its connections to 5/,
    ],
    [
      PASS,
      (chain) => filtersOf(chain).unshift(filter('filters.network.rbac.v3.RBAC', { rules: {} })),
      /authorises clients whose mTLS does not end here/,
    ],
    [
      TCP,
      (chain) => filtersOf(chain).unshift({ name: 'x', configDiscovery: { typeUrls: ['x'] } }),
      /filter x has no configuration here/,
    ],
    [TCP, (chain) => (configOf(filtersOf(chain).at(-1))['tunnelingConfig'] = { hostname: 'x' }), /tunnels/],
    [TCP, (chain) => delete tlsOf(chain)['requireClientCertificate'], /does not ask for a client certificate/],
    [TCP, (chain) => (tlsOf(chain)['requireClientCertificate'] = false), /does not ask for a client certificate/],
    [TCP, (chain) => (validationOf(chain)['crl'] = { inlineString: 'x' }), /revoked/],
    [TCP, (chain) => (validationOf(chain)['verifyCertificateHash'] = ['00']), /hashes/],
    [TCP, (chain) => (validationOf(chain)['maxVerifyDepth'] = 1), /depth/],
    [TCP, (chain) => (validationOf(chain)['trustChainVerification'] = 'ACCEPT_UNTRUSTED'), /any CA/],
    [
      TCP,
      (chain) =>
        (validationOf(chain)['matchTypedSubjectAltNames'] = [{ sanType: 'URI', matcher: { exact: 'spiffe://default/a' } }]),
      /other names than those that begin with spiffe:\/\/default\//,
    ],
    [
      TCP,
      (chain) =>
        (validationOf(chain)['matchTypedSubjectAltNames'] = [{ sanType: 'DNS', matcher: { prefix: 'spiffe://default/' } }]),
      /other names/,
    ],
    [
      TCP,
      (chain) =>
        (commonOf(chain)['tlsCertificateSdsSecretConfigs'] = [{ name: 'identity_cert:secret:mesh-2', sdsConfig: { ads: {} } }]),
      /several meshes: mesh-2, default/,
    ],
    [
      TCP,
      (chain) =>
        (commonOf(chain)['tlsCertificateSdsSecretConfigs'] = [
          { name: 'identity_cert:secret:default', sdsConfig: { pathConfigSource: { path: '/x' } } },
        ]),
      /certificate does not come over ADS/,
    ],
    [
      TCP,
      (chain) => ((chain['filterChainMatch'] as Json)['applicationProtocols'] = ['kuma']),
      /certain connections only \(applicationProtocols\)/,
    ],
    [TCP, (chain) => ((chain['filterChainMatch'] as Json)['sourcePorts'] = [1]), /sourcePorts/],
    [TCP, (chain) => ((chain['filterChainMatch'] as Json)['destinationPort'] = 1), /destinationPort/],
    [
      HTTP,
      (chain) => (configOf(filtersOf(chain).at(-1))['httpFilters'] as Json[]).unshift(filter('filters.http.rbac.v3.RBAC', {})),
      /^$/,
    ],
    [
      HTTP,
      (chain) =>
        (((configOf(filtersOf(chain).at(-1))['routeConfig'] as { virtualHosts: Json[] }).virtualHosts[0] ??= {})['domains'] = [
          'a',
        ]),
      /different places/,
    ],
  ];
  for (const [sni, change, why] of cases) {
    const { route, translated } = routeOf(sni, change);
    t.match(route?.unsupported ?? '', why, String(why));
    if (route?.unsupported === undefined) continue;
    t.equal(decisionOf(translated, route, CLIENTS[0] ?? []), 'unsupported-policy');
    t.match(
      translated.remarks.filter(({ text }) => text.startsWith('no client may use it')),
      [{ about: `route:${sni}`, text: why }],
    );
  }
});

t.test('several authorisation filters of one chain each have to allow', async (t) => {
  const rules = (exact: string): Json => ({
    policies: { p: { permissions: [{ any: true }], principals: [{ authenticated: { principalName: { exact } } }] } },
  });
  const { route, translated } = routeOf(HTTP, (chain) => {
    configOf(filtersOf(chain)[0])['rules'] = rules('spiffe://default/frontend');
    const manager = configOf(filtersOf(chain).at(-1))['httpFilters'] as Json[];
    manager.unshift({ name: 'x', typedConfig: { '@type': type('filters.http.rbac.v3.RBAC'), rules: rules('kuma://team/red') } });
  });
  t.match(route, {
    permission: { kind: 'all-of', by: 'TrafficPermission default/p', all: [{ kind: 'rules' }, { kind: 'rules' }] },
  });
  if (route === undefined) return;
  t.equal(decisionOf(translated, route, ['spiffe://default/frontend', 'kuma://team/red']), 'allowed');
  t.equal(decisionOf(translated, route, ['spiffe://default/frontend']), 'denied');
  t.equal(decisionOf(translated, route, ['kuma://team/red']), 'denied');
});

t.test('a chain without an authorisation filter admits every client that its TLS admits', async (t) => {
  const { route, translated } = routeOf(TCP, (chain) => filtersOf(chain).shift());
  t.match(route, { permission: { kind: 'allow-all', by: 'no authorisation filter in mesh default' } });
  if (route !== undefined) t.equal(decisionOf(translated, route, ['spiffe://default/somebody']), 'allowed');
});

t.test('what is done to HTTP elsewhere and not here is one remark for each chain; limits of connections are kept', async (t) => {
  const limit = { '@type': type('filters.network.local_ratelimit.v3.LocalRateLimit'), statPrefix: 'x' };
  const limited = routeOf(TCP, (chain) =>
    filtersOf(chain).unshift({
      name: 'x',
      typedConfig: { ...limit, tokenBucket: { maxTokens: 10, tokensPerFill: 5, fillInterval: '1s' } },
    }),
  );
  t.match(limited.route, { rateLimit: { connections: 10, intervalMs: 2_000 } });
  t.same(limited.translated.remarks, []);
  const { translated } = routeOf(HTTP, (chain) => {
    const filters = configOf(filtersOf(chain).at(-1))['httpFilters'] as Json[];
    filters.unshift({
      name: 'x',
      typedConfig: { '@type': type('filters.http.fault.v3.HTTPFault'), abort: { headerAbort: {} }, maxActiveFaults: 3 },
    });
  });
  t.same(translated.remarks, [
    {
      about: `route:${HTTP}`,
      text: 'of HTTP this egress does not do these, so they have no effect: limits of a fault to a number, abort by header',
    },
  ]);
});

t.test('a mesh without its secrets has no certificate, and its routes and the other meshes stay', async (t) => {
  const state = recordedState(SOTW, 12);
  const without = (name: string): AdsState => ({
    ...state,
    secrets: new Map([...state.secrets].filter(([own]) => own !== name)),
  });
  for (const name of ['identity_cert:secret:mesh-2', 'mesh_ca:secret:mesh-2']) {
    const { snapshot, remarks } = translate(without(name));
    t.same([...snapshot.meshes.keys()], ['default', 'mesh-3']);
    t.equal(snapshot.routes.size, 46);
    t.match(remarks.at(-1), {
      about: 'mesh:mesh-2',
      text: `there is no certificate for it: the control plane has not sent the secret ${name}`,
    });
  }
  const instead = (name: string, json: Json): readonly string[] => {
    const any = anyOf(SecretSchema, { name, ...json });
    const secret = held(acceptSecret(any), any);
    const { snapshot, remarks } = translate({ ...state, secrets: new Map([...state.secrets, [name, secret]]) });
    t.notOk(snapshot.meshes.has(meshName('mesh-2')));
    return remarks.filter(({ about }) => about === 'mesh:mesh-2').map(({ text }) => text);
  };
  const [identity, trust] = ['identity_cert:secret:mesh-2', 'mesh_ca:secret:mesh-2'];
  t.match(instead(identity, { genericSecret: {} }), [/is a genericSecret/]);
  t.match(instead(trust, { validationContext: {} }), [/no CA for it in the secret/]);
  t.match(instead(trust, { validationContext: { trustedCa: { filename: '/ca' } } }), [/its CA is the file \/ca/]);
  t.match(instead(trust, { validationContext: { crl: { inlineString: 'x' } } }), [/revoked/]);
  const file = { filename: '/x' };
  t.match(instead(identity, { tlsCertificate: { certificateChain: file, privateKey: file } }), [/the file \/x, the file \/x/]);
});

t.test('each trust domain has its own bundle; one alone with the name of the mesh is its CA', async (t) => {
  const state = recordedState(SOTW, 12);
  const ca = state.secrets.get('mesh_ca:secret:mesh-2')?.resource.type;
  const text = ca?.case === 'validationContext' ? ca.value.trustedCa?.specifier : undefined;
  const inlineString = text?.case === 'inlineBytes' ? Buffer.from(text.value).toString() : '';
  const domain = (name: string): Json => ({ name, trustBundle: { inlineString } });
  const spiffe = (...trustDomains: readonly Json[]): Translated => {
    const typedConfig = { '@type': type('transport_sockets.tls.v3.SPIFFECertValidatorConfig'), trustDomains };
    const any = anyOf(SecretSchema, {
      name: 'mesh_ca:secret:mesh-2',
      validationContext: { customValidatorConfig: { name: 'x', typedConfig } },
    });
    const secret = held(acceptSecret(any), any);
    return translate({ ...state, secrets: new Map([...state.secrets, [secret.name, secret]]) });
  };
  const mesh = meshName('mesh-2');
  const own = translate(state).snapshot.meshes.get(mesh);
  t.same(spiffe(domain('mesh-2')).snapshot.meshes.get(mesh), own);
  const two = spiffe(domain('other'), domain('mesh-2'));
  t.same(
    two.snapshot.meshes.get(mesh)?.trustDomains,
    ['other', 'mesh-2'].map((name) => ({ name, trust: own?.trust })),
  );
  t.equal(
    two.secrets.get(two.snapshot.meshes.get(mesh)!.trust),
    `trust domain other\n${inlineString.trim()}\ntrust domain mesh-2\n${inlineString.trim()}\n`,
  );
  t.match(spiffe(domain('other')).snapshot.meshes.get(mesh)?.trustDomains, [{ name: 'other' }]);
  t.notOk(spiffe().snapshot.meshes.has(mesh), 'nobody is trusted');
});

t.test('certificates that come inside of a chain are taken; two chains of a mesh have to agree', async (t) => {
  const inline = (chain: Json): void => {
    const pem = (name: string): unknown => recordedSecret(name);
    commonOf(chain)['tlsCertificates'] = [pem('identity_cert:secret:default')];
    delete commonOf(chain)['tlsCertificateSdsSecretConfigs'];
    commonOf(chain)['validationContext'] = { ...(pem('mesh_ca:secret:default') as Json), ...validationOf(chain) };
    delete commonOf(chain)['combinedValidationContext'];
  };
  const { translated } = routeOf(TCP, inline);
  const state = recordedState(SOTW, 12);
  t.same(translated.snapshot.meshes.get(meshName('default')), translate(state).snapshot.meshes.get(meshName('default')));
  const chains = [chainOf(HTTP), chainOf(TCP)];
  inline(chains[1] ?? {});
  const both = translate(withListener(state, { ...recordedListener(), filterChains: chains }));
  t.equal(both.snapshot.routes.get(serverName(HTTP))?.unsupported, undefined);
  t.match(both.snapshot.routes.get(serverName(TCP))?.unsupported, /another certificate or CA than other chains/);
});

function recordedSecret(name: string): unknown {
  const { resources } = JSON.parse(readFileSync(new URL('011-response-sds.json', SOTW), 'utf8')) as { resources: Json[] };
  const found = resources.find((secret) => secret['name'] === name);
  return found?.['tlsCertificate'] ?? found?.['validationContext'];
}

t.test('a cluster that is gone or unusable is a clean refusal', async (t) => {
  const state = recordedState(SOTW, 12);
  const route = translate(state).snapshot.routes.get(serverName(TCP));
  if (route === undefined) throw new Error('no route');
  const gone = translate({ ...state, clusters: new Map([...state.clusters].filter(([name]) => name !== route.cluster)) });
  t.equal(decisionOf(gone, route, ['spiffe://default/frontend']), 'no-endpoint');
  const broken = createTranslator((of) => {
    const all = new Map(anyCluster(of));
    const own = all.get(route.cluster);
    if (own !== undefined) all.set(route.cluster, { ...own, unusable: 'its TLS is not understood' });
    return all;
  })(state, CONTEXT);
  t.equal(decisionOf(broken, route, ['spiffe://default/frontend']), 'unsupported-policy');
  t.equal(broken.snapshot.routes.get(route.serverName)?.unsupported, 'its TLS is not understood');
});

t.test('the listener of the admin pages is read: where, what is plain, and who the control plane is', async (t) => {
  const { admin, secrets, snapshot } = translate(recordedState(SOTW, 12));
  t.match(admin, { address: '127.0.0.2', port: 9901, plaintextPaths: ['/ready'], tls: { clientName: 'kuma-cp' } });
  const texts = [admin?.tls?.cert, admin?.tls?.key, admin?.tls?.clientCa].map((hash) =>
    hash === undefined ? '' : secrets.get(hash),
  );
  t.match(texts, [/BEGIN CERTIFICATE/, /BEGIN RSA PRIVATE KEY/, /BEGIN CERTIFICATE/]);
  t.notMatch(JSON.stringify([...snapshot.routes, ...snapshot.meshes, admin]), /BEGIN/);
});

t.test('of two states in a row, what did not change is the same object, and the version is that of the content', async (t) => {
  const translator = createTranslator(anyCluster);
  const memory: ListenerMemory = new Map();
  const state = (until: number): AdsState => recordedState(SOTW, until, memory);
  const first = translator(state(24), CONTEXT);
  const second = translator(state(26), CONTEXT);
  const changed = [...second.snapshot.routes]
    .filter(([sni, route]) => first.snapshot.routes.get(sni) !== route)
    .map(([sni]) => sni);
  t.same(changed, ['es-team{mesh=default}']);
  t.same([...second.snapshot.meshes.values()], [...first.snapshot.meshes.values()]);
  for (const [name, mesh] of second.snapshot.meshes) t.equal(mesh, first.snapshot.meshes.get(name));
  t.not(second.snapshot.version, first.snapshot.version);
  t.equal(translate(recordedState(SOTW, 26)).snapshot.version, second.snapshot.version);
  t.equal(translator(state(24), CONTEXT).snapshot.version, first.snapshot.version);
  t.ok([...second.snapshot.routes.values()].every(Object.isFrozen));
});
