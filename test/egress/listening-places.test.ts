// Dataplanes with ports of their own, in one process: each place serves, comes and goes by itself.
import t from 'tap';
import { startScopedZone } from './scoped-zone.ts';
import type { ScopedZone, ScopedZoneOptions } from './scoped-zone.ts';
import { until } from './until.ts';
import { ask, CONCURRENCIES, gone } from './zone.ts';

/** The Dataplane of each mesh has another port; all are bound to free ones. */
const apart: Pick<ScopedZoneOptions, 'documents'> = {
  documents: ({ name }, usual) => usual.map((text) => text.replace('port: 10002', `port: ${10_002 + name.charCodeAt(5)}`)),
};

const portOf = (zone: ScopedZone, mesh: string): number =>
  zone.egress.listeners.find(({ name }) => name === `${mesh}.egress`)!.port;

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data sides`, async (t) => {
    t.test('each Dataplane has its own port', async (t) => {
      await using zone = await startScopedZone(t, { meshes: ['mesh-a', 'mesh-b', 'mesh-c'], concurrency, ...apart });
      const names = zone.egress.listeners.map(({ name }) => name);
      t.same(names, ['mesh-a.egress', 'mesh-b.egress', 'mesh-c.egress']);
      t.equal(new Set(zone.egress.listeners.map(({ port }) => port)).size, 3);
      t.equal(zone.egress.port, portOf(zone, 'mesh-a'));
      for (const mesh of zone.meshes) {
        const socket = await zone.connect(mesh.sni, mesh.client('frontend'), { port: portOf(zone, mesh.name) });
        t.equal(await ask(socket, mesh.name), mesh.name);
      }
    });

    t.test('one that cannot be opened does not stop the others, and is reported', async (t) => {
      // Of a network for documentation: no machine has this address.
      const documents: ScopedZoneOptions['documents'] = ({ name }, usual) =>
        usual.map((text) =>
          name === 'mesh-b'
            ? text
                .replaceAll('127.0.0.1\n', '192.0.2.1\n')
                .replace('address: 127.0.0.1, port: 10002', 'address: 192.0.2.1, port: 10002')
            : text,
        );
      await using zone = await startScopedZone(t, { meshes: ['mesh-a', 'mesh-b', 'mesh-c'], concurrency, documents });
      t.same(
        zone.egress.listeners.map(({ name }) => name),
        ['mesh-a.egress'],
        'mesh-a and mesh-c share their place',
      );
      t.match(JSON.stringify(zone.log), /the listener could not be opened; it is tried again/);
      for (const mesh of [zone.meshes[0]!, zone.meshes[2]!])
        t.equal(await ask(await zone.connect(mesh.sni, mesh.client('frontend')), 'ping'), 'ping', mesh.name);
    });

    t.test('a Dataplane that comes, goes or moves costs no session of another one', async (t) => {
      await using zone = await startScopedZone(t, { meshes: ['mesh-a', 'mesh-b'], concurrency, ...apart });
      const [a, b] = zone.meshes;
      const all = zone.documents;
      const staying = await zone.connect(a!.sni, a!.client('frontend'));
      t.equal(await ask(staying, 'before'), 'before');
      const [before, port] = [portOf(zone, 'mesh-b'), zone.egress.port];
      zone.documents = all.filter((text) => !text.includes('mesh: mesh-b'));
      t.match(await zone.egress.reload(), { kind: 'live' });
      t.same(
        zone.egress.listeners.map(({ name }) => name),
        ['mesh-a.egress'],
      );
      await t.rejects(zone.connect(b!.sni, b!.client('frontend'), { port: before }), { code: 'ECONNREFUSED' });
      zone.documents = all;
      t.match(await zone.egress.reload(), { kind: 'live' });
      const back = await zone.connect(b!.sni, b!.client('frontend'), { port: portOf(zone, 'mesh-b') });
      t.equal(await ask(back, 'again'), 'again');
      // A mesh that sorts before the first one does not move it.
      zone.documents = all.map((text) => text.replaceAll('mesh-b', 'mesh-0'));
      t.match(await zone.egress.reload(), { kind: 'live' });
      t.same(zone.egress.problems(), []);
      t.equal(zone.egress.port, port);
      t.equal(await ask(staying, 'after'), 'after');
    });
  });
}

t.test('no endpoint leads back to a listener of this process, whichever it is', async (t) => {
  await using zone = await startScopedZone(t, { meshes: ['mesh-a', 'mesh-b'], ...apart });
  const [a] = zone.meshes;
  const own = portOf(zone, 'mesh-b');
  zone.documents = zone.documents.map((text) => text.replace(`port: ${a!.service.port} `, `port: ${own} `));
  t.match(await zone.egress.reload(), { kind: 'live' });
  const before = zone.records.length;
  await zone.connect(a!.sni, a!.client('frontend')).then(gone, () => undefined);
  await until('it is recorded', () => zone.records.length > before);
  t.match(zone.records.at(-1), { reason: 'forbidden-address', destination: 'partner' });
});
