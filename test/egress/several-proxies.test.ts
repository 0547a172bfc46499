// One process that has joined a control plane as the Dataplanes of several meshes: each is served,
// none stops another one, and none can be reached with what another one has.
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { Test } from 'tap';
import type { ProxyRoster, RosterEntry } from '../../src/egress.ts';
import { serverName } from '../../src/model/names.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { joining } from './controlled-zone.ts';
import { dataplaneOf, joiningMesh, startJoined } from './joined-zone.ts';
import type { JoinedZone } from './joined-zone.ts';
import { FAR_MS, until } from './until.ts';
import { ask, gone } from './zone.ts';

const MESHES = ['mesh-a', 'mesh-b', 'mesh-c'];

interface Shown {
  readonly id: string;
  readonly state: string;
  readonly sentence: string;
}

async function get(port: number, path: string): Promise<{ readonly status: number; readonly body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  request({ host: '127.0.0.1', port, path, agent: false }, (response) => {
    text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
  })
    .on('error', reject)
    .end();
  return promise;
}

async function dataplanes(zone: JoinedZone): Promise<ReadonlyMap<string, Shown>> {
  const { body } = await get(zone.egress.adminPort, '/dataplanes');
  const { dataplanes: all } = JSON.parse(body) as { readonly dataplanes: readonly Shown[] };
  return new Map(all.map((one) => [one.id, one]));
}

const WITH_ADMIN = { admin: { port: 0 }, readiness: { bind: '127.0.0.1', port: 0 } } as const;

/** A list of proxies that a test changes. */
function changing(entries: readonly RosterEntry[]): ProxyRoster & { set(next: readonly RosterEntry[]): void } {
  let now = entries;
  let tell: (() => void) | null = null;
  return {
    about: 'a list of the test',
    read: () => Promise.resolve({ entries: now, problems: [] }),
    watch(changed) {
      tell = changed;
      return () => void (tell = null);
    },
    set(next) {
      now = next;
      tell?.();
    },
  };
}

t.test('each mesh on the shared port is served with its own certificate, to its own clients', async (t) => {
  await using zone = await startJoined(t, { meshes: MESHES, egress: WITH_ADMIN });
  t.equal(zone.controlPlane.streams, 3, 'each has a stream of its own');
  t.equal(zone.egress.listeners.length, 1, 'they share one place');
  for (const mesh of zone.meshes) {
    const socket = await zone.connect(mesh.sni, mesh.client('frontend'));
    t.equal(socket.getPeerCertificate().subjectaltname, `URI:spiffe://${mesh.domain}/workload/egress`, mesh.name);
    t.equal(await ask(socket, mesh.name), mesh.name);
    t.equal(mesh.service.connections(), 1);
  }
  const shown = await dataplanes(zone);
  t.same([...shown.keys()], ['mesh-a.egress', 'mesh-b.egress', 'mesh-c.egress']);
  t.match(shown.get('mesh-b.egress'), {
    state: 'live',
    sentence: 'the Dataplane serves 3 routes, and the control plane answers',
  });
  const { body: table } = await get(zone.egress.adminPort, '/routes?output=table');
  for (const { name, sni, domain } of zone.meshes) {
    t.match(table, new RegExp(`\\b${name}\\b`), 'the routes of each are listed');
    const question = (from: string) => `/explain?output=text&sni=${sni}&from=${encodeURIComponent(from)}`;
    t.match(await get(zone.egress.adminPort, question(`spiffe://${domain}/workload/frontend`)), {
      status: 200,
      body: /passes|PASS/i,
    });
    const stranger = await get(zone.egress.adminPort, question('spiffe://mesh-z.zone-1.mesh.local/workload/frontend'));
    t.match(stranger, { status: 200, body: /wrong-mesh/ });
  }
  const metrics = await zone.egress.metrics();
  for (const { name } of zone.meshes)
    t.ok(metrics.includes(`zone_egress_control_plane_connected{mesh="${name}",dataplane="egress"} 1`), name);
  t.match(await get(zone.egress.readinessPort, '/ready'), { status: 200, body: 'LIVE\n' });
  t.match(await get(zone.egress.readinessPort, '/ready?dataplane=mesh-c.egress'), { status: 200, body: 'LIVE\n' });
  t.match(await get(zone.egress.readinessPort, '/ready?dataplane=mesh-d.egress'), { status: 404 });
});

