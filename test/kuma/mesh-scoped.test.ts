/**
 * The recorded resources of an egress of one mesh, from files and from the control plane that was
 * recorded: one Snapshot, but for a list of reasons.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { create, fromJson, toJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { Cluster } from '../../src/model/cluster.ts';
import type { Route } from '../../src/model/route.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { compile } from '../../src/resources/compile.ts';
import { readRecording } from '../../src/testing/control-plane/recording.ts';
import { acceptAssignment, acceptCluster } from '../../src/xds/accept/accept-cluster.ts';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import { acceptSecret } from '../../src/xds/accept/accept-secret.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import type { AdsState } from '../../src/xds/messages/ads-state.ts';
import { PROTOCOLS } from '../../src/xds/stream/protocols.ts';
import { Subscriptions } from '../../src/xds/stream/subscriptions.ts';
import { createTranslator } from '../../src/xds/translate/translate.ts';
import type { Translated } from '../../src/xds/translate/translate.ts';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { DEV, LIVE } from '../data.ts';
import { ca, linesOf, snapshotOf } from '../resources/fixtures/compiling.ts';
import { authorityYaml, compileScoped, dataplaneYaml, identityYaml } from '../resources/fixtures/scoped.ts';
import { withClientRules } from './client-routes.ts';
import { compare } from './compare.ts';

interface Version {
  readonly name: string;
  readonly ads: URL;
  readonly resources: URL;
  readonly routes: number;
  /** The message after which a second trust domain is trusted, over the protocol of the version. */
  readonly trusting: number;
}

const VERSIONS: readonly Version[] = [
  {
    name: '3.0',
    ads: new URL('ads/changes/', DEV),
    resources: new URL('resources/', DEV),
    routes: 17,
    trusting: 46,
  },
  {
    name: '2.14',
    ads: new URL('mesh-scoped/ads/', LIVE),
    resources: new URL('mesh-scoped/resources/', LIVE),
    routes: 12,
    trusting: 22,
  },
];

/** Changes a listener of the recording. */
type Change = (listener: JsonObject) => JsonObject;

function changed({ listeners, ...state }: AdsState, change: Change): AdsState {
  const all = [...listeners].map(([name, held]) => {
    const json = toJson(ListenerSchema, held.resource, { registry: ANY_TYPES }) as JsonObject;
    const resource = fromJson(ListenerSchema, name.startsWith('system_') ? json : change(json), { registry: ANY_TYPES });
    return [name, { ...held, resource }] as const;
  });
  return { ...state, listeners: new Map(all) };
}

/** What the control plane had its egress serve, at the start of the recording. */
async function fromControlPlane({ ads }: Version, until: number = 9, change: Change = (same) => same): Promise<Translated> {
  const [stream] = await readRecording(fileURLToPath(ads), { until });
  const accept = {
    cluster: acceptCluster,
    endpoint: acceptAssignment,
    listener: (any: Parameters<typeof acceptListener>[0]) => acceptListener(any),
    secret: acceptSecret,
  };
  const protocol = PROTOCOLS[stream!.protocol];
  const subscriptions = new Subscriptions(create(NodeSchema, { id: 'mesh-b.egress-b' }), accept, protocol);
  subscriptions.on({ kind: 'opened', now: 0 });
  for (const event of stream!.events)
    if (event.kind === 'response') subscriptions.on({ kind: 'answer', answer: protocol.read(event.bytes), now: 0, wall: 0 });
  return createTranslator()(changed(subscriptions.state, change), { name: 'egress-b', zone: 'zone-1', adminPort: 9_901 });
}

