import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { gone, startZone } from './zone.ts';

/** Makes a wire that holds back what the client sends after its hello, until it is released. */
async function wire(to: number): Promise<{ port: number; held: Promise<void>; release: () => void; close: () => void }> {
  const { promise: held, resolve: holds } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const sockets: Socket[] = [];
  const server = createServer((client) => {
    const egress = connect({ port: to, host: '127.0.0.1' });
    sockets.push(client, egress);
    let first = true;
    client.on('data', (bytes: Buffer) => {
      if (first) egress.write(bytes);
      else {
        holds();
        void released.then(() => egress.write(bytes));
      }
      first = false;
    });
    egress.on('data', (bytes: Buffer) => client.write(bytes));
    for (const [from, other] of [
      [client, egress],
      [egress, client],
    ] as const) {
      // prettier-ignore
      from.on('error', () => {});
      from.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    held,
    release,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

for (const [title, edit, reason] of [
  ['is denied', (yaml: string) => yaml.replace('kuma.io/service: frontend }', 'kuma.io/service: nobody }'), 'denied'],
  [
    'has lost its route',
    (yaml: string) =>
      yaml.replace('{ kuma.io/service: legacy, kuma.io/protocol: tcp }', '{ kuma.io/service: gone, kuma.io/protocol: tcp }'),
    'no-route',
  ],
] as const) {
  t.test(`a client that ${title} while it shakes hands is refused, and nothing is dialled for it`, async (t) => {
    await using zone = await startZone(t);
    const held = await wire(zone.egress.port);
    const before = zone.tcp.connections();
    const client = connectTls({
      port: held.port,
      host: '127.0.0.1',
      servername: 'legacy{mesh=default}',
      ...zone.mesh.client('frontend'),
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
    });
    client.on('error', () => {});
    await held.held;
    const { readFileSync } = await import('node:fs');
    const yaml = readFileSync(`${zone.folder}/zone.yaml`, 'utf8');
    t.not(edit(yaml), yaml, 'the resource is changed');
    zone.write('zone.yaml', edit(yaml));
    t.match(await zone.egress.reload(), { kind: 'live', changed: true });
    held.release();
    await gone(client);
    t.match(await zone.record(() => true), { reason, attempts: 0, snapshotVersion: zone.egress.snapshot().version });
    t.equal(zone.tcp.connections(), before, 'nothing was dialled');
    held.close();
  });
}
