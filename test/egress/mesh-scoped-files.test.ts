// Dataplanes of several meshes from files, in one process and on one port: each mesh is served, and
// none can be reached with what another one has.
import t from 'tap';
import { startScopedZone } from './scoped-zone.ts';
import { until } from './until.ts';
import { ask, gone } from './zone.ts';

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
