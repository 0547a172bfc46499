import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { createTestMesh } from '../../src/testing/public.ts';
import { BufferPool } from '../../src/traffic/buffers.ts';
import { splice } from '../../src/traffic/splice.ts';
import { TlsReader } from '../../src/traffic/tls-reader.ts';

const KIB = 1024;
const MIB = KIB * KIB;
const mesh = await createTestMesh('default', { keyType: 'ec' });
const leaf = mesh.issue({ dns: ['localhost'] });

interface Watched {
  readonly pool: BufferPool;
  readonly client: TLSSocket;
  readonly endpoint: Socket;
  /** Sizes of the writes to the endpoint. */
  readonly writes: readonly number[];
  /**
   * The memory of the records, and whether a record had all of it: not on Node 26, where the
   * garbage collector frees it.
   */
  readonly chunks: readonly { readonly memory: ArrayBufferLike; readonly whole: boolean }[];
  readonly ended: Promise<string>;
  close(): void;
}

/** Joins a TLS client with a plain endpoint. */
async function joined(
  intoRoom: boolean,
  onEndpoint: (socket: Socket) => void,
  early = '',
  pool = new BufferPool(),
): Promise<Watched> {
  const writes: number[] = [];
  const chunks: { memory: ArrayBufferLike; whole: boolean }[] = [];
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    onEndpoint(socket);
  });
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const front = createTlsServer({ cert: leaf.cert, key: leaf.key, allowHalfOpen: true } as object);
  const secured = once(front, 'secureConnection') as Promise<[TLSSocket]>;
  const client = connectTls({
    port: await listen(front),
    host: '127.0.0.1',
    rejectUnauthorized: false,
    allowHalfOpen: true,
  } as object);
  client.on('error', () => {});
  const [inner] = await secured;
  inner.on('error', () => {});
  const outer = connectTcp({ port: await listen(server), host: '127.0.0.1', allowHalfOpen: true });
  outer.on('error', () => {});
  const [endpoint] = await accepted;
  const write = outer.write.bind(outer) as (...args: unknown[]) => boolean;
  outer.write = (...args: unknown[]) => {
    writes.push((args[0] as Buffer).length);
    return write(...args);
  };
  if (!intoRoom)
    inner.on('data', (chunk: Buffer) => chunks.push({ memory: chunk.buffer, whole: chunk.length === chunk.buffer.byteLength }));
  inner.pause();
  if (early !== '') await decrypted(inner, client, early);
  outer.pause();
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  const reader = new TlsReader(pool, intoRoom);
  splice(
    {
      client: { socket: inner, raw: inner, tls: true, reader, reset: () => inner.destroy() },
      endpoint: { socket: outer, raw: outer, tls: false, reader: null, reset: () => void outer.resetAndDestroy() },
    },
    { up: { add: () => {} }, down: { add: () => {} } },
    resolve,
  );
  return {
    pool,
    client,
    endpoint,
    writes,
    chunks,
    ended,
    close() {
      front.close();
      server.close();
    },
  };
}

