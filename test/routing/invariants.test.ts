import fc from 'fast-check';
import t from 'tap';
import type { Cluster, Endpoint } from '../../src/model/cluster.ts';
import { contentHash, meshName, serverName } from '../../src/model/names.ts';
import type { ServerName } from '../../src/model/names.ts';
import type { Permission, Principal } from '../../src/model/permission.ts';
import type { Route, TerminateRoute } from '../../src/model/route.ts';
import type { Mesh, Secrets, Snapshot } from '../../src/model/snapshot.ts';
import { assumedView } from '../../src/explain/assumed-view.ts';
import { decide } from '../../src/routing/decide.ts';
import { violationsOf } from './violations.ts';
import { compileTexts, compileZone, EGRESS, external, lines } from '../resources/fixtures/compiling.ts';
import { ca } from '../resources/fixtures/compiling.ts';
import { claims } from '../explain/zone.ts';

const inline = JSON.stringify(ca.cert);
const good = compileZone(
  external('api', `networking: { address: "ext.test:443", tls: { enabled: true, caCert: { inlineString: ${inline} } } }`),
  external('legacy', 'networking: { address: "10.0.0.9:80" }'),
);
if (good.kind === 'invalid') throw new Error(lines(good).join('\n'));
const { snapshot, secrets } = good;
const API = serverName('api{mesh=default}');
const OTHER = serverName('api{mesh=other}');

function only<Value>(map: ReadonlyMap<string, Value>, key: string): Value {
  const value = map.get(key);
  if (value === undefined) throw new Error(`no ${key}; there are ${[...map.keys()].join(' ')}`);
  return value;
}

const api = only<Route>(snapshot.routes, API) as TerminateRoute;
const cluster = only<Cluster>(snapshot.clusters, 'default:api');
const mesh = only<Mesh>(snapshot.meshes, 'default');
const [endpoint] = cluster.endpoints as [Endpoint];

function withRoute(route: object, key: ServerName = API): Snapshot {
  return { ...snapshot, routes: new Map(snapshot.routes).set(key, { ...api, ...route }) };
}

function withEndpoint(change: object): Snapshot {
  const changed = { ...cluster, endpoints: [{ ...endpoint, ...change }] };
  return { ...snapshot, clusters: new Map(snapshot.clusters).set('default:api', changed) };
}

function withMesh(change: Partial<Mesh>): Snapshot {
  return { ...snapshot, meshes: new Map(snapshot.meshes).set(mesh.name, { ...mesh, ...change }) };
}

function without<Key, Value>(map: ReadonlyMap<Key, Value>, key: Key): Map<Key, Value> {
  const copy = new Map(map);
  copy.delete(key);
  return copy;
}

const rule = (principal: object): Permission => ({
  kind: 'rules',
  by: 'x',
  rules: [{ action: 'allow', by: 'x', principal: principal as Principal }],
});
const { tls } = endpoint;
const GONE = contentHash('f'.repeat(64));