t.test('nothing of one mesh opens another one: no certificate, no name, no permission', async (t) => {
  await using zone = await startJoined(t, { meshes: MESHES });
  for (const mesh of zone.meshes) {
    for (const other of zone.meshes.filter((each) => each !== mesh)) {
      for (const [client, reason] of [
        [other.client('frontend'), 'wrong-mesh'],
        [other.ca.issue({ uris: [`spiffe://${mesh.domain}/workload/frontend`] }), 'client-not-trusted'],
      ] as const) {
        const before = zone.records.length;
        await zone.connect(mesh.sni, client).then(gone, () => undefined);
        await until('it is recorded', () => zone.records.length > before);
        t.match(zone.records.at(-1), { reason, mesh: mesh.name }, `${other.name} to ${mesh.name}`);
      }
    }
    const before = zone.records.length;
    await gone(await zone.connect(mesh.sni, mesh.client('other')));
    await until('it is denied', () => zone.records.length > before);
    t.match(zone.records.at(-1), { reason: 'denied', mesh: mesh.name });
  }
  t.ok(zone.meshes.every(({ service }) => service.connections() === 0));
});

t.test('a session that one mesh has set up cannot be resumed in another one', async (t) => {
  await using zone = await startJoined(t, { meshes: ['mesh-a', 'mesh-b'] });
  const [a, b] = zone.meshes;
  const first = await zone.connect(a!.sni, a!.client('frontend'));
  t.equal(await ask(first, 'ping'), 'ping');
  const session = first.getSession();
  const before = zone.records.length;
  await zone
    .connect(b!.sni, a!.client('frontend'), { ...(session === undefined ? {} : { session }) })
    .then(gone, () => undefined);
  await until('it is refused', () => zone.records.length > before);
  t.equal(zone.records.at(-1)?.reason, 'wrong-mesh');
  t.equal(b!.service.connections(), 0);
});

t.test('one that the control plane refuses stops no other, and joins once it is let in', async (t) => {
  await using zone = await startJoined(t, {
    meshes: MESHES,
    egress: WITH_ADMIN,
    before: (controlPlane) =>
      controlPlane.refuseAuth(
        'authentication failed: could not parse token: token signature is invalid: crypto/rsa: verification error',
        { of: 'mesh-b.egress' },
      ),
  });
  const [a, b] = zone.meshes;
  t.equal(await ask(await zone.connect(a!.sni, a!.client('frontend')), 'ping'), 'ping');
  await until('it is refused', async () => (await dataplanes(zone)).get('mesh-b.egress')?.state === 'refused');
  const refused = (await dataplanes(zone)).get('mesh-b.egress');
  t.equal(refused?.state, 'refused');
  t.match(
    refused?.sentence,
    /^the Dataplane cannot join: .*kumactl generate dataplane-token --mesh mesh-b .*; this is tried again$/,
  );
  t.match(await get(zone.egress.adminPort, '/config_errors'), { body: /control plane \(mesh-b\.egress\)/ });
  t.match(await get(zone.egress.readinessPort, '/ready'), { status: 200 }, 'the others are served');
  t.match(await get(zone.egress.readinessPort, '/ready?dataplane=mesh-b.egress'), { status: 503, body: 'PRE_INITIALIZING\n' });
  t.ok(
    zone.log.some(({ mesh, dataplane, msg }) => mesh === 'mesh-b' && dataplane === 'egress' && /refuses/.test(String(msg))),
    'the line of the log names it',
  );
  zone.controlPlane.refuseAuth(null, { of: 'mesh-b.egress' });
  await until('it is live', () => zone.egress.snapshot().routes.has(serverName(b!.sni)));
  t.equal(await ask(await zone.connect(b!.sni, b!.client('frontend')), 'ping'), 'ping');
});

