import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { echo } from '../../src/testing/egress/fake-external-service.ts';
import { realHello } from './real-hello.ts';
import { PATHS, RELAYS, VERSIONS, failureOf, resourcesOf, sniOf, stands, startEndpoint, startStreams } from './stream-zone.ts';
import type { On, Streams } from './stream-zone.ts';
import { ask, gone, startZone } from './zone.ts';

const KIB = 1024;
const MIB = KIB * KIB;
const PAYLOAD = randomBytes(21 * MIB);

for (const [relay, options] of Object.entries(RELAYS)) {
  t.test(`over ${relay}`, async (t) => {
    await using streams = await startStreams(t, options);
    for (const path of PATHS) {
      for (const version of VERSIONS) {
        await t.test(`${path}, ${version}`, (t) => promises(t, streams, { path, version }));
      }
    }
  });
}

async function promises(t: Test, streams: Streams, on: On): Promise<void> {
  await t.test('every byte arrives, in order, in both directions at once, whatever the size', async (t) => {
    const largest = on.version === 'TLSv1.3' ? 20 * MIB : 3 * MIB;
    for (const size of [0, 1, 16 * KIB - 1, 64 * KIB + 1, MIB, largest]) {
      const up = PAYLOAD.subarray(0, size);
      const down = PAYLOAD.subarray(PAYLOAD.length - size);
      const received = serveOnce(streams, async (socket) => {
        socket.end(down);
        return shaOf(socket);
      });
      const client = await streams.connect(on);
      client.end(up);
      t.equal(await shaOf(client), sha(down), `${size} bytes to the client`);
      t.equal(await received, sha(up), `${size} bytes to the endpoint`);
      const record = await streams.record(client);
      t.equal(record.reason, 'closed');
      if (on.path !== 'passthrough') t.match(record, { bytesUp: size, bytesDown: size });
    }
  });

  await t.test('the client’s end reaches the endpoint, and a reply of 3 MiB that comes after it arrives whole', async (t) => {
    const reply = PAYLOAD.subarray(0, 3 * MIB);
    const asked = serveOnce(streams, async (socket) => {
      const question = await textOf(socket);
      socket.end(reply);
      return question;
    });
    const client = await streams.connect(on);
    client.end('question');
    t.equal(await shaOf(client), sha(reply));
    t.equal(await asked, 'question');
    t.equal((await streams.record(client)).reason, 'closed');
  });

  await t.test('the endpoint’s end reaches the client, and what the client sends after it arrives whole', async (t) => {
    const late = PAYLOAD.subarray(0, MIB);
    const received = serveOnce(streams, async (socket) => {
      socket.end('bye');
      return shaOf(socket);
    });
    const client = await streams.connect(on);
    t.equal(await textOf(client), 'bye');
    client.end(late);
    t.equal(await received, sha(late));
    t.equal((await streams.record(client)).reason, 'closed');
  });

  await t.test('an endpoint that speaks first is heard', async (t) => {
    streams.serve = (socket) => {
      socket.write('220 ready');
      echo(socket);
    };
    const client = await streams.connect(on);
    const [greeting] = (await once(client, 'data')) as [Buffer];
    t.equal(greeting.toString(), '220 ready');
    t.equal(await ask(client, 'EHLO'), 'EHLO');
    client.end();
    await gone(client);
  });

  await t.test('a byte goes there and back a thousand times', async (t) => {
    streams.serve = echo;
    const client = await streams.connect(on);
    let answers = '';
    let wanted = '';
    for (let i = 0; i < 1_000; i++) {
      const byte = String.fromCharCode(33 + (i % 90));
      wanted += byte;
      answers += await ask(client, byte);
    }
    t.equal(answers, wanted);
    client.end();
    await gone(client);
  });

  await t.test('a client’s reset reaches the endpoint as a reset', async (t) => {
    const { promise: seen, resolve } = Promise.withResolvers<string>();
    streams.serve = (socket) => {
      void failureOf(socket).then(resolve);
      echo(socket);
    };
    const client = await streams.connect(on);
    t.equal(await ask(client, 'ping'), 'ping');
    const record = streams.record(client);
    streams.below(client).resetAndDestroy();
    t.equal(await seen, 'ECONNRESET');
    t.equal((await record).reason, 'client-reset');
  });

  await t.test('an endpoint’s reset reaches the client as a reset', async (t) => {
    streams.serve = (socket, below) => {
      socket.on('data', (bytes) => {
        if (bytes.toString() === 'ping') socket.write('pong');
        else below.resetAndDestroy();
      });
    };
    const client = await streams.connect(on);
    t.equal(await ask(client, 'ping'), 'pong');
    const failure = failureOf(client);
    client.write('now');
    t.equal(await failure, 'ECONNRESET');
    t.equal((await streams.record(client)).reason, 'endpoint-reset');
  });

  if (on.version === 'TLSv1.2') return;
  await t.test('a reader that does not read holds the writer back, and loses nothing', async (t) => {
    // More than the kernel's buffers on both connections can grow to together.
    const total = 96 * MIB;
    const chunk = PAYLOAD.subarray(0, 64 * KIB);
    const { promise: paused, resolve } = Promise.withResolvers<Socket>();
    const received = serveOnce(streams, async (socket) => {
      socket.pause();
      resolve(socket);
      await released;
      const digest = await shaOf(socket);
      socket.end();
      return digest;
    });
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const client = await streams.connect(on);
    const hash = createHash('sha256');
    let sent = 0;
    function send(): void {
      while (sent < total) {
        sent += chunk.length;
        hash.update(chunk);
        if (!client.write(chunk)) return void client.once('drain', send);
      }
      client.end();
    }
    send();
    await paused;
    await stands(() => sent);
    t.ok(sent < total, `${Math.round(sent / MIB)} MiB of ${total / MIB} were taken`);
    release();
    t.equal(await received, hash.digest('hex'));
    await gone(client);
  });
}