/** The applied resources, with the certificates that were sent in place of their names. */
function fromFiles(
  { resources: folder }: Version,
  { snapshot, secrets }: Translated,
  more: readonly { readonly path: string; readonly text: string }[] = [],
): Snapshot {
  const tls = snapshot.clusters.get('kri_extsvc_mesh-b___b-tls-mutual_9445')?.endpoints[0]?.tls;
  const trust = snapshot.clusters.get('kri_extsvc_mesh-b___b-tls_9443')?.endpoints[0]?.tls?.trust;
  const pem = (hash: string | undefined): string => JSON.stringify(secrets.get(hash as never) ?? 'none');
  const texts: Readonly<Record<string, string>> = {
    __EXT_CA_STR__: pem(trust?.kind === 'bundle' ? trust.ca : undefined),
    __EXT_CLIENT_CRT_STR__: pem(tls?.clientCertificate?.cert),
    __EXT_CLIENT_KEY_STR__: pem(tls?.clientCertificate?.key),
  };
  const paths = [
    ...readdirSync(folder).filter((file) => file.endsWith('.yaml')),
    'proxies/dp-egress-b.yaml',
    'proxies/dp-frontend-b.yaml',
  ];
  const files = paths.map((path) => ({
    path,
    text: readFileSync(new URL(path, folder), 'utf8').replace(/__EXT_\w+_STR__/g, (name) => texts[name] ?? name),
  }));
  const compiled = compile([...files, ...more, { path: 'ca.yaml', text: authorityYaml('mesh-b', ca) }], { zone: 'zone-1' });
  t.same(linesOf(compiled, 'error'), [], 'no errors');
  return snapshotOf(compiled);
}

interface Reason {
  readonly path: RegExp;
  readonly reason: string;
}

/** One that explains nothing any more has to go. */
const REASONS: readonly Reason[] = [
  {
    path: /permission\.(?:kind|by|rules.*): expected/,
    reason:
      'where one rule of a mesh has a shadow, Kuma counts all that is allowed as denied by it; from files only what the rule is about',
  },
  {
    path: /\.protocol: expected "http", got "(?:http2|grpc)"$/,
    reason: 'Envoy is not told which HTTP a service speaks; files say it',
  },
  {
    path: /\.tags(?:\.mesh|\["kuma\.io\/(?:display-name|mesh|origin|env|zone)"\]): expected/,
    reason: 'labels that the control plane adds; nothing is chosen by them',
  },
  {
    path: /\.endpoints\[\d\]\.priority: expected 1, got 0$/,
    reason: '2.14 gives each endpoint of an egress of one mesh the priority 1, whatever is written; 3.0 and files keep it',
  },
  { path: /\.tls\.trust\.reason: expected/, reason: 'files name the field that turns verification off' },
  { path: /healthChecks\[0\]\.probe\.headers: expected/, reason: 'the tags of the egress are a header of Kuma’s own sidecars' },
  {
    path: /^mesh-b\.(?:trust|trustDomains\[0\]\.trust|identity\..*): expected/,
    reason: 'the key of the recorded CA is not there: another CA issues here',
  },
];

const byKey = <Value>(map: ReadonlyMap<string, Value>): Readonly<Record<string, Value>> => Object.fromEntries(map);

/** The lines of two Snapshots that no reason explains; marks the reasons that explain one. */
function unexplained(expected: Snapshot, got: Snapshot, used: Set<Reason>): readonly string[] {
  const maps: readonly (readonly [unknown, unknown])[] = [
    [byKey<Route>(expected.routes), byKey<Route>(got.routes)],
    [byKey<Cluster>(expected.clusters), byKey<Cluster>(got.clusters)],
    [byKey(expected.meshes), byKey(got.meshes)],
  ];
  return maps.flatMap(([one, other]) =>
    compare(one, other).differences.filter((line) => {
      const found = REASONS.find(({ path }) => path.test(line.replace(/^\["mesh-b"\]/, 'mesh-b')));
      if (found !== undefined) used.add(found);
      return found === undefined;
    }),
  );
}

t.test('from files and from the recorded control planes comes one Snapshot, but for a list of reasons', async (t) => {
  const used = new Set<Reason>();
  for (const version of VERSIONS) {
    const controlPlane = await fromControlPlane(version);
    const own = fromFiles(version, controlPlane);
    const { snapshot } = controlPlane;
    t.equal(snapshot.routes.size, version.routes, version.name);
    t.same(unexplained(snapshot, own, used), [], version.name);
    t.same([...own.routes.keys()].sort(), [...snapshot.routes.keys()].sort());
    t.same([...own.clusters.keys()].sort(), [...snapshot.clusters.keys()].sort());
  }
  t.same(
    REASONS.filter((reason) => !used.has(reason)).map(({ reason }) => reason),
    [],
    'each reason explains something',
  );
});