t.test('one whose bootstrap is refused stops no other, and is tried again when its file changes', async (t) => {
  const roster = changing([]);
  await using zone = await startJoined(t, {
    meshes: ['mesh-a', 'mesh-b'],
    egress: WITH_ADMIN,
    proxies(controlPlane) {
      const bad = { resource: JSON.stringify(dataplaneOf('mesh-b', 'egress', 0)) };
      roster.set([
        { controlPlane: joiningMesh(controlPlane, 'mesh-a') },
        { controlPlane: joiningMesh(controlPlane, 'mesh-b', bad) },
      ]);
      return roster;
    },
  });
  const [a, b] = zone.meshes;
  t.equal(await ask(await zone.connect(a!.sni, a!.client('frontend')), 'ping'), 'ping');
  await until('it is refused', async () => (await dataplanes(zone)).get('mesh-b.egress')?.state === 'refused');
  const refused = (await dataplanes(zone)).get('mesh-b.egress');
  t.match(refused, { state: 'refused', sentence: /refused the bootstrap \(422\): networking\.port: port must be in the range/ });
  t.ok(zone.log.some(({ mesh, level }) => mesh === 'mesh-b' && level === 'error'));
  roster.set([
    { controlPlane: joiningMesh(zone.controlPlane, 'mesh-a') },
    { controlPlane: joiningMesh(zone.controlPlane, 'mesh-b') },
  ]);
  await until('it is live', () => zone.egress.snapshot().routes.has(serverName(b!.sni)));
  t.equal(await ask(await zone.connect(b!.sni, b!.client('frontend')), 'ping'), 'ping');
  t.equal(
    zone.controlPlane.requests.filter(({ nodeId }) => nodeId === 'mesh-a.egress').length,
    1,
    'the other one did not join anew',
  );
});

t.test('where none of them can join, the start fails with the reason of each', async (t) => {
  const starting = startJoined(t, {
    meshes: [],
    proxies: (controlPlane) =>
      MESHES.map((mesh) => joiningMesh(controlPlane, mesh, { resource: JSON.stringify(dataplaneOf(mesh, 'egress', 0)) })),
  });
  await t.rejects(starting, {
    message: /none of the 3 proxies can join.*\n {2}mesh-a\.egress: .*422.*\n {2}mesh-b\.egress: .*\n {2}mesh-c\.egress: /,
  });
});

t.test('a token that changes is tried at once', async (t) => {
  const roster = changing([]);
  let token = 'other';
  const entry = (controlPlane: JoinedZone['controlPlane'], mesh: string): RosterEntry => ({
    controlPlane: joiningMesh(controlPlane, mesh, { token: () => Promise.resolve(mesh === 'mesh-b' ? token : good) }),
    tokenMark: mesh === 'mesh-b' ? token : '',
  });
  let good = '';
  await using zone = await startJoined(t, {
    meshes: ['mesh-a', 'mesh-b'],
    egress: WITH_ADMIN,
    fake: { authentication: 'zoneToken' },
    async before(controlPlane) {
      good = await controlPlane.dataplaneTokens.issue({ mesh: 'mesh-a', workload: 'egress' });
      // The key of the mesh exists, and another mesh has signed the token.
      await controlPlane.dataplaneTokens.issue({ mesh: 'mesh-b', workload: 'egress' });
      token = good;
    },
    proxies(controlPlane) {
      roster.set([entry(controlPlane, 'mesh-a'), entry(controlPlane, 'mesh-b')]);
      return roster;
    },
  });
  await until('it is refused', async () => (await dataplanes(zone)).get('mesh-b.egress')?.state === 'refused');
  t.match((await dataplanes(zone)).get('mesh-b.egress'), { sentence: /token signature is invalid/ });
  token = await zone.controlPlane.dataplaneTokens.issue({ mesh: 'mesh-b', workload: 'egress' });
  roster.set([entry(zone.controlPlane, 'mesh-a'), entry(zone.controlPlane, 'mesh-b')]);
  await until('it is live', () => zone.egress.snapshot().routes.has(serverName(zone.meshes[1]!.sni)));
});

