import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { adopt, probeAdoption } from '../../src/traffic/adopt.ts';
import { BufferPool, SIZES } from '../../src/traffic/buffers.ts';
import { PlainReader } from '../../src/traffic/plain-reader.ts';
import { splice } from '../../src/traffic/splice.ts';
import { SocketLeg } from '../../src/traffic/leg.ts';
import type { Leg } from '../../src/traffic/leg.ts';

type Path = 'adopted-handle' | 'public-api';

/**
 * Makes a relay between a client and a server, as the passthrough path does, without the rest of
 * the egress.
 */
async function relay(path: Path, onServer: (socket: Socket) => void): Promise<Relay> {
  const pool = new BufferPool();
  const server = createServer({ allowHalfOpen: true }, onServer);
  await listen(server);
  const counted = { up: 0, down: 0 };
  const relays: Promise<string>[] = [];
  const front = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (accepted) => {
    accepted.on('error', () => {});
    const reader = new PlainReader(pool);
    const upstream = connect({
      port: portOf(server),
      host: '127.0.0.1',
      allowHalfOpen: true,
      onread: { buffer: reader.onread.buffer as unknown as Uint8Array, callback: reader.onread.callback },
    });
    upstream.pause();
    upstream.on('error', () => {});
    upstream.once('connect', () => {
      const client = path === 'adopted-handle' ? adoptedSide(accepted, pool) : publicSide(accepted);
      const endpoint = new SocketLeg(upstream, upstream, reader);
      const meter = (key: 'up' | 'down'): { add: (bytes: number) => void } => ({ add: (bytes) => (counted[key] += bytes) });
      const { promise, resolve } = Promise.withResolvers<string>();
      relays.push(promise);
      splice({ client, endpoint }, { up: meter('up'), down: meter('down') }, resolve);
    });
  });
  await listen(front);
  return {
    pool,
    counted,
    client: () => connect({ port: portOf(front), host: '127.0.0.1', allowHalfOpen: true }),
    ended: async () => (await Promise.all(relays)).at(-1),
    close() {
      front.close();
      server.close();
    },
  };
}

interface Relay {
  readonly pool: BufferPool;
  readonly counted: { up: number; down: number };
  client(): Socket;
  ended(): Promise<string | undefined>;
  close(): void;
}

function adoptedSide(accepted: Socket, pool: BufferPool): Leg {
  const reader = new PlainReader(pool);
  const adopted = adopt(accepted, reader);
  if (adopted === null) throw new Error('adoption does not work here');
  const { socket } = adopted;
  socket.on('error', () => {});
  return new SocketLeg(socket, socket, reader);
}

function publicSide(accepted: Socket): Leg {
  return new SocketLeg(accepted, accepted, null);
}

