import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import { helloMessage, nameExtension, records as inRecords } from '../wire/fixtures/hello-bytes.ts';
import { realHello } from './real-hello.ts';
import { FAR_MS, until } from './until.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test(
      'of a burst exactly as many sessions are admitted as the process may have; the others are closed at once',
      async (t) => {
        await using zone = await startZone(t, { concurrency, traffic: { maxSessions: 10, setupTimeoutMs: FAR_MS } });
        const burst = await open(zone, 60);
        await until('50 refusals', () => zone.records.length === 50);
        t.equal(zone.egress.sessions(), 10);
        t.same(new Set(zone.records.map(({ reason }) => reason)), new Set(['over-limit']));
        t.match(zone.records[0], {
          // A data side that has none of its own refuses.
          detail: /^10 sessions are open \(limit 10\)$|^all places were taken: /,
          clientAddress: '127.0.0.1',
          mode: '',
          attempts: 0,
        });
        await until('the refused clients to see it', () => burst.filter(({ closed }) => closed).length === 50);
        t.equal(sidesOf(zone).size, concurrency, 'every data side refused some');
      },
    );

    t.test('while it is full the admin pages answer, and tell it', async (t) => {
      await using zone = await startZone(t, { concurrency, traffic: { maxSessions: 3 } });
      await open(zone, 8);
      await until('5 refusals', () => zone.records.length >= 5);
      const [ready, metrics] = await Promise.all([page(zone, '/ready'), page(zone, '/stats/prometheus')]);
      t.match(ready, { status: 200, text: /LIVE/ });
      t.equal(metrics.status, 200);
      t.match(metrics.text, 'zone_egress_sessions_total{mode="",mesh="",reason="over-limit"} 5\n');
      t.match(metrics.text, 'zone_egress_sessions_active 3\n');
      t.equal(zone.egress.decisions({ reason: 'over-limit' }).length, 5);
    });

    t.test('a session that ends makes room for another, again and again', async (t) => {
      await using zone = await startZone(t, { concurrency, traffic: { maxSessions: 2 } });
      const held = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(held, 'ping'), 'ping');
      for (let round = 1; round <= 5; round++) {
        const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
        t.equal(await ask(socket, 'ping'), 'ping', `round ${round}`);
        const refused = zone.raw();
        await gone(refused);
        await until('the refusal', () => count(zone, 'over-limit') === round);
        socket.end();
        await gone(socket);
        await until('room', () => zone.egress.sessions() === 1);
        await until('the record', () => count(zone, 'closed') === round);
      }
      t.equal(await ask(held, 'ping'), 'ping', 'who was there before is untouched');
    });

    t.test('concurrent handshakes have their own limit; stalled ones are ended, and hold up no client', async (t) => {
      await using zone = await startZone(t, { concurrency, traffic: { maxHandshakes: 2 } });
      const active = async (): Promise<number> =>
        Number(/^zone_egress_handshakes_active (\d+)$/m.exec(await zone.egress.metrics())?.[1]);
      const hello = await realHello('legacy{mesh=default}');
      const stalled = await open(zone, 12);
      for (const { socket } of stalled) socket.write(hello);
      // A data side without any may have one, independent of the other.
      await until(
        'the others to end',
        async () => zone.records.length >= 11 - concurrency && (await active()) <= 1 + concurrency,
      );
      t.same(new Set(zone.records.map(({ reason }) => reason)), new Set(['over-limit']));

      const client = zone.mesh.client('frontend');
      for (let i = 0; i < 4; i++) {
        const socket = await zone.connect('legacy{mesh=default}', client);
        t.equal(await ask(socket, 'ping'), 'ping', 'a stalled handshake gave way');
      }
      const through = await zone.connect('backend{mesh=default}', client);
      t.equal(await ask(through, 'ping'), 'ping', 'passed through');
      t.ok((await active()) <= 1 + concurrency, `${await active()} are under way`);
    });

    t.test('one source has its share and no more, over all data sides; another source is not held up', async (t) => {
      await using zone = await startZone(t, { concurrency, traffic: { maxSessionsPerSource: 4 } });
      const first = await open(zone, 20);
      await until('16 refusals', () => zone.records.length === 16);
      t.match(zone.records[0], {
        reason: 'over-limit',
        detail: /^127.0.0.1 has 4 sessions open \(limit 4\)$|^all places were taken: /,
      });
      const second = await open(zone, 20, '127.0.0.2');
      await until('16 more', () => zone.records.length === 32);
      t.equal(zone.egress.sessions(), 8);
      t.equal(zone.records.filter(({ clientAddress }) => clientAddress === '127.0.0.2').length, 16);
      for (const { socket } of [...first, ...second]) socket.destroy();
      await until('all to end', () => zone.records.length === 40);
      await open(zone, 4);
      await until('4 sessions', () => zone.egress.sessions() === 4);
      t.equal(count(zone, 'over-limit'), 32, 'its share is free again');
    });

    t.test('every accepted connection is open or has exactly one record, at any time', async (t) => {
      await using zone = await startZone(t, { concurrency, traffic: { maxSessions: 70, maxHandshakes: 8 } });
      const accounted = (): number => zone.records.length + zone.egress.sessions();
      let connections = 0;
      for (let round = 0; round < 3; round++) {
        const batch = await open(zone, 60);
        const [quiet] = await open(zone, 1);
        connections += 61;
        for (const [i, { socket }] of batch.entries()) misbehave(socket, i);
        await until(`${connections} accounted for, while they end`, () => accounted() === connections);
        for (const { socket } of batch) socket.destroy();
        await until(
          'the batch to end',
          () => zone.egress.sessions() === round + 1 && zone.records.length >= connections - round - 1,
        );
        t.equal(accounted(), connections, `round ${round}: ${zone.records.length} records and ${round + 1} open`);
        t.equal(quiet?.closed, false);
      }
      t.equal(new Set(zone.records.map(({ id }) => id)).size, zone.records.length, 'no record twice');
      const counted = [...(await zone.egress.metrics()).matchAll(/^zone_egress_sessions_total\{.*\} (\d+)$/gm)];
      t.equal(
        counted.reduce((sum, [, value]) => sum + Number(value), 0),
        zone.records.length,
        'the counters say the same',
      );
      t.ok(new Set(zone.records.map(({ reason }) => reason)).size >= 6, 'of all kinds');
    });
  });
}

