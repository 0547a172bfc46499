// Dataplanes of several meshes from files, in one process and on one port: each mesh is served, and
// none can be reached with what another one has.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { startScopedZone } from './scoped-zone.ts';
import { until } from './until.ts';
import { ask, gone } from './zone.ts';
import type { Certificate } from './zone.ts';

t.test('each mesh on the shared port is served with its own certificate, to its own clients', async (t) => {
  await using zone = await startScopedZone(t, { meshes: ['mesh-a', 'mesh-b', 'mesh-c'] });
  t.equal(zone.egress.snapshot().routes.size, 3);
  for (const mesh of zone.meshes) {
    const { name, domain, sni } = mesh;
    const socket = await zone.connect(sni, mesh.client('frontend'));
    t.equal(socket.getPeerCertificate().subjectaltname, `URI:spiffe://${domain}/workload/egress`, name);
    t.equal(await ask(socket, name), name);
  }
  t.ok(zone.meshes.every(({ service }) => service.connections() === 1));
});

t.test('nothing of one mesh opens another one: no certificate, no name, no permission', async (t) => {
  await using zone = await startScopedZone(t, { meshes: ['mesh-a', 'mesh-b', 'mesh-c'] });
  for (const mesh of zone.meshes) {
    for (const other of zone.meshes) {
      if (mesh === other) continue;
      const before = zone.records.length;
      const client = other.client('frontend');
      await zone.connect(mesh.sni, client).then(gone, () => undefined);
      await until('it is recorded', () => zone.records.length > before);
      t.match(
        zone.records.at(-1),
        { reason: 'wrong-mesh', mesh: mesh.name, destination: 'partner' },
        `${other.name} to ${mesh.name}`,
      );
      // An id of the mesh that a CA of another mesh has signed.
      const forged = other.ca.issue({ uris: [`spiffe://${mesh.domain}/workload/frontend`] });
      await zone.connect(mesh.sni, forged).then(gone, () => undefined);
      await until('it is recorded too', () => zone.records.length > before + 1);
      t.match(zone.records.at(-1), { reason: 'client-not-trusted', mesh: mesh.name }, `forged by ${other.name}`);
    }
    const denied = zone.records.length;
    await gone(await zone.connect(mesh.sni, mesh.client('other')));
    await until('it is denied', () => zone.records.length > denied);
    t.match(zone.records.at(-1), { reason: 'denied', mesh: mesh.name });
  }
  t.ok(
    zone.meshes.every(({ service }) => service.connections() === 0),
    'nothing has reached a service',
  );
});

t.test('a session that one mesh has set up cannot be resumed in another one', async (t) => {
  await using zone = await startScopedZone(t, { meshes: ['mesh-a', 'mesh-b'] });
  const [a, b] = zone.meshes;
  const first = await zone.connect(a!.sni, a!.client('frontend'));
  t.equal(await ask(first, 'ping'), 'ping');
  const session = first.getSession();
  const before = zone.records.length;
  await zone
    .connect(b!.sni, a!.client('frontend'), { ...(session === undefined ? {} : { session }) })
    .then(gone, () => undefined);
  await until('it is refused', () => zone.records.length > before);
  t.match(
    zone.records.slice(before).map(({ reason }) => reason),
    ['wrong-mesh'],
  );
  t.equal(b!.service.connections(), 0);
});

const rateLimit = (mesh: string): string => `type: MeshRateLimit
mesh: ${mesh}
name: few
spec:
  targetRef: { kind: Dataplane }
  rules: [{ default: { local: { tcp: { connectionRate: { num: 1, interval: 1h } } } } }]
`;

const breaker = (mesh: string): string => `type: MeshCircuitBreaker
mesh: ${mesh}
name: one
spec:
  targetRef: { kind: Dataplane }
  to: [{ targetRef: { kind: Mesh }, default: { connectionLimits: { maxConnections: 1 } } }]
`;