async function listen(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

function echo(socket: Socket): void {
  socket.on('error', () => {});
  socket.pipe(socket); // the test's own server, not the relay
}

t.test('this Node lets an accepted handle be adopted', async (t) => {
  t.equal(await probeAdoption(systemClock()), true);
});

t.test('the error of a reset has no stack; a fault while bytes are moved has one', async (t) => {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const port = await listen(server).then(() => portOf(server));
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect({ port, host: '127.0.0.1' });
  const [half] = await accepted;
  half.on('error', () => {});
  const reader = new PlainReader(new BufferPool());
  const adopted = adopt(half, reader);
  if (adopted === null) throw new Error('adoption does not work here');
  const { socket } = adopted;
  const { promise: fault, resolve } = Promise.withResolvers<Error>();
  reader.start(socket, socket, { intoTls: false, meter: { add: () => resolve(new Error('while bytes are moved')) } });
  client.write('bytes');
  t.match((await fault).stack, /relay\.test/);
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  socket.on('close', () => end());
  const { promise: reset, resolve: resetCame } = Promise.withResolvers<Error>();
  socket.on('error', resetCame);
  client.resetAndDestroy();
  const { message, stack } = await reset;
  t.equal(message, 'read ECONNRESET');
  t.equal(stack, 'Error: read ECONNRESET');
  t.match(new Error('later').stack, /relay\.test/, 'others have theirs');
  await ended;
  reader.close();
  // The server's one connection was adopted: it would wait for it.
  server.close();
  server.unref();
});

t.test('thousands of reads make no buffer beyond one of each size', async (t) => {
  const r = await relay('adopted-handle', (socket) => {
    socket.on('error', () => {});
    socket.resume();
    socket.on('end', () => socket.end());
  });
  const client = r.client();
  const chunk = randomBytes(256 * 1024);
  async function send(bytes: number): Promise<void> {
    const upTo = r.counted.up + bytes;
    for (let sent = 0; sent < bytes; sent += chunk.length) {
      if (!client.write(chunk)) await once(client, 'drain');
    }
    while (r.counted.up < upTo) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await once(client, 'connect');
  await send(64 * 1024 * 1024);
  const { made } = r.pool;
  await send(256 * 1024 * 1024);
  t.ok(made >= 1 && r.pool.made <= 1 + SIZES.length, `${made} buffers after 64 MiB, ${r.pool.made} after 320 MiB`);
  client.end();
  client.resume();
  t.equal(await r.ended(), 'closed');
  t.equal(r.pool.lent, 0);
  r.close();
});

for (const path of ['adopted-handle', 'public-api'] as const) {
  t.test(`relay by ${path}`, async (t) => {
    t.test('every byte arrives, in order, both ways, whatever the sizes', async (t) => {
      for (const size of [0, 1, 13, 16_383, 16_384, 16_385, 65_537, 1_048_577, 9_000_001]) {
        const r = await relay(path, echo);
        const client = r.client();
        const payload = randomBytes(size);
        const back = readAll(client);
        client.end(payload);
        t.equal(sha(await back), sha(payload), `${size} bytes`);
        t.equal(await r.ended(), 'closed');
        t.strictSame(r.counted, { up: size, down: size });
        t.equal(r.pool.lent, 0, 'every buffer is back');
        r.close();
      }
    });

    t.test('a reply that comes after the client’s end arrives whole', async (t) => {
      const reply = randomBytes(3 * 1024 * 1024);
      const r = await relay(path, (socket) => {
        socket.on('error', () => {});
        socket.resume();
        socket.on('end', () => socket.end(reply));
      });
      const client = r.client();
      const back = readAll(client);
      client.end('question');
      t.equal(sha(await back), sha(reply));
      t.equal(await r.ended(), 'closed');
      r.close();
    });

    t.test('a server that ends first still receives what the client sends afterwards', async (t) => {
      const { promise, resolve } = Promise.withResolvers<Buffer>();
      const r = await relay(path, (socket) => {
        socket.on('error', () => {});
        void readAll(socket).then(resolve);
        socket.end('bye');
      });
      const client = r.client();
      client.resume();
      await once(client, 'end');
      const late = randomBytes(200_000);
      client.end(late);
      t.equal(sha(await promise), sha(late));
      t.equal(await r.ended(), 'closed');
      r.close();
    });

    t.test('a server that speaks first is heard', async (t) => {
      const r = await relay(path, (socket) => {
        socket.on('error', () => {});
        socket.write('220 ready');
        socket.resume();
        socket.on('end', () => socket.end());
      });
      const client = r.client();
      const [greeting] = (await once(client, 'data')) as [Buffer];
      t.equal(greeting.toString(), '220 ready');
      client.end();
      t.equal(await r.ended(), 'closed');
      r.close();
    });

    t.test('a slow reader holds the fast writer back, and loses nothing', async (t) => {
      const total = 96 * 1024 * 1024; // more than the kernel’s buffers on both connections can grow to together
      const { promise: accepted, resolve } = Promise.withResolvers<Socket>();
      const r = await relay(path, (socket) => {
        socket.on('error', () => {});
        socket.pause();
        resolve(socket);
      });
      const client = r.client();
      const chunk = randomBytes(64 * 1024);
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
      client.once('connect', send);
      const server = await accepted;
      // Waits until no byte moves: the reader does not read, so the writer is held back.
      let before = -1;
      while (before !== r.counted.up) {
        before = r.counted.up;
        await new Promise((resolveLater) => setTimeout(resolveLater, 100));
      }
      t.ok(r.counted.up < total, `${r.counted.up} of ${total} bytes were taken`);
      const received = createHash('sha256');
      server.on('data', (bytes: Buffer) => received.update(bytes));
      server.on('end', () => server.end());
      server.resume();
      client.resume();
      t.equal(await r.ended(), 'closed');
      t.equal(received.digest('hex'), hash.digest('hex'));
      t.equal(r.counted.up, total);
      t.equal(r.pool.lent, 0);
      r.close();
    });

    for (const side of ['client', 'endpoint'] as const) {
      t.test(`a reset by the ${side} is passed on as a reset`, async (t) => {
        const { promise: accepted, resolve } = Promise.withResolvers<Socket>();
        const r = await relay(path, (socket) => {
          resolve(socket);
          socket.on('data', () => socket.write('pong'));
        });
        const client = r.client();
        client.write('ping');
        await once(client, 'data');
        const server = await accepted;
        const [resetter, other] = side === 'client' ? [client, server] : [server, client];
        other.resume();
        const error = once(other, 'error') as Promise<[Error & { code: string }]>;
        resetter.on('error', () => {});
        resetter.resetAndDestroy();
        t.equal((await error)[0].code, 'ECONNRESET');
        t.equal(await r.ended(), `${side}-reset`);
        t.equal(r.pool.lent, 0);
        r.close();
      });
    }

    t.test('two thousand short connections leave no buffer behind', async (t) => {
      const r = await relay(path, echo);
      for (let round = 0; round < 40; round++) {
        await Promise.all(
          Array.from({ length: 50 }, async (_, i) => {
            const client = r.client();
            client.on('error', () => {});
            client.write('hello');
            await once(client, 'data');
            if (i % 3 === 0) client.resetAndDestroy();
            else if (i % 3 === 1) client.destroy();
            else {
              client.end();
              client.resume();
              await once(client, 'end');
            }
          }),
        );
      }
      await r.ended();
      t.equal(r.pool.lent, 0);
      r.close();
    });
  });
}
