/**
 * Accepts and translates what real control planes sent to the egress of one mesh, message by
 * message.
 */
import { fileURLToPath } from 'node:url';
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { readRecording } from '../../src/testing/control-plane/recording.ts';
import { acceptAssignment, acceptCluster } from '../../src/xds/accept/accept-cluster.ts';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import { acceptSecret } from '../../src/xds/accept/accept-secret.ts';
import { PROTOCOLS } from '../../src/xds/stream/protocols.ts';
import type { Finding } from '../../src/xds/stream/subscriptions.ts';
import { Subscriptions } from '../../src/xds/stream/subscriptions.ts';
import { createTranslator } from '../../src/xds/translate/translate.ts';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { DEV, LIVE } from '../data.ts';

interface Heard {
  readonly findings: readonly Finding[];
  /** For each mark of the recording, the live snapshot before it. */
  readonly before: ReadonlyMap<string, Snapshot>;
  readonly last: Snapshot;
}

async function hear(base: URL, path: string): Promise<Heard> {
  const recording = await readRecording(fileURLToPath(new URL(path, base)));
  const [first] = recording;
  const accept = {
    cluster: acceptCluster,
    endpoint: acceptAssignment,
    listener: (any: Parameters<typeof acceptListener>[0]) => acceptListener(any),
    secret: acceptSecret,
  };
  const subscriptions = new Subscriptions(create(NodeSchema, { id: 'mesh-b.egress-b' }), accept, PROTOCOLS[first!.protocol]);
  const translate = createTranslator();
  const findings: Finding[] = [];
  const before = new Map<string, Snapshot>();
  const live = (): Snapshot => translate(subscriptions.state, { name: 'egress-b', zone: 'zone-1', adminPort: 9_901 }).snapshot;
  for (const { protocol, events } of recording) {
    subscriptions.on({ kind: 'opened', now: 0 });
    for (const event of events) {
      if (event.kind === 'mark') before.set(event.text, live());
      if (event.kind !== 'response') continue;
      const answer = PROTOCOLS[protocol].read(event.bytes);
      findings.push(...subscriptions.on({ kind: 'answer', answer, now: 0, wall: 0 }).findings);
    }
    subscriptions.on({ kind: 'ended' });
  }
  return { findings, before, last: live() };
}

const domains = ({ meshes }: Snapshot): readonly (readonly string[])[] =>
  [...meshes.values()].map(({ trustDomains = [] }) => trustDomains.map(({ name }) => name));

const ZONE_1 = 'mesh-b.zone-1.mesh.local';
const ZONE_2 = 'mesh-b.zone-2.mesh.local';

t.test('3.0 over delta, 690 s: nothing is refused, and each change arrives', async (t) => {
  const { findings, before, last } = await hear(DEV, 'ads/changes/');
  t.same(
    findings.filter(({ kind }) => kind !== 'tolerated'),
    [],
  );
  const at = (text: RegExp): Snapshot => [...before].find(([mark]) => text.test(mark))![1];
  const first = at(/b-tcp allowed for workload\/other/);
  t.equal(first.routes.size, 17);
  t.same(domains(first), [[ZONE_1]]);
  t.equal(
    at(/^MeshTrafficPermission mtp-b deleted/).version,
    first.version,
    'a permission that is as before is the same Snapshot',
  );
  t.ok(
    [...at(/^mtp-b again/).routes.values()].every(
      ({ kind, ...route }) => kind === 'terminate' && 'permission' in route && route.permission.kind === 'deny-all',
    ),
    'without a permission nothing is allowed',
  );
  t.ok(at(/second endpoint/).clusters.has('kri_extsvc_mesh-b___b-new_9005'));
  t.equal(at(/b-new deleted/).clusters.get('kri_extsvc_mesh-b___b-new_9005')?.endpoints.length, 2);
  t.same(domains(at(/trust-zone-2 deleted/)), [[ZONE_1, ZONE_2]]);
  t.equal(at(/^b-tcp again/).routes.size, 0, 'the last service is gone');
  t.equal(at(/MeshIdentity again/).meshes.size, 0);
  t.same(
    first.clusters.get('kri_extsvc_mesh-b___b-prio_9100')?.endpoints.map(({ priority }) => priority),
    [0, 1, 2],
    'priorities are kept',
  );
  const fault = [...first.routes.values()].filter((route) => 'http' in route && JSON.stringify(route.http).includes('faults'));
  t.same(
    fault.map(({ destination }) => destination),
    ['b-http-fault'],
    'the fault of a server name is that of its route alone',
  );
  t.equal(last.routes.size, 17);
});

t.test('2.14.3, the state of the world: nothing is refused, and each change arrives', async (t) => {
  const { findings, before, last } = await hear(LIVE, 'mesh-scoped/ads/');
  t.same(
    findings.filter(({ kind }) => kind !== 'tolerated'),
    [],
  );
  t.ok(before.size > 10);
  const [, first] = [...before].find(([, { routes }]) => routes.size > 0)!;
  t.same(domains(first), [[ZONE_1]]);
  t.ok(
    [...before.values()].some((snapshot) => domains(snapshot)[0]?.includes(ZONE_2)),
    'another trust domain comes',
  );
  t.ok(
    [...before.values()].some(({ routes }) => routes.size === 0),
    'and the last service goes',
  );
  t.ok(last.routes.size > 0);
});
