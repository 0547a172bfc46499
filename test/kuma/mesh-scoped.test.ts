/**
 * The recorded resources of an egress of one mesh, from files and from the control plane that was
 * recorded: one Snapshot, but for a list of reasons.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import type { Cluster } from '../../src/model/cluster.ts';
import type { Route } from '../../src/model/route.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { compile } from '../../src/resources/compile.ts';
import { readRecording } from '../../src/testing/control-plane/recording.ts';
import { acceptAssignment, acceptCluster } from '../../src/xds/accept/accept-cluster.ts';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import { acceptSecret } from '../../src/xds/accept/accept-secret.ts';
import { PROTOCOLS } from '../../src/xds/stream/protocols.ts';
import { Subscriptions } from '../../src/xds/stream/subscriptions.ts';
import { createTranslator } from '../../src/xds/translate/translate.ts';
import type { Translated } from '../../src/xds/translate/translate.ts';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { DEV } from '../data.ts';
import { ca, linesOf, snapshotOf } from '../resources/fixtures/compiling.ts';
import { authorityYaml } from '../resources/fixtures/scoped.ts';
import { compare } from './compare.ts';

/** What the control plane had its egress serve, at the start of the recording. */
async function fromControlPlane(): Promise<Translated> {
  const [stream] = await readRecording(fileURLToPath(new URL('ads/changes/', DEV)), { until: 9 });
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
  return createTranslator()(subscriptions.state, { name: 'egress-b', zone: 'zone-1', adminPort: 9_901 });
}

/** The applied resources, with the certificates that were sent in place of their names. */
function fromFiles({ snapshot, secrets }: Translated): Snapshot {
  const tls = snapshot.clusters.get('kri_extsvc_mesh-b___b-tls-mutual_9445')?.endpoints[0]?.tls;
  const pem = (hash: string | undefined): string => JSON.stringify(secrets.get(hash as never) ?? 'none');
  const texts: Readonly<Record<string, string>> = {
    __EXT_CA_STR__: pem(tls?.trust.kind === 'bundle' ? tls.trust.ca : undefined),
    __EXT_CLIENT_CRT_STR__: pem(tls?.clientCertificate?.cert),
    __EXT_CLIENT_KEY_STR__: pem(tls?.clientCertificate?.key),
  };
  const folder = new URL('resources/', DEV);
  const paths = [
    ...readdirSync(folder).filter((file) => file.endsWith('.yaml')),
    'proxies/dp-egress-b.yaml',
    'proxies/dp-frontend-b.yaml',
  ];
  const files = paths.map((path) => ({
    path,
    text: readFileSync(new URL(path, folder), 'utf8').replace(/__EXT_\w+_STR__/g, (name) => texts[name] ?? name),
  }));
  const compiled = compile([...files, { path: 'ca.yaml', text: authorityYaml('mesh-b', ca) }], { zone: 'zone-1' });
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
  { path: /\.tls\.trust\.reason: expected/, reason: 'files name the field that turns verification off' },
  { path: /healthChecks\[0\]\.probe\.headers: expected/, reason: 'the tags of the egress are a header of Kuma’s own sidecars' },
  {
    path: /^mesh-b\.(?:trust|trustDomains\[0\]\.trust|identity\..*): expected/,
    reason: 'the key of the recorded CA is not there: another CA issues here',
  },
];

const byKey = <Value>(map: ReadonlyMap<string, Value>): Readonly<Record<string, Value>> => Object.fromEntries(map);

t.test('from files and from the recorded control plane comes one Snapshot, but for a list of reasons', async (t) => {
  const controlPlane = await fromControlPlane();
  const own = fromFiles(controlPlane);
  const used = new Set<Reason>();
  const { snapshot } = controlPlane;
  const maps: readonly (readonly [unknown, unknown])[] = [
    [byKey<Route>(snapshot.routes), byKey<Route>(own.routes)],
    [byKey<Cluster>(snapshot.clusters), byKey<Cluster>(own.clusters)],
    [byKey(snapshot.meshes), byKey(own.meshes)],
  ];
  t.equal(snapshot.routes.size, 17);
  for (const [expected, got] of maps) {
    const { differences } = compare(expected, got);
    const unexplained = differences.filter((line) => {
      const found = REASONS.find(({ path }) => path.test(line.replace(/^\["mesh-b"\]/, 'mesh-b')));
      if (found !== undefined) used.add(found);
      return found === undefined;
    });
    t.same(unexplained, []);
  }
  t.same([...own.routes.keys()].sort(), [...snapshot.routes.keys()].sort());
  t.same([...own.clusters.keys()].sort(), [...snapshot.clusters.keys()].sort());
  t.same(
    REASONS.filter((reason) => !used.has(reason)).map(({ reason }) => reason),
    [],
    'each reason explains something',
  );
});

const NAMES = ['frontend', 'other', 'egress-b'].map((name) => `spiffe://mesh-b.zone-1.mesh.local/workload/${name}`);
const CLIENTS = [...NAMES, 'spiffe://mesh-b.zone-1.mesh.local/ns/x', 'spiffe://mesh-b.zone-2.mesh.local/workload/frontend'];

t.test('both let in the same clients', async (t) => {
  const { decide } = await import('../../src/routing/decide.ts');
  const controlPlane = await fromControlPlane();
  const own = fromFiles(controlPlane);
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
});

const VIEW = { turn: 0, names: new Map(), ownListeners: [], localAddresses: new Set(), allowedResolved: [], draw: 0 };
