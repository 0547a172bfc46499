import { once } from 'node:events';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { freePort } from '../free-ports.ts';
import { listens } from './listens.ts';
import { startRelay } from './relay.ts';
import type { Relay } from './relay.ts';
import { BOUND_MS, FAR_MS, until } from './until.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('a drain says so at once, accepts while it is not quiet, then closes and waits for the sessions', async (t) => {
      await using zone = await startZone(t, { port: await freePort(), concurrency, readiness: { bind: '127.0.0.1', port: 0 } });
      t.match(await ready(zone), { admin: '200 LIVE', readiness: '200 LIVE' });
      const running = await zone.connect('backend{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(running, 'ping'), 'ping');
      const terminated = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(terminated, 'ping'), 'ping');

      const startedAt = performance.now();
      const drain = zone.egress.drain(FAR_MS);
      const [said, late] = await Promise.all([ready(zone), zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'))]);
      t.match(said, { admin: '503 TERMINATING', readiness: '503 TERMINATING' });
      t.equal(await ask(late, 'ping'), 'ping', 'a client that has not heard of it is served');
      late.end();
      await gone(late);

      await until('the listener is closed', () => !listens(zone.egress.port));
      const closedAfter = performance.now() - startedAt;
      t.ok(closedAfter >= 2_000, `it was open for the quiet time: ${Math.round(closedAfter)} ms`);
      t.equal(await ask(running, 'pong'), 'pong', 'running sessions go on');
      t.equal(await ask(terminated, 'pong'), 'pong');
      t.equal(await settled(drain.done), null, 'and are waited for');
      for (const socket of [running, terminated]) socket.end();
      t.equal(await drain.done, 'clean');
      t.ok(performance.now() - startedAt < BOUND_MS, 'it does not wait for the end of the drain time');
      t.equal(await refused(zone), true);
      await until('every record', () => zone.records.length === 3);
      t.strictSame([...new Set(zone.records.map(({ reason }) => reason))], ['closed']);
    });

    t.test('sessions that do not end are cut when the drain time is over, and recorded as drained', async (t) => {
      await using zone = await startZone(t, { port: await freePort(), concurrency });
      const sockets = [
        await zone.connect('backend{mesh=default}', zone.mesh.client('frontend')),
        await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend')),
        await zone.connect('api{mesh=default}', zone.mesh.client('frontend')),
      ];
      for (const socket of sockets) t.equal(await ask(socket, 'ping'), 'ping');
      const silent = zone.raw();
      await once(silent, 'connect');
      await until('the silent one is accepted', () => zone.egress.sessions() === 4);

      const over = [...sockets, silent].map(gone);
      const startedAt = performance.now();
      t.equal(await zone.egress.drain(400).done, 'cut');
      const took = performance.now() - startedAt;
      t.ok(took >= 400 && took < BOUND_MS, `after the drain time: ${Math.round(took)} ms`);
      t.equal(zone.egress.sessions(), 0, 'none is left when it is done');
      await Promise.all(over);
      await until('every record', () => zone.records.length === 4);
      t.strictSame([...new Set(zone.records.map(({ reason }) => reason))], ['drained']);
    });

    t.test('where TLS ends here, a session that is cut ends with a close_notify', async (t) => {
      await using zone = await startZone(t, { port: await freePort(), concurrency });
      const relays: Relay[] = [];
      const over: Promise<void>[] = [];
      for (const sni of ['legacy{mesh=default}', 'api{mesh=default}']) {
        const relay = await startRelay(() => zone.egress.port);
        const client = await zone.connect(sni, zone.mesh.client('frontend'), { port: relay.port, maxVersion: 'TLSv1.2' });
        t.equal(await ask(client, 'ping'), 'ping');
        relays.push(relay);
        over.push(gone(client));
      }
      t.equal(await zone.egress.drain(0).done, 'cut');
      await Promise.all(over);
      for (const relay of relays) {
        await relay.over();
        // Encrypted, so that only the type is visible: an alert.
        t.equal(relay.lastAnswer()[0], 21);
        await relay.close();
      }
    });

    t.test('without sessions a drain is clean as soon as it was quiet', async (t) => {
      await using zone = await startZone(t, { port: await freePort(), concurrency });
      const startedAt = performance.now();
      t.equal(await zone.egress.drain(FAR_MS).done, 'clean');
      t.ok(performance.now() - startedAt < BOUND_MS, 'long before the drain time is over');
      t.equal(await refused(zone), true);
    });

    t.test('a drain of no time ends everything at once', async (t) => {
      await using zone = await startZone(t, { port: await freePort(), concurrency });
      const socket = await zone.connect('backend{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(socket, 'ping'), 'ping');
      const over = gone(socket);
      t.equal(await zone.egress.drain(0).done, 'cut');
      await over;
      t.equal(await refused(zone), true);
    });

    t.test('hurry ends the waiting: nothing is accepted any more, what is open is cut', async (t) => {
      await using zone = await startZone(t, { port: await freePort(), concurrency });
      const socket = await zone.connect('backend{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(socket, 'ping'), 'ping');
      const over = gone(socket);
      const startedAt = performance.now();
      const drain = zone.egress.drain(FAR_MS);
      drain.hurry();
      t.equal(await drain.done, 'cut');
      t.ok(performance.now() - startedAt < BOUND_MS, 'not at the end of the drain time');
      await over;
      t.equal(await refused(zone), true);
      const record = await zone.record(({ destination }) => destination === 'backend');
      t.match(record, { reason: 'drained', detail: 'the drain was ended before its time was over' });
    });

    t.test('hurry counts while sessions are waited for, too', async (t) => {
      await using zone = await startZone(t, { port: await freePort(), concurrency });
      const socket = await zone.connect('backend{mesh=default}', zone.mesh.client('frontend'));
      const over = gone(socket);
      const startedAt = performance.now();
      const drain = zone.egress.drain(FAR_MS);
      await until('the listener is closed', () => !listens(zone.egress.port));
      t.equal(await settled(drain.done), null);
      drain.hurry();
      t.equal(await drain.done, 'cut');
      t.ok(performance.now() - startedAt < BOUND_MS, 'not at the end of the drain time');
      await over;
    });

    t.test('clients that go on coming do not put off the close for longer than half of the drain time', async (t) => {
      await using zone = await startZone(t, { port: await freePort(), concurrency });
      const startedAt = performance.now();
      const drain = zone.egress.drain(20_000);
      let closed = false;
      while (!closed) {
        closed = await refused(zone);
        if (performance.now() - startedAt > BOUND_MS) break;
      }
      const took = performance.now() - startedAt;
      t.ok(took >= 10_000 && took < 20_000, `open for half of it: ${Math.round(took)} ms`);
      t.equal(await drain.done, 'clean');
    });
  });
}

