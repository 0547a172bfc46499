/** Clusters of control planes, and those that files of the same zone give. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import type { Registry } from '@bufbuild/protobuf';
import t from 'tap';
import type { Cluster, Endpoint } from '../../src/model/cluster.ts';
import type { Secrets } from '../../src/model/snapshot.ts';
import { compile } from '../../src/resources/compile.ts';
import { translateCluster } from '../../src/xds/translate/translate-cluster.ts';
import type { TranslatedCluster } from '../../src/xds/translate/translate-cluster.ts';
import { adsResources } from '../kuma/ads-state.ts';
import { compare } from '../kuma/compare.ts';
import { goldenResources, readResources } from '../kuma/from-envoy.ts';
import type { Named } from '../kuma/from-envoy.ts';
import { clusterModel } from '../kuma/from-snapshot.ts';
import { liveZone } from '../kuma/live-zone.ts';
import type { Change } from '../kuma/live-zone.ts';
import { ca, linesOf, withIdentities } from '../resources/fixtures/compiling.ts';
import { KUMA, LIVE, withKuma } from '../data.ts';
import { acceptedClusters, clustersAfter } from './recorded-clusters.ts';
import type { AcceptedCluster } from './recorded-clusters.ts';
import { everyMessage } from './registry.ts';

const registry: Registry = await everyMessage();
const SOTW = new URL('ads/sotw/', LIVE);
const UNVERIFIED =
  'its TLS is encrypted, but the certificate of the service is not verified: the control plane sends no CA for it';

interface Zone {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly secrets: Secrets;
}

function ownZone(change: Change): Zone {
  const compiled = compile(liveZone(change), withIdentities);
  if (compiled.kind === 'invalid') throw new Error(linesOf(compiled, 'error').join());
  return { clusters: compiled.snapshot.clusters, secrets: compiled.secrets };
}

function translate({ cluster, assignment }: AcceptedCluster): TranslatedCluster {
  return translateCluster({ cluster, assignment, secret: () => undefined });
}

/** The field of the resource that left verification out is not sent. */
const REASON = /\.tls\.trust\.reason: expected ".+", got "the control plane sends no CA for it"$/;

function differences(sent: ReadonlyMap<string, AcceptedCluster>, own: Zone): readonly string[] {
  const lines: string[] = [];
  for (const [name, item] of sent) {
    const { cluster, secrets, unusable } = translate(item);
    const found = compare(sorted(own.clusters.get(name)), sorted(cluster), name);
    lines.push(...found.differences.filter((line) => !REASON.test(line)), ...found.notBuilt);
    if (unusable !== undefined) lines.push(`${name} is unusable: ${unusable}`);
    for (const [hash, text] of secrets) if (own.secrets.get(hash) !== text) lines.push(`${name}: another secret`);
  }
  for (const name of own.clusters.keys()) if (!sent.has(name)) lines.push(`${name}: not sent`);
  return lines;
}

/** Control planes do not agree on the order. */
function sorted(cluster: Cluster | undefined): object {
  const key = ({ address, port }: Endpoint): string => JSON.stringify([address, port]);
  const endpoints = cluster?.endpoints.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
  return { ...cluster, endpoints };
}

const GREEN = 'scenarios/tp-team-green.yaml';
const TWO = { zone: 'zone-2', mesh: 'default', service: 'backend', version: 'v2', instances: 2 } as const;
const EXTRA = { zone: 'zone-2', mesh: 'default', service: 'extra', instances: 1 } as const;

/**
 * The changes of the recording that concern clusters, each with the number of the last message that
 * it caused.
 */
const HISTORY: readonly (readonly [what: string, until: number, change: Change])[] = [
  ['the first configuration', 12, {}],
  ['a new ExternalService', 18, { scenarios: ['scenarios/es-new.yaml'] }],
  ['that one deleted', 24, {}],
  ['a second instance in another zone', 28, { scenarios: [GREEN], offered: [TWO] }],
  ['a new service in another zone', 37, { scenarios: [GREEN], offered: [EXTRA] }],
  ['a MeshHealthCheck', 48, { scenarios: [GREEN, 'scenarios/mhc-mes-lb.yaml'] }],
  ['a new mesh', 73, { scenarios: [GREEN, 'scenarios/mesh-rot.yaml'] }],
];

for (const [what, until, change] of HISTORY) {
  t.test(`${what}: each cluster is the value that the files give, with the same secrets`, async (t) => {
    const sent = clustersAfter(SOTW, until, registry);
    t.ok(sent.size >= 42, `${sent.size} clusters`);
    t.same(differences(sent, ownZone(change)), []);
  });
}

t.test('several health checks of a cluster are all used, with a remark; equal ones count as one', async (t) => {
  const sent = clustersAfter(SOTW, 48, registry).get('default_mes-lb___extsvc_9101')!;
  t.equal(sent.cluster.healthChecks.length, 33, 'one more for each mesh, each time');
  t.match(sent.remarks, [/^it has 33 health checks, which Envoy refuses/]);
  t.equal(translate(sent).cluster.healthChecks?.length, 1);
  const [check] = sent.cluster.healthChecks;
  const healthChecks = [check!, { ...check!, unhealthyThreshold: 9 }];
  t.equal(translate({ ...sent, cluster: { ...sent.cluster, healthChecks } }).cluster.healthChecks?.length, 2);
});