t.test('a quiet session ends after the idle timeout, and one that still trickles does not', async (t) => {
  const idleTimeoutMs = 4_000;
  for (const options of Object.values(RELAYS)) {
    await using streams = await startStreams(t, { ...options, traffic: { ...options.traffic, idleTimeoutMs } });
    await Promise.all(PATHS.map((path) => trickles(t, streams, { path, version: 'TLSv1.3' }, idleTimeoutMs)));
  }
});

async function trickles(t: Test, streams: Streams, on: On, idleTimeoutMs: number): Promise<void> {
  // The endpoint echoes; on request it also sends by itself.
  streams.serve = (socket) => {
    socket.on('data', (bytes: Buffer) => {
      socket.write(bytes);
      if (bytes.toString() !== 'talk') return;
      const timer = setInterval(() => socket.write('.'), 50);
      socket.on('close', () => clearInterval(timer));
      socket.on('end', () => clearInterval(timer));
    });
    socket.on('end', () => socket.end());
  };
  const [quiet, sending, listening] = await Promise.all([streams.connect(on), streams.connect(on), streams.connect(on)]);
  t.equal(await ask(quiet, 'ping'), 'ping', on.path);
  // Bytes of the trickle may follow.
  t.match(await ask(listening, 'talk'), /^talk\.*$/);
  for (const socket of [sending, listening]) socket.resume();
  let over = false;
  const quietEnd = gone(quiet).then(() => (over = true));
  const startedAt = performance.now();
  // Half as long again: the others outlive the end of the quiet one.
  while (!over || performance.now() - startedAt < 1.5 * idleTimeoutMs) {
    sending.write('.');
    await pause(50);
  }
  await quietEnd;
  const record = await streams.record(quiet);
  t.match(record, { reason: 'idle-timeout', detail: 'no byte in either direction for 4000 ms' }, on.path);
  t.ok(record.totalMs >= idleTimeoutMs, `not before: ${Math.round(record.totalMs)} ms`);
  for (const socket of [sending, listening]) {
    t.notOk(socket.destroyed, 'a session that trickles goes on');
    socket.end();
    await gone(socket);
    t.equal((await streams.record(socket)).reason, 'closed');
  }
}

t.test('what a client sends while its endpoint is being connected arrives, and its end too', async (t) => {
  for (const options of Object.values(RELAYS)) {
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    await using zone = await startZone(t, {
      ...options,
      traffic: { ...options.traffic, allowedResolved: ['127.0.0.0/8'] },
      async lookup() {
        await mayAnswer;
        return ['127.0.0.1'];
      },
    });
    const { promise: passed, resolve: receivedPassed } = Promise.withResolvers<string>();
    const { promise: terminated, resolve: receivedTerminated } = Promise.withResolvers<string>();
    const behind = await startEndpoint(null, (socket) => void receiveAll(socket, receivedPassed));
    const plain = await startEndpoint(null, (socket) => void receiveAll(socket, receivedTerminated));
    zone.write(
      'streams.yaml',
      resourcesOf({ host: 'later.test', plain: plain.port, passed: behind.port, tls: 1, ca: zone.external.ca.cert }),
    );
    await zone.egress.reload();
    const hello = await realHello('stream{mesh=default}');
    const raw = zone.raw();
    await once(raw, 'connect');
    raw.write(hello);
    raw.end(PAYLOAD.subarray(0, 300 * KIB));
    const client = await zone.connect(sniOf('terminated', 'TLSv1.3'), zone.mesh.client('frontend'));
    client.end(PAYLOAD.subarray(0, 300 * KIB));
    for (const socket of [raw, client]) if (!socket.writableFinished) await once(socket, 'finish');
    // All bytes are with the egress, or on their way to it, before the endpoint has an address.
    await pause(50);
    answer();
    t.equal(await passed, sha(Buffer.concat([hello, PAYLOAD.subarray(0, 300 * KIB)])), 'passed through, from the hello on');
    t.equal(await terminated, sha(PAYLOAD.subarray(0, 300 * KIB)));
    await Promise.all([gone(raw), gone(client)]);
    await zone.record(() => zone.records.length === 2);
    t.strictSame(
      zone.records.map(({ reason }) => reason),
      ['closed', 'closed'],
    );
    await Promise.all([behind.close(), plain.close()]);
  }
});

async function receiveAll(socket: Socket, done: (digest: string) => void): Promise<void> {
  done(await shaOf(socket));
  socket.end();
}

type Test = Parameters<typeof startZone>[0];

/** Returns the result of the endpoint of the next connection. */
function serveOnce<Result>(streams: Streams, serve: (socket: Socket) => Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    streams.serve = (socket) => void serve(socket).then(resolve, reject);
  });
}

function sha(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function shaOf(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  socket.on('data', (chunk: Buffer) => hash.update(chunk));
  socket.resume();
  await once(socket, 'end');
  return hash.digest('hex');
}

async function textOf(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  await once(socket, 'end');
  return text;
}