for (const concurrency of CONCURRENCIES) {
  t.test(`a drain logs how many sessions are left, the oldest and where they go (data sides: ${concurrency})`, async (t) => {
    // Threads have clocks of their own: the control side's alone is turned.
    const clock = new FakeClock({ wall: Date.now() });
    const log: Record<string, unknown>[] = [];
    await using zone = await startZone(t, {
      concurrency,
      clock,
      logLevel: 'info',
      logDestination: { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    });
    const frontend = zone.mesh.client('frontend');
    const sockets = [];
    for (const service of ['legacy', 'backend', 'legacy']) sockets.push(await zone.connect(`${service}{mesh=default}`, frontend));
    for (const socket of sockets) t.equal(await ask(socket, 'ping'), 'ping');
    const drain = zone.egress.drain(60_000);
    const still = () => log.filter(({ msg }) => msg === 'still draining');
    clock.advance(5_000);
    await until('it is logged', () => still().length === 1);
    t.match(still(), [
      { sessions: 3, leftMs: 55_000, oldestMs: Number, destinations: { 'default/legacy': 2, 'default/backend': 1 } },
    ]);
    drain.hurry();
    await clock.advanceUntil(drain.done, 1);
    t.equal(await drain.done, 'cut');
  });
}

t.test('hurry does not wait for the time of quiet either', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  await using zone = await startZone(t, { port: await freePort(), clock });
  const socket = await zone.connect('backend{mesh=default}', zone.mesh.client('frontend'));
  t.equal(await ask(socket, 'ping'), 'ping');
  const over = gone(socket);
  const drain = zone.egress.drain(60_000);
  t.equal(await refused(zone), false, 'still in its time of quiet');
  const hurriedAt = clock.now();
  drain.hurry();
  await clock.advanceUntil(drain.done, 1);
  t.equal(await drain.done, 'cut');
  t.ok(clock.now() - hurriedAt < 2_000, `after ${clock.now() - hurriedAt} ms of its clock`);
  await over;
  t.equal(await refused(zone), true);
});