t.test('a limit of one mesh that is used up is no limit of another one', async (t) => {
  for (const policy of [rateLimit, breaker]) {
    await using zone = await startScopedZone(t, {
      meshes: ['mesh-a', 'mesh-b'],
      documents: ({ name }, usual) => (name === 'mesh-a' ? [...usual, policy(name)] : usual),
    });
    const [a, b] = zone.meshes;
    t.equal(await ask(await zone.connect(a!.sni, a!.client('frontend')), 'first'), 'first');
    await zone.connect(a!.sni, a!.client('frontend')).then(gone, () => undefined);
    await until('the second is over the limit', () => zone.records.some(({ reason }) => reason === 'over-limit'));
    for (const word of ['first', 'second', 'third'])
      t.equal(await ask(await zone.connect(b!.sni, b!.client('frontend')), word), word);
    t.ok(zone.records.every(({ reason, mesh }) => reason !== 'over-limit' || mesh === 'mesh-a'));
  }
});

t.test('two meshes share no connection to a service that both have', async (t) => {
  const sources = new Set<string>();
  const server = createServer((request, response) => {
    sources.add(`${request.headers['x-mesh'] as string} ${request.socket.remotePort}`);
    response.end('hello');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  await using zone = await startScopedZone(t, {
    meshes: ['mesh-a', 'mesh-b'],
    documents: (mesh, usual) =>
      usual.map((text) =>
        text.replace('protocol: tcp', 'protocol: http').replace(`port: ${mesh.service.port} `, `port: ${port} `),
      ),
  });
  for (const mesh of [...zone.meshes, ...zone.meshes]) {
    const socket = await zone.connect(mesh.sni, mesh.client('frontend'));
    socket.write(`GET / HTTP/1.1\r\nhost: partner\r\nx-mesh: ${mesh.name}\r\nconnection: close\r\n\r\n`);
    t.match(await text(socket), /^HTTP\/1\.1 200 [^]*hello/, mesh.name);
  }
  const ports = [...sources].map((source) => source.split(' ')[1]);
  t.equal(new Set(sources).size, new Set(ports).size, 'no connection has carried requests of both');
  t.same([...new Set([...sources].map((source) => source.split(' ')[0]))].sort(), ['mesh-a', 'mesh-b']);
});

t.test('a mesh that is being migrated has its ZoneEgress and its Dataplane on one port, each with its own trust', async (t) => {
  const legacy = await createTestMesh('mesh-a', { keyType: 'ec' });
  const egress = 'type: ZoneEgress\nname: old\nzone: zone-1\nnetworking: { address: 127.0.0.1, port: 10002 }\n';
  await using zone = await startScopedZone(t, {
    meshes: ['mesh-a', 'mesh-b'],
    documents: ({ name }, usual) => (name === 'mesh-a' ? [legacy.resources, egress, ...usual.slice(1)] : usual),
  });
  const [a] = zone.meshes;
  const hashed = [...zone.egress.snapshot().routes.keys()].find((name) => name.endsWith('.mes'))!;
  const cases: readonly (readonly [what: string, sni: string, client: Certificate, shown: string | null])[] = [
    ['a sidecar before the switch', hashed, legacy.client('frontend'), 'URI:spiffe://mesh-a/zone-egress'],
    ['a sidecar after it', a!.sni, a!.client('frontend'), `URI:spiffe://${a!.domain}/workload/egress`],
    ['an old certificate with the new name', a!.sni, legacy.client('frontend'), null],
    ['a new certificate with the old name', hashed, a!.client('frontend'), null],
    ['another mesh', hashed, zone.meshes[1]!.client('frontend'), null],
  ];
  for (const [what, sni, client, shown] of cases) {
    const before = zone.records.length;
    if (shown === null) {
      await zone.connect(sni, client).then(gone, () => undefined);
      await until('it is refused', () => zone.records.length > before);
      t.match(zone.records.at(-1), { reason: /^(?:wrong-mesh|client-not-trusted)$/, mesh: 'mesh-a' }, what);
    } else {
      const socket = await zone.connect(sni, client);
      t.match(socket.getPeerCertificate().subjectaltname, shown, what);
      t.equal(await ask(socket, 'ping'), 'ping', what);
    }
  }
});
