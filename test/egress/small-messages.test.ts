// Connections with TLS over which small messages go again and again: their client is read into the
// buffer that all such connections of a thread share (src/traffic/shared-reader.ts).
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { echo } from '../../src/testing/egress/fake-external-service.ts';
import { failureOf, startStreams } from './stream-zone.ts';
import type { On, Streams } from './stream-zone.ts';
import { ask, gone } from './zone.ts';

const KIB = 1024;
const ONS: readonly On[] = [
  { path: 'terminated', version: 'TLSv1.2' },
  { path: 'terminated', version: 'TLSv1.3' },
  { path: 're-encrypted', version: 'TLSv1.3' },
];
/** More messages than a connection has before it is read into the shared buffer. */
const MESSAGES = 20;

t.test('over the adopted handle', async (t) => {
  await using streams = await startStreams(t, { concurrency: 1 });
  for (const on of ONS) await t.test(`${on.path}, ${on.version}`, (t) => promises(t, streams, on));
});

async function promises(t: Test, streams: Streams, on: On): Promise<void> {
  await t.test('messages of many connections at once do not mix, and arrive whole', async (t) => {
    streams.serve = echo;
    const clients = await Promise.all(Array.from({ length: 6 }, () => streams.connect(on)));
    await Promise.all(
      clients.map(async (client, i) => {
        for (let n = 0; n < MESSAGES + 4; n++) {
          // One record and several, less than one read and more than one.
          const message = randomBytes([1, 512, 100, 5_000, 40_000, 90_000][(n + i) % 6] ?? 1);
          t.ok(message.equals(await echoed(client, message)), `${message.length} bytes`);
        }
        client.end();
        await gone(client);
      }),
    );
  });

  await t.test('what a client sends while the endpoint takes nothing waits, and arrives whole', async (t) => {
    const { promise: paused, resolve } = Promise.withResolvers<Socket>();
    const received: Buffer[] = [];
    streams.serve = (socket) => {
      let answered = 0;
      socket.on('data', (bytes: Buffer) => {
        if (answered++ < MESSAGES) return socket.write(bytes);
        received.push(bytes);
        return undefined;
      });
      resolve(socket);
    };
    const client = await streams.connect(on);
    for (let n = 0; n < MESSAGES; n++) await ask(client, 'ping');
    const endpoint = await paused;
    endpoint.pause();
    const other = await streams.connect(on);
    const sent = randomBytes(8 * KIB * KIB);
    const all = new Promise<void>((done) => client.write(sent, () => done()));
    // Another connection is read into the same buffer meanwhile.
    for (let n = 0; n < MESSAGES; n++) t.equal(await ask(other, `other ${n}`), `other ${n}`);
    const ended = once(endpoint, 'end');
    endpoint.resume();
    client.end();
    await Promise.all([all, ended]);
    t.ok(sent.equals(Buffer.concat(received)));
    endpoint.end();
    other.destroy();
    await gone(client);
  });

  await t.test('each direction ends by itself', async (t) => {
    const late = randomBytes(300 * KIB);
    streams.serve = (socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (bytes: Buffer) => {
        chunks.push(bytes);
        socket.write(bytes);
      });
      socket.on('end', () => socket.end(Buffer.concat([Buffer.concat(chunks), late])));
    };
    const client = await streams.connect(on);
    for (let n = 0; n < MESSAGES; n++) await ask(client, 'ping');
    const rest: Buffer[] = [];
    client.on('data', (bytes: Buffer) => rest.push(bytes));
    client.end('last');
    await once(client, 'end');
    const wanted = Buffer.concat([Buffer.from('last'), Buffer.from('ping'.repeat(MESSAGES)), Buffer.from('last'), late]);
    t.ok(wanted.equals(Buffer.concat(rest)));
    t.equal((await streams.record(client)).reason, 'closed');
  });

  await t.test('a reset of the client reaches the endpoint', async (t) => {
    const { promise: seen, resolve } = Promise.withResolvers<string>();
    streams.serve = (socket) => {
      void failureOf(socket).then(resolve);
      echo(socket);
    };
    const client = await streams.connect(on);
    for (let n = 0; n < MESSAGES; n++) await ask(client, 'ping');
    const record = streams.record(client);
    streams.below(client).resetAndDestroy();
    t.equal(await seen, 'ECONNRESET');
    t.equal((await record).reason, 'client-reset');
  });

  await t.test('a reset of the endpoint reaches the client', async (t) => {
    streams.serve = (socket, below) => {
      let messages = 0;
      socket.on('data', (bytes: Buffer) => {
        if (messages++ < MESSAGES) socket.write(bytes);
        else below.resetAndDestroy();
      });
    };
    const client = await streams.connect(on);
    for (let n = 0; n < MESSAGES; n++) await ask(client, 'ping');
    const failure = failureOf(client);
    client.write('now');
    t.equal(await failure, 'ECONNRESET');
    t.equal((await streams.record(client)).reason, 'endpoint-reset');
  });
}

async function echoed(client: Socket, message: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const whole = new Promise<void>((resolve, reject) => {
    const onData = (bytes: Buffer): void => {
      chunks.push(bytes);
      length += bytes.length;
      if (length < message.length) return;
      client.removeListener('data', onData);
      client.removeListener('close', onClose);
      resolve();
    };
    const onClose = (): void => reject(new Error(`the connection ended after ${length} of ${message.length} bytes`));
    client.on('data', onData);
    client.once('close', onClose);
  });
  client.write(message);
  await whole;
  return Buffer.concat(chunks);
}