/** Hand-made: the fault, the snapshot, and what must be found. */
const BROKEN: readonly (readonly [what: string, broken: Snapshot, invariant: string, about: string])[] = [
  [
    'a route that is kept under a name in capitals',
    withRoute({}, 'API{mesh=default}' as ServerName),
    'name',
    'route:API{mesh=default}',
  ],
  ['a route in the place of another', withRoute({ serverName: serverName('legacy{mesh=default}') }), 'name', `route:${API}`],
  ['a terminating route without a permission', withRoute({ permission: undefined }), 'permission', `route:${API}`],
  ['a permission of no kind', withRoute({ permission: { kind: 'whatever', by: 'x' } }), 'permission', `route:${API}`],
  ['a rule for nobody that is known', withRoute({ permission: rule({ kind: 'header' }) }), 'permission', `route:${API}`],
  [
    'one deep inside',
    withRoute({
      permission: {
        kind: 'all-of',
        by: 'x',
        all: [
          rule({
            kind: 'and',
            all: [{ kind: 'any' }, { kind: 'not', not: { kind: 'or', any: [{ kind: 'uri', match: 'suffix' }] } }],
          }),
        ],
      },
    }),
    'permission',
    `route:${API}`,
  ],
  ['a route of no kind', withRoute({ kind: 'redirect' }), 'permission', `route:${API}`],
  [
    'a cluster that is not there',
    { ...snapshot, clusters: without(snapshot.clusters, 'default:api') },
    'cluster',
    `route:${API}`,
  ],
  ['a mesh without a certificate', { ...snapshot, meshes: new Map() }, 'mesh', 'mesh:default'],
  [
    'a cluster that serves two meshes',
    withRoute({ kind: 'passthrough', subset: {}, mesh: meshName('other'), serverName: OTHER }, OTHER),
    'one-mesh',
    'route:api{mesh=other}',
  ],
  [
    'a cluster under another name',
    { ...snapshot, clusters: new Map(snapshot.clusters).set('default:api', { ...cluster, name: 'x' }) },
    'name',
    'cluster:default:api',
  ],
  [
    'a cluster without an endpoint',
    { ...snapshot, clusters: new Map(snapshot.clusters).set('default:api', { ...cluster, endpoints: [] }) },
    'endpoints',
    'cluster:default:api',
  ],
  ['an address that is none', withEndpoint({ address: { kind: 'ip', ip: '10.0.0' } }), 'endpoint', 'cluster:default:api'],
  [
    'a name that is empty',
    withEndpoint({ address: { kind: 'name', name: '', family: 'v4' } }),
    'endpoint',
    'cluster:default:api',
  ],
  ['port 0', withEndpoint({ port: 0 }), 'endpoint', 'cluster:default:api'],
  ['a port above 65535', withEndpoint({ port: 65_536 }), 'endpoint', 'cluster:default:api'],
  ['a weight below 0', withEndpoint({ weight: -1 }), 'endpoint', 'cluster:default:api'],
  ['a weight that is no number', withEndpoint({ weight: Number.NaN }), 'endpoint', 'cluster:default:api'],
  ['half a priority', withEndpoint({ priority: 0.5 }), 'endpoint', 'cluster:default:api'],
  [
    'a CA of an endpoint that is not there',
    withEndpoint({ tls: { ...tls, trust: { kind: 'bundle', ca: GONE } } }),
    'secret',
    'cluster:default:api',
  ],
  [
    'a client certificate that is not there',
    withEndpoint({ tls: { ...tls, clientCertificate: { cert: mesh.trust, key: GONE } } }),
    'secret',
    'cluster:default:api',
  ],
  ['a CA of the mesh that is not there', withMesh({ trust: GONE }), 'secret', 'mesh:default'],
  [
    'a CA key that is not there',
    withMesh({ identity: { kind: 'issue', caCert: mesh.trust, caKey: GONE, lifetimeMs: 1 } }),
    'secret',
    'mesh:default',
  ],
  [
    'a certificate that is not there',
    withMesh({ identity: { kind: 'given', cert: GONE, key: mesh.trust } }),
    'secret',
    'mesh:default',
  ],
  ['a mesh under another name', withMesh({ name: meshName('x') }), 'name', 'mesh:default'],
];

t.test('each violation that is made by hand is found, and nothing else', async (t) => {
  t.same(violationsOf(snapshot, secrets), [], 'without one there is none');
  for (const [what, broken, invariant, about] of BROKEN) {
    const found = violationsOf(broken, secrets);
    t.same([...new Set(found.map((each) => `${each.invariant} ${each.about}`))], [`${invariant} ${about}`], what);
    t.ok(found.every(({ text }) => text.length > 10 && !text.includes(GONE)));
  }
});

t.test('a route that refuses every client needs no cluster and no certificate', async (t) => {
  const nobody = withRoute({ unsupported: 'it cannot be' });
  t.same(violationsOf({ ...nobody, clusters: without(nobody.clusters, 'default:api') }, secrets), []);
});

const SERVICES = ['api', 'Api', 'API', 'backend', 'a.b', 'a_b', 'extsvc', 'ledger_default'] as const;
const MESHES = ['default', 'other', 'default.x', 'a-b'] as const;
const mes = fc.constantFrom(...MESHES);
const svc = fc.constantFrom(...SERVICES);
const host = fc.constantFrom('ext.test', '10.0.0.1', '[fd00::1]', 'API.test');
const tags = fc.constantFrom('', ', version: v1', ', version: V2', ', kuma.io/zone: zone-2');
const port = fc.integer({ min: 1, max: 65_535 });

