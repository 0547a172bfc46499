// Peers that have gone while their connection is not read: after the end of a direction, or because
// the other side takes nothing.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';
import { realHello } from './real-hello.ts';
import { PATHS, RELAYS, startStreams } from './stream-zone.ts';
import type { On, Streams } from './stream-zone.ts';
import { until } from './until.ts';
import { CONCURRENCIES, startZone } from './zone.ts';

/** The promised time, doubled for a busy machine. The timeouts of these egresses are longer. */
const PROMISED_MS = 15_000;
/** The time of quiet after which a session's peers are checked. */
const QUIET_MS = 11_000;
const CHUNK = Buffer.alloc(64 * 1_024, 7);

for (const [relay, options] of Object.entries(RELAYS)) {
  t.test(`over ${relay} a session whose peer has gone ends, and one whose peer has only ended does not`, async (t) => {
    await using streams = await startStreams(t, options);
    const ends: Promise<void>[] = [];
    for (const path of PATHS) {
      const on: On = { path, version: 'TLSv1.3' };
      // Each sets up its own endpoint; all of them wait for their ends together.
      for (const [what, { goes, reason }] of Object.entries(GOING)) {
        const { record } = await goes(streams, on);
        ends.push(endsInTime(t, record, { what: `${path}: ${what}`, reason }));
      }
      ends.push(...(await staysWhole(t, streams, on)));
    }
    await Promise.all(ends);
  });
}

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('a client that is passed through and resets while its endpoint is looked up is gone', async (t) => {
      const asked = Promise.withResolvers<void>();
      await using zone = await startZone(t, {
        concurrency,
        traffic: { setupTimeoutMs: 60_000 },
        lookup() {
          asked.resolve();
          return new Promise(() => {});
        },
        resources: () => `type: ZoneIngress
name: far
zone: far
networking: { address: 127.0.0.1, port: 1, advertisedAddress: far.test, advertisedPort: 1 }
availableServices:
- { mesh: default, instances: 1, tags: { kuma.io/service: far, kuma.io/zone: far } }
`,
      });
      const raw = zone.raw();
      await once(raw, 'connect');
      raw.write(await realHello('far{mesh=default}'));
      await asked.promise;
      raw.resetAndDestroy();
      const record = await zone.record(() => true);
      t.equal(record.reason, 'client-gone');
      t.ok(record.totalMs < PROMISED_MS, `after ${Math.round(record.totalMs)} ms`);
    });

    t.test(
      'half-closed sessions end after their timeout without a byte, and one in which bytes still flow does not',
      async (t) => {
        const halfClosedTimeoutMs = 1_000;
        await using streams = await startStreams(t, { concurrency, traffic: { halfClosedTimeoutMs } });
        for (const path of PATHS) {
          const on: On = { path, version: 'TLSv1.3' };
          const asked = serveHanging(streams);
          const silent = await streams.connect(on);
          const silentEnd = streams.record(silent);
          silent.end('question');
          await asked;
          // A machine that stands still for the timeout ends a session that trickles too, but not
          // each time.
          let outlived = await outlives(streams, on, 2 * halfClosedTimeoutMs);
          for (let more = 0; more < 5 && !outlived; more++) outlived = await outlives(streams, on, 2 * halfClosedTimeoutMs);
          t.ok(outlived, 'a session that trickles goes on');
          const record = await silentEnd;
          t.match(record, { reason: 'idle-timeout', detail: 'one side had ended, and no byte came for 1000 ms' }, path);
          t.ok(record.totalMs >= halfClosedTimeoutMs, `not before: ${Math.round(record.totalMs)} ms`);
        }
      },
    );

    t.test('clients that have gone do not hold up a drain', async (t) => {
      await using zone = await startZone(t, {
        concurrency,
        tcp: {
          onConnection(socket) {
            socket.on('data', () => {});
            socket.on('end', () => socket.write('late answer'));
          },
        },
      });
      for (let i = 0; i < 20; i++) {
        const client = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
        client.end('question', () => client.destroy());
      }
      const startedAt = performance.now();
      t.equal(await zone.egress.drain(60_000).done, 'clean');
      t.ok(performance.now() - startedAt < 2 * PROMISED_MS, `drained after ${Math.round(performance.now() - startedAt)} ms`);
    });
  });
}

interface Going {
  readonly reason: string;
  /** Resolves when the peer has gone, with a promise of the record. */
  readonly goes: (streams: Streams, on: On) => Promise<{ readonly record: ReturnType<Streams['record']> }>;
}