interface Opened {
  readonly socket: Socket;
  readonly closed: boolean;
}

/** Connects and sends nothing; closes what the egress closes. */
async function open(zone: Zone, number: number, from?: string): Promise<Opened[]> {
  const sockets = Array.from({ length: number }, () => {
    if (from === undefined) return zone.raw();
    const socket = connectTcp({ port: zone.egress.port, host: '127.0.0.1', localAddress: from, allowHalfOpen: true });
    socket.on('error', () => {});
    return socket;
  });
  const opened = sockets.map((socket) => {
    const state = { socket, closed: false };
    void gone(socket).then(() => (state.closed = true));
    return state;
  });
  // A refused connection may be reset before its 'connect'.
  await Promise.all(sockets.map((socket) => Promise.race([once(socket, 'connect').catch(() => undefined), gone(socket)])));
  return opened;
}

/** Behaves in one of ten ways, most of them bad. */
function misbehave(socket: Socket, which: number): void {
  const hello = helloFor(['backend{mesh=default}', 'legacy{mesh=default}', 'nowhere{mesh=default}'][which % 3] ?? '');
  switch (which % 10) {
    case 0:
      return void socket.resetAndDestroy();
    case 1:
      return void socket.end();
    case 2:
      return void socket.end(hello.subarray(0, 30));
    case 3:
      return void socket.write('GET / HTTP/1.1\r\n\r\n');
    case 4:
      return void socket.write(Buffer.of(22, 3, 1, 0, 0));
    case 5:
      return void socket.write(hello);
    case 6:
      return void socket.end(hello);
    case 7:
      return void socket.write(hello, () => socket.destroy());
    case 8:
      return void socket.write(hello, () => socket.resetAndDestroy());
    default:
      return; // sends nothing and stays
  }
}

function helloFor(name: string): Buffer {
  return inRecords(helloMessage({ extensions: [nameExtension(name)] }));
}

function count(zone: Zone, reason: string): number {
  return zone.records.filter((record) => record.reason === reason).length;
}

/** Returns the numbers of the data sides that made records. */
function sidesOf(zone: Zone): ReadonlySet<string> {
  return new Set(zone.records.map(({ id }) => id.split('.')[0] ?? ''));
}

async function page(zone: Zone, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://127.0.0.1:${zone.egress.adminPort}${path}`, { headers: { connection: 'close' } });
  return { status: response.status, text: await response.text() };
}