t.test('each cluster with TLS and no verification is reported, and no other', async (t) => {
  const said = [...clustersAfter(SOTW, 12, registry)].flatMap(([name, item]) => {
    const { remarks } = translate(item);
    return remarks.length === 0 ? [] : [[name, remarks]];
  });
  t.same(Object.fromEntries(said), {
    'default:es-tls-noca': [UNVERIFIED],
    'default_mes-tls-skipall___extsvc_9444': [UNVERIFIED],
    'default_mes-tls-skipca___extsvc_9445': [UNVERIFIED],
  });
});

const SYSTEM = 'default_mes-tls-system___extsvc_9447';

/**
 * Neither applied the policies of the recorded zone to its egress; the priority of an endpoint is
 * newer than both.
 */
const OLDER: readonly (readonly [version: string, differences: readonly RegExp[]])[] = [
  ['2.12.14', [/mes-prio___extsvc_9100.*priority: expected 1, got 0$/]],
  [
    '2.9.19',
    [
      /mes-prio___extsvc_9100.*priority: expected 1, got 0$/,
      /mes-tls-system___extsvc_9447.*\.trust\.kind: expected "system", got "none"$/,
      /mes-tls-system___extsvc_9447.*\.trust\.reason: expected nothing, got "the control plane sends no CA for it"$/,
      /mes-tls-system___extsvc_9447.*\.names: expected \[.*\], got null$/,
    ],
  ],
];

for (const [version, expected] of OLDER) {
  t.test(`${version} had the same clusters, but for what Kuma has changed since`, async (t) => {
    const sent = clustersAfter(new URL(`versions/${version}/ads/initial/`, LIVE), Infinity, registry);
    const found = differences(sent, ownZone({ without: '60-policies.yaml' }));
    t.match(found, expected);
    t.equal(found.length, expected.length);
    const { remarks } = translate(sent.get(SYSTEM)!);
    t.same(remarks, version === '2.9.19' ? [UNVERIFIED] : [], 'a MeshExternalService that a 2.9 leaves unverified is warned of');
  });
}

/** Kuma's unit tests have a text that is no certificate. */
const PEM = Buffer.from(ca.cert).toString('base64');

/** Envoy as a client stops at 1.2; the same check of several meshes is one. */
const ON_PURPOSE = /\.tls\.maxVersion: expected "TLSv1.2", got "TLSv1.3"$|\.healthChecks\[[1-9]\d*\]: expected .*, got nothing$/;

/** Differences to another reader of Envoy's configuration, made for tests. */
function otherwise(resources: readonly Named[], sent: ReadonlyMap<string, AcceptedCluster>): readonly string[] {
  const { clusters } = readResources(resources);
  return [...sent].flatMap(([name, item]) => {
    const { cluster, secrets, remarks, unusable } = translate(item);
    const { differences: lines } = compare(clusters[name], clusterModel(cluster, secrets), name);
    const more = remarks.filter((remark) => remark !== UNVERIFIED).map((remark) => `${name}: ${remark}`);
    return [
      ...lines.filter((line) => !ON_PURPOSE.test(line)),
      ...more,
      ...(unusable === undefined ? [] : [`${name}: ${unusable}`]),
    ];
  });
}

t.test('nothing of the clusters of Kuma’s golden files is lost', withKuma, async (t) => {
  let clusters = 0;
  for (const path of globSync(['egress/golden/*.yaml', 'policies/*.yaml', 'zone-proxy-listener/*.yaml'], { cwd: KUMA })) {
    const resources = goldenResources(readFileSync(new URL(path, KUMA), 'utf8').replaceAll(': eHl6', `: ${PEM}`));
    const sent = acceptedClusters(resources, registry);
    t.same(otherwise(resources, sent), [], path);
    clusters += sent.size;
  }
  t.equal(clusters, 20);
});

t.test('nor is anything of the clusters of the recording, whatever was changed', async (t) => {
  let responses = 0;
  for (let until = 2; until <= 82; until++) {
    if (!existsSync(new URL(`${String(until).padStart(3, '0')}-response-cds.json`, SOTW))) continue;
    const resources = adsResources(SOTW, until);
    t.same(otherwise(resources, acceptedClusters(resources, registry)), [], `after message ${until}`);
    responses++;
  }
  t.equal(responses, 13);
});

interface Difference {
  readonly path: string;
  readonly sotw?: unknown;
  readonly variant?: unknown;
}

t.test('to a proxy that asks for other names for things, the same clusters are sent, with other names', async (t) => {
  const text = readFileSync(new URL('ads/variants/unified-naming/differences.json', LIVE), 'utf8');
  const resources = (JSON.parse(text) as readonly Difference[]).flatMap(({ path, variant }) => {
    const name = /^\/cds\/([^/]+)$/.exec(path)?.[1];
    // Only the presence of certificates was kept.
    const isWhole = variant !== undefined && !JSON.stringify(variant).includes('"(long)"');
    return name === undefined || !isWhole ? [] : [{ name, resource: variant }];
  });
  const sent = acceptedClusters(resources, registry);
  t.equal(sent.size, 10);
  t.same(otherwise(resources, sent), []);
  const { clusters } = ownZone({});
  for (const [name, item] of sent) {
    const [, mesh = '', service = '', port = ''] = /^kri_extsvc_(.*)___(.*)_(\d+)$/.exec(name) ?? [];
    const own = clusters.get(`${mesh}_${service}___extsvc_${port}`)!;
    const found = compare(sorted({ ...own, name }), sorted(translate(item).cluster), name).differences;
    t.same(
      found.filter((line) => !REASON.test(line)),
      [],
      name,
    );
  }
});