const GOING: Readonly<Record<string, Going>> = {
  'a client that has ended and gone, while its endpoint hangs and writes once more': {
    reason: 'client-reset',
    async goes(streams, on) {
      const asked = serveHanging(streams);
      const client = await streams.connect(on);
      const record = streams.record(client);
      client.end('question');
      const endpoint = await asked;
      streams.below(client).destroy();
      endpoint.write('late answer');
      return { record };
    },
  },
  'an endpoint that has ended and gone, while its client writes once more and then nothing': {
    reason: 'endpoint-reset',
    async goes(streams, on) {
      const { promise: served, resolve } = Promise.withResolvers<Socket>();
      streams.serve = (socket, below) => {
        socket.on('data', () => {});
        socket.end('bye');
        resolve(below);
      };
      const client = await streams.connect(on);
      const record = streams.record(client);
      client.resume();
      await once(client, 'end');
      (await served).destroy();
      client.write('late question');
      return { record };
    },
  },
  'a client that resets while its endpoint takes nothing': {
    reason: 'client-reset',
    async goes(streams, on) {
      streams.serve = (socket, below) => {
        socket.pause();
        below.pause();
      };
      const client = await streams.connect(on);
      const record = streams.record(client);
      await fill(client);
      streams.below(client).resetAndDestroy();
      return { record };
    },
  },
  'an endpoint that resets while its client takes nothing': {
    reason: 'endpoint-reset',
    async goes(streams, on) {
      const { promise: served, resolve } = Promise.withResolvers<{ socket: Socket; below: Socket }>();
      streams.serve = (socket, below) => resolve({ socket, below });
      const client = await streams.connect(on);
      client.pause();
      streams.below(client).pause();
      const record = streams.record(client);
      const { socket, below } = await served;
      await fill(socket);
      below.resetAndDestroy();
      return { record };
    },
  },
};

/**
 * To the kernel, a client that has also sent its end has no connection any more, although its bytes
 * still wait for an endpoint that takes none for a while.
 */
async function staysWhole(t: Test, streams: Streams, { path, version }: On): Promise<[Promise<void>]> {
  const { promise: served, resolve } = Promise.withResolvers<Socket>();
  streams.serve = (socket, below) => {
    socket.pause();
    below.pause();
    socket.end('enough');
    resolve(socket);
  };
  const client = await streams.connect({ path, version });
  const record = streams.record(client);
  client.resume();
  await once(client, 'end');
  const total = 160 * CHUNK.length;
  for (let sent = 0; sent < total; sent += CHUNK.length) client.write(CHUNK);
  client.end();
  const endpoint = await served;
  async function whole(): Promise<void> {
    // Longer than the time until a quiet session's peers are checked.
    await pause(QUIET_MS);
    let received = 0;
    endpoint.on('data', (chunk: Buffer) => (received += chunk.length));
    endpoint.resume();
    await until(`all bytes, ${path}`, () => received === total);
    t.equal((await record).reason, 'closed', `${path}: a client that has only ended`);
  }
  return [whole()];
}

/**
 * An endpoint that reads everything including the end, and neither answers nor closes; resolves
 * with its connection when the client has ended.
 */
function serveHanging(streams: Streams): Promise<Socket> {
  return new Promise((resolve) => {
    streams.serve = (socket) => {
      socket.on('data', () => {});
      socket.on('end', () => resolve(socket));
    };
  });
}

/** Whether a session whose client has ended lives so long while its endpoint trickles, and then ends by itself. */
async function outlives(streams: Streams, on: On, ms: number): Promise<boolean> {
  const trickling = serveHanging(streams);
  const reading = await streams.connect(on);
  const record = streams.record(reading);
  reading.resume();
  reading.end('question');
  const source = await trickling;
  let over = false;
  void record.then(() => (over = true));
  const timer = setInterval(() => source.write('.'), 20);
  const since = performance.now();
  await until('twice the timeout', () => over || performance.now() - since > ms);
  clearInterval(timer);
  source.end();
  return (await record).reason === 'closed';
}

/** Writes until no more bytes are taken. */
async function fill(socket: Socket): Promise<void> {
  let taken = 0;
  for (;;) {
    const before = taken;
    while (socket.write(CHUNK, () => taken++));
    const since = performance.now();
    while (performance.now() - since < 500 && taken === before) await pause(10);
    if (taken === before) return;
  }
}

async function endsInTime(
  t: Test,
  record: ReturnType<Streams['record']>,
  { what, reason }: { readonly what: string; readonly reason: string },
): Promise<void> {
  const startedAt = performance.now();
  t.equal((await record).reason, reason, what);
  const took = performance.now() - startedAt;
  t.ok(took < 2 * PROMISED_MS, `after ${Math.round(took)} ms`);
}