t.test('a second trust domain, by a MeshTrust, is the same from both', async (t) => {
  const trustYaml = readFileSync(new URL('mesh-scoped/resources/scenarios/meshtrust-zone-2.yaml', LIVE), 'utf8');
  for (const version of VERSIONS) {
    const controlPlane = await fromControlPlane(version, version.trusting);
    const own = fromFiles(version, controlPlane, [{ path: 'trust.yaml', text: trustYaml }]);
    const [theirs, ours] = [controlPlane.snapshot, own].map(({ meshes }) => [...meshes.values()][0]?.trustDomains ?? []);
    t.same(
      theirs!.map(({ name }) => name),
      ['mesh-b.zone-1.mesh.local', 'mesh-b.zone-2.mesh.local'],
      version.name,
    );
    t.same(
      ours!.map(({ name }) => name),
      theirs!.map(({ name }) => name),
    );
    // The bundle in the scenario is that of the run with 2.14.
    if (version.name === '2.14') t.equal(ours![1]?.trust, theirs![1]?.trust, 'with the same bundle');
  }
});

const ID = 'spiffe://mesh-b.zone-1.mesh.local/workload';
const spiffe = (type: string, value: string, more = ''): string =>
  `matches: [{ spiffeID: { type: ${type}, value: "${value}" }${more} }]`;
const ruled = (kind: string, ...rules: readonly string[]): { readonly path: string; readonly text: string } => ({
  path: `${kind}.yaml`,
  text: `type: ${kind}\nmesh: mesh-b\nname: clients\nspec:\n  targetRef: { kind: Dataplane }\n  rules:\n${rules.map((rule) => `  - { ${rule} }\n`).join('')}`,
});
const requestRate = (num: number): string => `default: { local: { http: { requestRate: { num: ${num}, interval: 10s } } } }`;

t.test('rules for certain clients are the same from both, for each policy that has them', async (t) => {
  const used = new Set<Reason>();
  const [FRONTEND, WORKLOADS] = [{ exact: `${ID}/frontend` }, { prefix: ID }];
  const open = 'sni.extsvc.mesh-b.b-http-open.81';
  for (const version of VERSIONS.filter(({ name }) => name === '3.0')) {
    const timed = await fromControlPlane(version, 9, (listener) =>
      withClientRules(listener, 'mesh_timeout', [
        { client: FRONTEND, serverName: open, timeouts: { timeout: '2s', idleTimeout: '9s' } },
        { client: FRONTEND, timeouts: { timeout: '3s', idleTimeout: '9s' } },
        { client: WORKLOADS, timeouts: { idleTimeout: '9s' } },
      ]),
    );
    const timeouts = ruled(
      'MeshTimeout',
      `${spiffe('Prefix', ID)}, default: { http: { streamIdleTimeout: 9s } }`,
      `${spiffe('Exact', `${ID}/frontend`)}, default: { http: { requestTimeout: 3s } }`,
      `${spiffe('Exact', `${ID}/frontend`, `, sni: { type: Exact, value: ${open} }`)}, default: { http: { requestTimeout: 2s } }`,
    );
    const lines = unexplained(timed.snapshot, fromFiles(version, timed, [timeouts]), used);
    // Envoy counts the limit of a service for each of its routes; from files it is counted once.
    const counted = lines.filter((line) => line.startsWith(`["${open}"].http.rateLimits`));
    t.same([lines.length - counted.length, counted.length > 0], [0, true], lines.join('\n'));
    const route = timed.snapshot.routes.get(open as never);
    t.equal(route?.kind === 'terminate' ? route.http?.clientTimeouts?.length : 0, 3);

    const limited = await fromControlPlane(version, 9, (listener) =>
      withClientRules(listener, 'mesh_rate_limit', [
        { client: FRONTEND, limit: null },
        { client: WORKLOADS, limit: 4 },
      ]),
    );
    const limits = ruled(
      'MeshRateLimit',
      `${spiffe('Prefix', ID)}, ${requestRate(4)}`,
      `${spiffe('Exact', `${ID}/frontend`)}, default: { local: { http: { disabled: true } } }`,
    );
    t.same(unexplained(limited.snapshot, fromFiles(version, limited, [limits]), used), []);
    const unsupported = [...limited.snapshot.routes.values()].filter((each) => each.unsupported !== undefined);
    t.same(unsupported, [], 'no chain refuses its clients');
  }
});

const NAMES = ['frontend', 'other', 'egress-b'].map((name) => `spiffe://mesh-b.zone-1.mesh.local/workload/${name}`);
const CLIENTS = [...NAMES, 'spiffe://mesh-b.zone-1.mesh.local/ns/x', 'spiffe://mesh-b.zone-2.mesh.local/workload/frontend'];