t.test('connections that wait in the accept queue when it gets quiet are served before the listener closes', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  await using zone = await startZone(t, { port: await freePort(), clock });
  const drain = zone.egress.drain(10_000);
  // All of them are in the queue and none is accepted when the quiet time is over: this thread has
  // done nothing else yet.
  const clients = Array.from({ length: 300 }, () => zone.connect('backend{mesh=default}', zone.mesh.client('frontend')));
  await connectsAreMade();
  clock.advance(2_000);
  const sockets = await Promise.all(clients);
  t.equal(await refused(zone), true, 'the listener is closed');
  for (const socket of sockets.slice(0, 10)) t.equal(await ask(socket, 'ping'), 'ping');
  for (const socket of sockets) socket.end();
  await until('all sessions have ended', () => zone.records.length === 300);
  t.ok(zone.records.every(({ reason }) => reason === 'closed'));
  clock.advance(100);
  t.equal(await drain.done, 'clean');
});

t.test('with two data sides, clients that come while they close are served or refused, and not reset', async (t) => {
  // Microseconds lie between the last look at the queue and the close, and cannot be removed: on a
  // busy machine one batch may fall into them, but not each time.
  const lost: number[] = [];
  while (lost.length < 10 && !lost.some((count) => count <= 2)) lost.push(await lostWhileClosing(t));
  t.ok(
    lost.some((count) => count <= 2),
    `${lost.join(', ')} were connected and not accepted`,
  );
});

/**
 * Makes clients connect while an egress with two data sides drains; returns how many were connected
 * and never accepted.
 */
async function lostWhileClosing(t: Test): Promise<number> {
  await using zone = await startZone(t, { port: await freePort(), concurrency: 2 });
  const drain = zone.egress.drain(2_000);
  let connected = 0;
  let turnedAway = 0;
  const over: Promise<unknown>[] = [];
  function come(): void {
    const socket = connect(zone.egress.port, '127.0.0.1');
    socket.on('connect', () => {
      connected++;
      socket.end();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') turnedAway++;
    });
    over.push(new Promise((resolve) => socket.once('close', resolve)));
    socket.resume();
  }
  // At most what a turn or two of a loop can take: further connections in the queue at the end are
  // reset by any program.
  while (turnedAway < 20) {
    for (let i = 0; i < 10; i++) come();
    await Promise.all(over.splice(0));
  }
  // What it comes to depends on the machine: the last clients have a second for their end.
  await drain.done;
  t.ok(connected > 0, `${connected} connected`);
  for (let i = 0; i < 100 && zone.records.length < connected; i++) await pause(50);
  return connected - zone.records.length;
}

/**
 * Node makes the system call of a connect in the next tick. The loop has not turned since, so
 * nothing was accepted.
 */
async function connectsAreMade(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise<void>((resolve) => process.nextTick(resolve));
}

/** Tells whether a new connection is refused; closes it otherwise. */
function refused(zone: Zone): Promise<boolean> {
  const socket = connect(zone.egress.port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => {
      socket.end();
      socket.resume();
      socket.once('close', () => resolve(false));
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

/** Returns the outcome; null while it is pending. */
async function settled(outcome: Promise<string>): Promise<string | null> {
  return Promise.race([outcome, new Promise<null>((resolve) => setImmediate(() => resolve(null)))]);
}

async function ready(zone: Zone): Promise<{ readonly admin: string; readonly readiness: string }> {
  const [admin, readiness] = await Promise.all([status(zone.egress.adminPort), status(zone.egress.readinessPort)]);
  return { admin, readiness };
}

async function status(port: number): Promise<string> {
  const request = get({ port, host: '127.0.0.1', path: '/ready', agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return `${response.statusCode} ${text.trim()}`;
}