t.test('a drain ends the stream of each proxy, serves what they had, and joins no other', async (t) => {
  const roster = changing([]);
  await using zone = await startJoined(t, {
    meshes: ['mesh-a', 'mesh-b'],
    egress: WITH_ADMIN,
    proxies(controlPlane) {
      controlPlane.refuseAuth('not yet', { of: 'mesh-c.egress' });
      roster.set(['mesh-a', 'mesh-b', 'mesh-c'].map((mesh) => ({ controlPlane: joiningMesh(controlPlane, mesh) })));
      return roster;
    },
  });
  const { controlPlane, egress, meshes } = zone;
  await until('both serve', () => meshes.every(({ sni }) => egress.snapshot().routes.has(serverName(sni))));
  const { done, hurry } = egress.drain(FAR_MS);
  await until('the control plane counts none of them', () => controlPlane.proxies.length === 0);
  const requests = controlPlane.requests.length;
  controlPlane.refuseAuth(null, { of: 'mesh-c.egress' });
  roster.set(['mesh-a', 'mesh-d'].map((mesh) => ({ controlPlane: joiningMesh(controlPlane, mesh) })));
  for (const mesh of meshes) {
    const late = await zone.connect(mesh.sni, mesh.client('frontend'));
    t.equal(await ask(late, 'late'), 'late');
    late.end();
  }
  t.match((await dataplanes(zone)).get('mesh-a.egress')?.sentence, /: the egress drains and has left the control plane$/);
  t.equal(controlPlane.requests.length, requests, 'none joins again, and no new one');
  hurry();
  await done;
});