const documents = fc.oneof(
  fc
    .tuple(mes, svc, host, port, tags)
    .map(
      ([mesh, service, host, port, tags]) =>
        `type: ExternalService\nmesh: ${mesh}\nname: es-${service.toLowerCase()}-${port}\ntags: {kuma.io/service: ${service}${tags}}\nnetworking: {address: "${host}:${port}", tls: {enabled: ${port % 2 === 0}}}\n`,
    ),
  fc.tuple(mes, svc, host, port, fc.integer({ min: 0, max: 2 })).map(
    ([mesh, service, host, port, count]) =>
      `type: MeshExternalService\nmesh: ${mesh}\nname: ${service.toLowerCase().replaceAll('_', '-')}\nspec:\n  match: {type: HostnameGenerator, port: ${port}, protocol: tcp}\n  endpoints: [${Array<string>(
        count,
      )
        .fill(`{address: "${host.replace(/[[\]]/g, '')}", port: ${port}}`)
        .join(', ')}]\n`,
  ),
  fc
    .tuple(mes, svc, port, tags)
    .map(
      ([mesh, service, port, tags]) =>
        `type: ZoneIngress\nname: ingress-${port}\nzone: zone-2\nnetworking: {port: ${port}, advertisedAddress: 10.1.0.1, advertisedPort: ${port}}\navailableServices: [{mesh: ${mesh}, instances: ${port % 3}, tags: {kuma.io/service: ${service}${tags}}}]\n`,
    ),
  fc
    .tuple(mes, svc, svc)
    .map(
      ([mesh, from, to]) =>
        `type: TrafficPermission\nmesh: ${mesh}\nname: tp-${from.toLowerCase().replaceAll('_', '-')}\nsources: [{match: {kuma.io/service: ${from}, version: v1}}]\ndestinations: [{match: {kuma.io/service: ${to}}}]\n`,
    ),
  fc
    .tuple(mes, svc, fc.constantFrom('Allow', 'Deny', 'AllowWithShadowDeny'))
    .map(
      ([mesh, from, action]) =>
        `type: MeshTrafficPermission\nmesh: ${mesh}\nname: mtp-${from.toLowerCase().replaceAll('_', '-')}\nspec: {from: [{targetRef: {kind: MeshService, name: ${from.toLowerCase()}}, default: {action: ${action}}}]}\n`,
    ),
  fc
    .tuple(mes, svc, tags)
    .map(
      ([mesh, service, tags]) =>
        `type: TrafficRoute\nmesh: ${mesh}\nname: route-${service.toLowerCase().replaceAll('_', '-')}\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: ${service}}}]\nconf: {destination: {kuma.io/service: ${service}${tags}}}\n`,
    ),
);

const meshYaml = (name: string, isPlain: boolean): string =>
  `type: Mesh\nname: ${name}\n${isPlain ? '' : 'mtls: {enabledBackend: ca, backends: [{name: ca, type: builtin}]}\n'}routing: {zoneEgress: ${!isPlain && name !== 'a-b'}}\n`;

t.test('whatever is compiled from files violates nothing, and every route of it comes to a decision', async (t) => {
  let compiled = 0;
  let routes = 0;
  fc.assert(
    fc.property(fc.array(documents, { minLength: 1, maxLength: 14 }), fc.boolean(), (texts, isPlain) => {
      const meshes = MESHES.map((name) => meshYaml(name, isPlain && name === 'other'));
      // Two resources of one name are a separate error.
      const unique = [...new Map(texts.map((text) => [/^type.*\n(?:mesh.*\n)?name.*$/m.exec(text)?.[0], text])).values()];
      const outcome = compileTexts([EGRESS, ...meshes, ...unique]);
      if (outcome.kind === 'invalid') return true;
      compiled++;
      routes += outcome.snapshot.routes.size;
      for (const { serverName, cluster } of outcome.snapshot.routes.values()) {
        const view = assumedView(only(outcome.snapshot.clusters, cluster));
        decide(outcome.snapshot, { serverName, client: claims('spiffe://default/api', 'kuma://version/v1'), viewOf: () => view });
      }
      const [violation] = violationsOf(outcome.snapshot, outcome.secrets);
      if (violation !== undefined) throw new Error(JSON.stringify(violation));
      return true;
    }),
    { numRuns: 300 },
  );
  t.ok(compiled > 100 && routes > 200, `${compiled} zones with ${routes} routes`);
});

t.test('ten thousand routes are looked at, each', async (t) => {
  const many = 10_000;
  const routes = new Map<ServerName, Route>();
  const clusters = new Map<string, Cluster>();
  for (let i = 0; i < many; i++) {
    const name = serverName(`service-${i}{mesh=default}`);
    routes.set(name, { ...api, serverName: name, cluster: `default:service-${i}` });
    clusters.set(`default:service-${i}`, { ...cluster, name: `default:service-${i}` });
  }
  const large: Snapshot = { ...snapshot, routes, clusters };
  const known: Secrets = secrets;
  t.same(violationsOf(large, known), []);
  t.equal(violationsOf({ ...large, clusters: new Map() }, known).length, many);
});