t.test('both let in the same clients', async (t) => {
  const { decide } = await import('../../src/routing/decide.ts');
  for (const version of VERSIONS) {
    const controlPlane = await fromControlPlane(version);
    const own = fromFiles(version, controlPlane);
    const judged = (snapshot: Snapshot): readonly string[] =>
      [...controlPlane.snapshot.routes.keys()].flatMap((sni) =>
        CLIENTS.map((uri) => {
          const client = { mesh: 'mesh-b', spiffeIds: [uri], uris: [uri], issuer: '', expiry: '' } as never;
          const decision = decide(snapshot, { serverName: sni, client, viewOf: () => ({ ...VIEW }) as never });
          return `${sni} ${uri}: ${decision.kind === 'refused' && decision.refusal.code === 'denied' ? 'denied' : 'let in'}`;
        }),
      );
    const lines = judged(controlPlane.snapshot);
    t.same(judged(own), lines);
    t.ok(lines.some((line) => line.endsWith('denied')));
    t.ok(lines.some((line) => line.endsWith('let in')));
  }
});

/** One service, with its certificates written in each form that Kuma has had. */
const FORMS: Readonly<Record<string, (text: string, secret: string) => string>> = {
  'inlineString, up to 2.14': (text) => `{ inlineString: ${JSON.stringify(text)} }`,
  'inline, up to 2.14': (text) => `{ inline: ${Buffer.from(text).toString('base64')} }`,
  'secret, up to 2.14': (_, secret) => `{ secret: ${secret} }`,
  'InsecureInline, 3.0': (text) => `{ type: InsecureInline, insecureInline: { value: ${JSON.stringify(text)} } }`,
  'secretRef, 3.0': (_, secret) => `{ type: Secret, secretRef: { kind: Secret, name: ${secret} } }`,
};

const PROVIDED = (source: (text: string, secret: string) => string): string => `type: MeshIdentity
mesh: mesh-b
name: identity
spec:
  selector: { dataplane: { matchLabels: {} } }
  provider:
    type: Bundled
    bundled:
      insecureAllowSelfSigned: true
      ca: { certificate: ${source(ca.cert, 'identity-root-ca')}, privateKey: ${source(ca.key, 'identity-private-key')} }
`;

t.test(
  'one Snapshot comes from each form of the schema: inline or Secret, of 2.x or of 3.0, a CA that is provided or made',
  async (t) => {
    const snapshotIn = (form: (text: string, secret: string) => string, identity: string): Snapshot => {
      const service = `type: MeshExternalService
mesh: mesh-b
name: secured
spec:
  match: { type: HostnameGenerator, port: 9443, protocol: tcp }
  endpoints: [{ address: 192.0.2.1, port: 443 }]
  tls:
    enabled: true
    verification:
      mode: Secured
      serverName: tls.ext.test
      caCert: ${form(ca.cert, 'identity-root-ca')}
      clientCert: ${form(ca.cert, 'identity-root-ca')}
      clientKey: ${form(ca.key, 'identity-private-key')}
`;
      const compiled = compileScoped([
        'type: Mesh\nname: mesh-b\n',
        dataplaneYaml('mesh-b'),
        'type: Workload\nmesh: mesh-b\nname: egress\n',
        identity,
        authorityYaml('mesh-b', ca),
        service,
      ]);
      t.same(linesOf(compiled, 'error'), []);
      return snapshotOf(compiled);
    };
    const shown = ({ routes, clusters, meshes }: Snapshot): object => [byKey(routes), byKey(clusters), byKey(meshes)];
    const first = snapshotIn(FORMS['InsecureInline, 3.0']!, identityYaml('mesh-b'));
    t.equal(first.routes.size, 1);
    for (const [name, form] of Object.entries(FORMS)) t.same(shown(snapshotIn(form, identityYaml('mesh-b'))), shown(first), name);
    for (const name of ['InsecureInline, 3.0', 'secretRef, 3.0'])
      t.same(shown(snapshotIn(FORMS[name]!, PROVIDED(FORMS[name]!))), shown(first), `a MeshIdentity with its own CA: ${name}`);
  },
);

const VIEW = { turn: 0, names: new Map(), ownListeners: [], localAddresses: new Set(), allowedResolved: [], draw: 0 };