t.test('a proxy that comes or goes costs no session of another one, and is drained', async (t) => {
  const roster = changing([]);
  await using zone = await startJoined(t, {
    meshes: ['mesh-a', 'mesh-b'],
    egress: { ...WITH_ADMIN, traffic: { drainTimeMs: 100 } },
    proxies(controlPlane) {
      roster.set([{ controlPlane: joiningMesh(controlPlane, 'mesh-a') }]);
      return roster;
    },
  });
  const [a, b] = zone.meshes;
  const entries = ['mesh-a', 'mesh-b'].map((mesh) => ({
    controlPlane: joiningMesh(zone.controlPlane, mesh, { drainTimeMs: 100 }),
  }));
  const staying = await zone.connect(a!.sni, a!.client('frontend'));
  t.equal(await ask(staying, 'before'), 'before');
  roster.set(entries);
  await until('it has come', () => zone.egress.snapshot().routes.has(serverName(b!.sni)));
  const leaving = await zone.connect(b!.sni, b!.client('frontend'));
  t.equal(await ask(leaving, 'ping'), 'ping');
  roster.set(entries.slice(0, 1));
  await until('its stream has ended', () => zone.controlPlane.streams === 1);
  await gone(leaving);
  await until('its routes are gone', () => !zone.egress.snapshot().routes.has(serverName(b!.sni)));
  t.same([...(await dataplanes(zone)).keys()], ['mesh-a.egress']);
  t.notMatch(await zone.egress.metrics(), /zone_egress_control_plane_connected\{mesh="mesh-b"/);
  t.equal(await ask(staying, 'after'), 'after');
  roster.set(entries);
  await until('it is back', () => zone.egress.snapshot().routes.has(serverName(b!.sni)));
  t.equal(await ask(await zone.connect(b!.sni, b!.client('frontend')), 'again'), 'again');
  t.equal(await ask(staying, 'still'), 'still');
});

t.test('each Dataplane may have a port of its own, and the others stay open when the first one goes', async (t) => {
  const ports = [await freePort(), await freePort()];
  const roster = changing([]);
  await using zone = await startJoined(t, {
    meshes: ['mesh-a', 'mesh-b'],
    egress: { port: undefined as never },
    before: (controlPlane, meshes) =>
      meshes.forEach((mesh, i) => controlPlane.set(mesh.resources(ports[i]), { of: `${mesh.name}.egress` })),
    proxies(controlPlane) {
      roster.set(['mesh-a', 'mesh-b'].map((mesh) => ({ controlPlane: joiningMesh(controlPlane, mesh, { drainTimeMs: 0 }) })));
      return roster;
    },
  });
  const [a, b] = zone.meshes;
  await until('both are open', () => zone.egress.listeners.length === 2);
  t.same(
    zone.egress.listeners.map(({ name, port }) => [name, port]),
    [
      ['mesh-a.egress', ports[0]],
      ['mesh-b.egress', ports[1]],
    ],
  );
  t.equal(await ask(await zone.connect(a!.sni, a!.client('frontend'), { port: ports[0] }), 'a'), 'a');
  roster.set([{ controlPlane: joiningMesh(zone.controlPlane, 'mesh-b') }]);
  await until('its place is closed', () => zone.egress.listeners.length === 1);
  t.equal(zone.egress.port, ports[1]);
  t.equal(await ask(await zone.connect(b!.sni, b!.client('frontend'), { port: ports[1] }), 'b'), 'b');
  t.equal(zone.log.filter(({ msg }) => msg === 'the listener for clients is open').length, 2, 'none was opened twice');
});

t.test('a ZoneEgress beside the Dataplanes: each has its own identity and trust on one port', async (t) => {
  const legacy = await createTestMesh('mesh-a', { keyType: 'ec' });
  await using zone = await startJoined(t, {
    meshes: ['mesh-a', 'mesh-b'],
    egress: WITH_ADMIN,
    fake: { version: '2.14', delta: true },
    before(controlPlane, [a]) {
      const external = { legacy: { address: '127.0.0.1', port: a!.service.port, allow: ['frontend'] } };
      controlPlane.set(fakeConfiguration({ address: '127.0.0.1', port: 10_002, meshes: [legacy], external }), {
        of: '.egress-1',
      });
    },
    proxies: (controlPlane) => [
      joining(controlPlane, controlPlane.tokens.issue()),
      joiningMesh(controlPlane, 'mesh-a'),
      joiningMesh(controlPlane, 'mesh-b'),
    ],
  });
  const [a, b] = zone.meshes;
  await until('all have joined', () => zone.egress.snapshot().meshes.size === 3);
  t.same([...(await dataplanes(zone)).keys()], ['egress-1', 'mesh-a.egress', 'mesh-b.egress']);
  t.same([...zone.egress.snapshot().meshes.keys()].sort(), ['mesh-a', 'mesh-a (MeshIdentity)', 'mesh-b (MeshIdentity)']);
  const old = [...zone.egress.snapshot().routes.values()].find(({ destination }) => destination === 'legacy')!;
  const socket = await zone.connect(old.serverName, legacy.client('frontend'));
  t.match(socket.getPeerCertificate().subjectaltname, /^URI:spiffe:\/\/mesh-a\/zone-egress/);
  t.equal(await ask(socket, 'old'), 'old');
  for (const mesh of [a!, b!]) t.equal(await ask(await zone.connect(mesh.sni, mesh.client('frontend')), 'new'), 'new');
  // A client of the other identity of the same mesh.
  for (const [sni, client, reason] of [
    [old.serverName, a!.client('frontend'), 'wrong-mesh'],
    [a!.sni, legacy.client('frontend'), 'client-not-trusted'],
  ] as const) {
    const before = zone.records.length;
    await zone.connect(sni, client).then(gone, () => undefined);
    await until('it is refused', () => zone.records.length > before);
    t.match(zone.records.at(-1), { reason, mesh: 'mesh-a' });
  }
});

t.test(
  'what one control plane sends wrong for one Dataplane changes nothing of the others, nor what was live of it',
  async (t) => {
    await using zone = await startJoined(t, { meshes: ['mesh-a', 'mesh-b'], egress: WITH_ADMIN });
    const [a, b] = zone.meshes;
    const { listeners } = a!.resources();
    const bad = JSON.parse(JSON.stringify(listeners)) as (JsonObject & { filterChains: JsonObject[] })[];
    // Envoy refuses two chains for the same server name.
    for (const { filterChains } of bad) filterChains.push(filterChains[0]!);
    zone.controlPlane.set({ listeners: bad }, { of: 'mesh-a.egress' });
    await zone.controlPlane.waitFor(({ error }) => error !== null);
    const metrics = await zone.egress.metrics();
    t.match(metrics, /zone_egress_control_plane_refused\{type="listener",mesh="mesh-a",dataplane="egress"\} 1/);
    t.notMatch(metrics, /zone_egress_control_plane_refused\{type="listener",mesh="mesh-b",dataplane="egress"\} 1/);
    for (const mesh of [a!, b!])
      t.equal(await ask(await zone.connect(mesh.sni, mesh.client('frontend')), 'ping'), 'ping', mesh.name);
  },
);

t.test('a bad token or label of one Dataplane: each has a sentence with what to do, and the others are served', async (t) => {
  const cases: readonly {
    readonly what: string;
    /** Absent means a zone token. */
    readonly token?: Partial<Parameters<JoinedZone['controlPlane']['dataplaneTokens']['issue']>[0]>;
    readonly isWithoutLabel?: true;
    readonly sentence: RegExp;
  }[] = [
    {
      what: 'a zone token',
      sentence:
        /token signature is invalid.*for this Dataplane a dataplane token of mesh mesh-b.*kumactl generate dataplane-token --mesh mesh-b/,
    },
    { what: 'the token of another mesh', token: { mesh: 'mesh-a' }, sentence: /dataplane token of mesh mesh-b/ },
    {
      what: 'a token without the workload that is asked for',
      token: { workload: '' },
      sentence: /requires a workload-bound token.*the token names none: generate one with.*--mesh mesh-b --workload/,
    },
    {
      what: 'a token of another workload',
      token: { workload: 'other' },
      sentence: /Allowed workload in token is "other".*bound to another name, workload or mesh/,
    },
    { what: 'a token of another name', token: { name: 'other' }, sentence: /proxy name from requestor.*bound to another name/ },
    {
      what: 'a Dataplane without the label',
      token: {},
      isWithoutLabel: true,
      sentence: /no workload label required by the token.*give the Dataplane the label kuma\.io\/workload/,
    },
    {
      what: 'an expired token',
      token: { validForMs: -60_000 },
      sentence: /token is expired.*the dataplane token of mesh mesh-b has expired: generate one with/,
    },
  ];
  await using zone = await startJoined(t, {
    meshes: ['mesh-a', 'mesh-b'],
    egress: WITH_ADMIN,
    fake: { authentication: 'zoneToken' },
    async proxies(controlPlane) {
      const { dataplaneTokens: tokens } = controlPlane;
      const good = await tokens.issue({ mesh: 'mesh-a', workload: 'egress' });
      await tokens.issue({ mesh: 'mesh-b' });
      const bad = cases.map(async ({ token, isWithoutLabel = false }, i) => {
        const name = `bad-${i}`;
        const own =
          token === undefined ? controlPlane.tokens.issue() : await tokens.issue({ mesh: 'mesh-b', workload: name, ...token });
        const { labels, ...rest } = dataplaneOf('mesh-b', name);
        const resource = JSON.stringify(isWithoutLabel ? rest : { ...rest, labels });
        return joiningMesh(controlPlane, 'mesh-b', { name, resource, token: () => Promise.resolve(own) });
      });
      return [joiningMesh(controlPlane, 'mesh-a', { token: () => Promise.resolve(good) }), ...(await Promise.all(bad))];
    },
  });
  const [a] = zone.meshes;
  t.equal(await ask(await zone.connect(a!.sni, a!.client('frontend')), 'ping'), 'ping');
  await until('each is refused', async () => [...(await dataplanes(zone)).values()].every(({ state }) => state !== 'joining'));
  const shown = await dataplanes(zone);
  for (const [i, { what, sentence }] of cases.entries())
    t.match(shown.get(`mesh-b.bad-${i}`), { state: 'refused', sentence }, what);
});

t.test('a mesh that loses its MeshIdentity, and one chain that cannot be served', async (t) => {
  await using zone = await startJoined(t, { meshes: ['mesh-a', 'mesh-b', 'mesh-c'], egress: WITH_ADMIN });
  const [a, b, c] = zone.meshes;
  const [listener] = JSON.parse(JSON.stringify(c!.resources().listeners)) as (JsonObject & { filterChains: JsonObject[] })[];
  const [tcp] = listener!.filterChains.filter(({ name }) => typeof name === 'string' && name.includes('b-tcp'));
  tcp!['filters'] = [];
  zone.controlPlane.set({ listeners: [listener!] }, { of: 'mesh-c.egress' });
  zone.controlPlane.set({ clusters: [], listeners: [] }, { of: 'mesh-b.egress' });
  const why = /^the Dataplane has joined and serves nothing: .*no MeshIdentity selects this Dataplane/;
  await until('it is told', async () => why.test((await dataplanes(zone)).get('mesh-b.egress')?.sentence ?? ''));
  await until('it is live', () => zone.egress.snapshot().routes.get(serverName(c!.sni))?.unsupported !== undefined);
  await until('it serves nothing', () => !zone.egress.snapshot().routes.has(serverName(b!.sni)));
  const shadow = c!.sni.replace('b-tcp.9000', 'b-shadow.9003');
  t.equal(await ask(await zone.connect(shadow, c!.client('frontend')), 'ping'), 'ping', 'another chain of that mesh');
  t.equal(await ask(await zone.connect(a!.sni, a!.client('frontend')), 'ping'), 'ping', 'another mesh');
  const before = zone.records.length;
  await zone.connect(c!.sni, c!.client('frontend')).then(gone, () => undefined);
  await until('it is refused', () => zone.records.length > before);
  t.equal(zone.records.at(-1)?.reason, 'unsupported-policy');
});

t.test('the control plane reads each Dataplane at its own admin port, and sees that one alone', async (t) => {
  const [first, second] = [await freePort(), await freePort()];
  const ports = [first, second, first];
  await using zone = await startJoined(t, {
    meshes: MESHES,
    egress: WITH_ADMIN,
    async before(controlPlane, meshes) {
      const { caCert } = controlPlane.admin;
      const server = await controlPlane.admin.issueServer('127.0.0.1');
      for (const [i, mesh] of meshes.entries()) {
        const admin = { port: ports[i]!, caCert, server };
        const own = fakeConfiguration({ address: '127.0.0.1', port: 10_002, meshes: [], admin });
        const { clusters, listeners, secrets } = mesh.resources();
        controlPlane.set(
          {
            clusters: [...clusters, ...own.clusters],
            listeners: [...listeners, ...own.listeners.filter(({ name }) => name === 'kuma:envoy:admin')],
            secrets,
          },
          { of: `${mesh.name}.egress` },
        );
      }
    },
  });
  await until('all have joined', () => zone.meshes.every(({ sni }) => zone.egress.snapshot().routes.has(serverName(sni))));
  for (const [i, port] of [first, second].entries()) {
    const others = MESHES.filter((_, k) => k !== i);
    for (const path of ['/config_dump', '/clusters', '/stats']) {
      const { status, body } = await zone.controlPlane.inspect(`127.0.0.1:${port}`, { path });
      t.equal(status, 200, path);
      t.ok(body.includes(`kri_extsvc_${MESHES[i]!}_`), `${path} has its own clusters`);
      for (const other of others) t.notOk(body.includes(`kri_extsvc_${other}_`), `${path} of ${MESHES[i]!} has none of ${other}`);
    }
  }
  t.ok(
    zone.log.some(
      ({ msg, proxy }) => proxy === 'mesh-c.egress' && /give the Dataplane another networking\.admin\.port/.test(String(msg)),
    ),
    'a second one at the same place is reported',
  );
  t.match(await get(zone.egress.adminPort, '/config_dump'), {
    status: 400,
    body: /add \?dataplane=, with one of mesh-a\.egress, /,
  });
  const third = await get(zone.egress.adminPort, '/config_dump?dataplane=mesh-c.egress');
  t.equal(third.status, 200);
  t.ok(third.body.includes('kri_extsvc_mesh-c_') && !third.body.includes('kri_extsvc_mesh-a_'));
  t.match(await get(zone.egress.adminPort, '/clusters?dataplane=mesh-x.egress'), {
    status: 404,
    body: /allowed for dataplane are/,
  });
});

/** Tells whether two Dataplanes decide about the clients of this name. */
function isShared(zone: JoinedZone, sni: string): boolean {
  const route = zone.egress.snapshot().routes.get(serverName(sni));
  return route?.kind === 'terminate' && route.permission.kind === 'all-of';
}

async function oneMeshTwice(t: Test): Promise<void> {
  await using zone = await startJoined(t, {
    meshes: ['mesh-a'],
    egress: WITH_ADMIN,
    before(controlPlane, [a]) {
      const second = JSON.parse(JSON.stringify(a!.resources()).replaceAll('/workload/frontend', '/workload/other')) as ReturnType<
        NonNullable<typeof a>['resources']
      >;
      controlPlane.set(second, { of: 'mesh-a.second' });
    },
    proxies: (controlPlane) => [joiningMesh(controlPlane, 'mesh-a'), joiningMesh(controlPlane, 'mesh-a', { name: 'second' })],
  });
  const [a] = zone.meshes;
  await until('both have joined', async () => [...(await dataplanes(zone)).values()].every(({ state }) => state === 'live'));
  await until('both are served', () => isShared(zone, a!.sni));
  t.equal(zone.egress.snapshot().routes.size, 3);
  for (const workload of ['frontend', 'other']) {
    const before = zone.records.length;
    await gone(await zone.connect(a!.sni, a!.client(workload)));
    await until('it is denied', () => zone.records.length > before);
    t.match(zone.records.at(-1), { reason: 'denied' }, `${workload} is allowed by one of the two only`);
  }
}

t.test('two Dataplanes of one mesh share its routes, and a client has to be allowed by both', oneMeshTwice);

t.test('a Dataplane that comes later listens before it is served, and its clients wait for it', async (t) => {
  const ports = [await freePort(), await freePort()] as const;
  const roster = changing([]);
  const entry = (controlPlane: JoinedZone['controlPlane'], mesh: string, port: number): RosterEntry => ({
    controlPlane: joiningMesh(controlPlane, mesh, { resource: JSON.stringify(dataplaneOf(mesh, 'egress', port)) }),
  });
  await using zone = await startJoined(t, {
    meshes: ['mesh-a', 'mesh-b'],
    egress: { port: undefined as never },
    before: (controlPlane, meshes) =>
      meshes.forEach((mesh, i) => controlPlane.set(mesh.resources(ports[i]), { of: `${mesh.name}.egress` })),
    proxies(controlPlane) {
      roster.set([entry(controlPlane, 'mesh-a', ports[0])]);
      return roster;
    },
  });
  const [a, b] = zone.meshes;
  zone.controlPlane.stall('listener');
  roster.set([entry(zone.controlPlane, 'mesh-a', ports[0]), entry(zone.controlPlane, 'mesh-b', ports[1])]);
  await until('it is in the list', () => zone.controlPlane.proxies.includes('mesh-b.egress'));
  const waiting = zone.connect(b!.sni, b!.client('frontend'), { port: ports[1] });
  await until('it is connected', () => zone.egress.sessions() === 1);
  t.equal(zone.egress.listeners.length, 1, 'the place is not one that is served');
  t.equal(await ask(await zone.connect(a!.sni, a!.client('frontend')), 'other'), 'other');
  zone.controlPlane.resume('listener');
  t.equal(await ask(await waiting, 'ping'), 'ping');
  t.equal(zone.egress.listeners.length, 2);
});