/** Waits until TLS has decrypted what the client sends, and nobody has read it. */
async function decrypted(inner: TLSSocket, client: TLSSocket, sent: string): Promise<void> {
  client.write(sent);
  inner.read(0);
  while (inner.readableLength < sent.length) await new Promise(setImmediate);
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

t.test('the public API: what many records bring is written at once, and the memory they came in is free at once', async (t) => {
  const received = Promise.withResolvers<Buffer>();
  const r = await joined(false, (socket) => void readAll(socket).then(received.resolve));
  const sent = randomBytes(8 * MIB);
  r.client.end(sent);
  t.ok((await received.promise).equals(sent), 'every byte, in order');
  r.endpoint.end();
  r.client.resume();
  t.equal(await r.ended, 'closed');
  t.ok(r.chunks.length >= 512, `${r.chunks.length} records`);
  t.ok(r.writes.length < r.chunks.length / 2, `${r.writes.length} writes`);
  const left = r.chunks.filter(({ memory, whole }) => whole && memory.byteLength > 0);
  t.equal(left.length, 0, 'no memory that a record had for itself is left to the garbage collector');
  t.equal(r.pool.lent, 0, 'every buffer is back');
  r.close();
});

t.test('what many records bring is decrypted into the same memory, and written at once', async (t) => {
  const received = Promise.withResolvers<void>();
  const expected = createHash('sha256');
  const seen = createHash('sha256');
  const r = await joined(true, (socket) => {
    socket.on('data', (chunk: Buffer) => void seen.update(chunk));
    socket.on('end', () => received.resolve());
  });
  for (let i = 0; i < 64; i++) {
    const piece = randomBytes(MIB);
    expected.update(piece);
    if (!r.client.write(piece)) await once(r.client, 'drain');
  }
  r.client.end();
  await received.promise;
  t.equal(seen.digest('hex'), expected.digest('hex'), 'every byte, in order');
  r.endpoint.end();
  r.client.resume();
  t.equal(await r.ended, 'closed');
  t.ok(r.writes.length < 64 * 64 * 0.75, `${r.writes.length} writes of 4,096 records`);
  t.equal(r.pool.lent, 0, 'every buffer is back');
  t.ok(r.pool.made < 16, `${r.pool.made} buffers were made`);
  r.close();
});

t.test('thirty clients at once: each endpoint gets the bytes of its own client', async (t) => {
  const results = await Promise.all(
    Array.from({ length: 30 }, async (_, i) => {
      const received = Promise.withResolvers<Buffer>();
      const r = await joined(true, (socket) => void readAll(socket).then(received.resolve));
      const sent = Array.from({ length: 40 }, (_, j) => randomBytes(1 + ((i * 977 + j * 7919) % 40_000)));
      for (const piece of sent) {
        r.client.write(piece);
        await new Promise(setImmediate);
      }
      r.client.end();
      const isRight = (await received.promise).equals(Buffer.concat(sent));
      r.endpoint.end();
      r.client.resume();
      await r.ended;
      r.close();
      return isRight && r.pool.lent === 0;
    }),
  );
  t.strictSame(new Set(results), new Set([true]));
});

t.test('a reader that was closed before it started takes no buffer', async (t) => {
  const r = await joined(true, () => {});
  const pool = new BufferPool();
  const reader = new TlsReader(pool, true);
  const source = new PassThrough();
  source.write('what it still holds');
  reader.close();
  reader.start(source as unknown as Socket, r.endpoint, { intoTls: false, meter: { add: () => {} } });
  t.equal(pool.lent, 0);
  r.client.destroy();
  r.endpoint.destroy();
  await r.ended;
  r.close();
});

t.test('bytes that TLS had decrypted before the reader started come first', async (t) => {
  const received = Promise.withResolvers<Buffer>();
  const r = await joined(true, (socket) => void readAll(socket).then(received.resolve), 'early');
  r.client.end(' and late');
  t.equal((await received.promise).toString(), 'early and late');
  r.endpoint.end();
  r.client.resume();
  t.equal(await r.ended, 'closed');
  r.close();
});

t.test('early bytes of several records arrive whole where all large buffers are lent', async (t) => {
  const received = Promise.withResolvers<Buffer>();
  const early = randomBytes(24 * KIB).toString('hex');
  const r = await joined(true, (socket) => void readAll(socket).then(received.resolve), early, new BufferPool(0));
  r.client.end(' and late');
  t.ok((await received.promise).equals(Buffer.from(`${early} and late`)), `${(await received.promise).length} bytes`);
  r.endpoint.end();
  r.client.resume();
  t.equal(await r.ended, 'closed');
  t.equal(r.pool.lent, 0, 'every buffer is back');
  r.close();
});

t.test('the last bytes before an end are written before the end', async (t) => {
  for (const [size, intoRoom] of [1, 100, 16 * KIB, 16 * KIB + 1, 200 * KIB].flatMap((n) => [
    [n, true] as const,
    [n, false] as const,
  ])) {
    const received = Promise.withResolvers<Buffer>();
    const r = await joined(intoRoom, (socket) => void readAll(socket).then(received.resolve));
    const sent = randomBytes(size);
    r.client.end(sent);
    t.ok((await received.promise).equals(sent), `${size} bytes, ${intoRoom ? 'into the room' : 'by the public API'}`);
    r.endpoint.end('done');
    t.equal((await readAll(r.client)).toString(), 'done');
    t.equal(await r.ended, 'closed');
    t.equal(r.pool.lent, 0);
    r.close();
  }
});

for (const intoRoom of [true, false])
  t.test(
    `an endpoint that does not read holds the client back, with at most a few buffers (${intoRoom ? 'into the room' : 'public API'})`,
    async (t) => {
      const r = await joined(intoRoom, (socket) => socket.pause());
      const chunk = randomBytes(MIB);
      let taken = 0;
      for (let i = 0; i < 64; i++) r.client.write(chunk, () => (taken += MIB));
      for (let before = -1; before !== taken || r.pool.lent === 0;) {
        before = taken;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      t.ok(taken < 64 * MIB, `${taken} bytes were taken`);
      t.ok(r.pool.lent > 0 && r.pool.lent <= 2, `${r.pool.lent} buffers wait`);
      r.endpoint.resetAndDestroy();
      t.equal(await r.ended, 'endpoint-reset');
      t.equal(r.pool.lent, 0, 'what could not be written is given up');
      r.close();
    },
  );
