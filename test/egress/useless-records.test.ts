// Peers that keep sending empty records: their connection ends before they cost much, with a client
// certificate or without, and from a service too.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { closed } from '../traffic/closed.ts';
import { startRelay } from './relay.ts';
import type { Relay } from './relay.ts';
import { CIPHER, Sealer, secretOf } from './sealed-records.ts';
import { CONCURRENCIES, ask, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

type Make = (sealer: Sealer, i: number) => Buffer;

const EITHER: Readonly<Record<string, Make>> = {
  'key updates': (sealer) => sealer.keyUpdate(),
  'empty records': (sealer) => sealer.seal(23, Buffer.alloc(0)),
  'warnings that mean nothing': (sealer) => sealer.warning(),
  'key updates, and a byte in each sixteenth record': (sealer, i) => (i % 16 === 15 ? sealer.data('x') : sealer.keyUpdate()),
};
const OF_SERVICES: Readonly<Record<string, Make>> = { ...EITHER, tickets: (sealer) => sealer.ticket() };
/** The records that Node's servers send by themselves after a handshake. */
const TICKETS = 2;

function many(make: Make, sealer: Sealer): Buffer {
  return Buffer.concat(Array.from({ length: 400 }, (_, i) => make(sealer, i)));
}

for (const concurrency of CONCURRENCIES) {
  const sides = `${concurrency} data side${concurrency === 1 ? '' : 's'}`;

  t.test(`from a client, ${sides}`, async (t) => {
    await using zone = await startZone(t, { concurrency });
    const relay = await startRelay(() => zone.egress.port);
    for (const [i, [name, make]] of Object.entries(EITHER).entries()) {
      const { client, sealer } = await clientBehind(relay, zone);
      relay.inject('up', sealer.data('ping'));
      t.equal(String((await once(client, 'data'))[0]), 'ping', 'a record that was made here is one');
      relay.inject('up', many(make, sealer));
      await ended(zone, i + 1);
      await relay.over();
      t.match(
        zone.records.at(-1),
        { reason: 'tls-error', detail: /^TLS with the client: (more than 32 records|too many|record too)/ },
        name,
      );
      client.destroy();
    }

    const { client, sealer } = await clientBehind(relay, zone);
    const expected = Array.from({ length: 400 }, (_, i) => `${i} `).join('');
    const honest = Array.from({ length: 400 }, (_, i) => [...(i % 2 === 0 ? [sealer.keyUpdate()] : []), sealer.data(`${i} `)]);
    let echoed = '';
    client.on('data', (chunk: Buffer) => (echoed += String(chunk)));
    relay.inject('up', Buffer.concat(honest.flat()));
    while (echoed.length < expected.length) await once(client, 'data');
    t.equal(echoed, expected, 'small records, and new keys among them, are fine');
    client.destroy();
    await ended(zone, Object.keys(EITHER).length + 1);
    await relay.close();
  });

  t.test(`from a service, ${sides}`, async (t) => {
    const external = await createTestMesh('outside', { keyType: 'ec' });
    let secret: Buffer | null = null;
    const server = createTlsServer({ ...external.issue({ uris: [], dns: ['api.outside.test'] }), ciphers: CIPHER }, (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    server.on('keylog', (line: Buffer) => (secret = secretOf(line, 'SERVER_TRAFFIC_SECRET_0') ?? secret));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const relay = await startRelay(() => (server.address() as AddressInfo).port);
    await using zone = await startZone(t, { concurrency, resources: () => outside(external.ca.cert, relay.port) });
    for (const [i, [name, make]] of Object.entries(OF_SERVICES).entries()) {
      const client = await zone.connect('outside{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(client, 'ping'), 'ping');
      const sealer = new Sealer(secret ?? Buffer.alloc(0), TICKETS + 1);
      relay.inject('down', sealer.data('hello'));
      t.equal(String((await once(client, 'data'))[0]), 'hello', 'a record that was made here is one');
      relay.inject('down', many(make, sealer));
      client.resume();
      await Promise.all([closed(client), ended(zone, i + 1), relay.over()]);
      t.match(
        zone.records.at(-1),
        { reason: 'tls-error', detail: /^TLS with the endpoint: (more than 32 records|too many|record too)/ },
        name,
      );
    }
    await relay.close();
    server.close();
  });
}

/** A client of the mesh whose records the test makes from now on. */
async function clientBehind(relay: Relay, zone: Zone): Promise<{ readonly client: TLSSocket; readonly sealer: Sealer }> {
  const client = connectTls({
    port: relay.port,
    host: '127.0.0.1',
    servername: 'legacy{mesh=default}',
    ...zone.mesh.client('frontend'),
    rejectUnauthorized: false,
    ciphers: CIPHER,
  });
  client.on('error', () => {});
  let secret: Buffer | null = null;
  client.on('keylog', (line: Buffer) => (secret = secretOf(line, 'CLIENT_TRAFFIC_SECRET_0') ?? secret));
  await once(client, 'secureConnect');
  // After an answer, all records that Node sends by itself have passed.
  if ((await ask(client, 'ping')) !== 'ping' || secret === null) throw new Error('there is no session');
  return { client, sealer: new Sealer(secret, 1) };
}

async function ended(zone: Zone, records: number): Promise<void> {
  await zone.record(() => zone.records.length >= records);
}

function outside(ca: string, port: number): string {
  return `type: ExternalService
mesh: default
name: outside
tags: { kuma.io/service: outside, kuma.io/protocol: tcp }
networking:
  address: 127.0.0.1:${port}
  tls: { enabled: true, serverName: api.outside.test, caCert: { inlineString: ${JSON.stringify(ca)} } }
---
type: TrafficPermission
mesh: default
name: all
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`;
}
