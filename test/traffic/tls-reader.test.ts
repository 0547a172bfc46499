import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
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
async function joined(onEndpoint: (socket: Socket) => void): Promise<Watched> {
  const pool = new BufferPool();
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
  inner.on('data', (chunk: Buffer) => chunks.push({ memory: chunk.buffer, whole: chunk.length === chunk.buffer.byteLength }));
  inner.pause();
  outer.pause();
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  const reader = new TlsReader(pool);
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

t.test('what many records bring is written at once, and the memory they came in is free at once', async (t) => {
  const received = Promise.withResolvers<Buffer>();
  const r = await joined((socket) => void readAll(socket).then(received.resolve));
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

t.test('the last bytes before an end are written before the end', async (t) => {
  for (const size of [1, 100, 16 * KIB, 16 * KIB + 1, 200 * KIB]) {
    const received = Promise.withResolvers<Buffer>();
    const r = await joined((socket) => void readAll(socket).then(received.resolve));
    const sent = randomBytes(size);
    r.client.end(sent);
    t.ok((await received.promise).equals(sent), `${size} bytes`);
    r.endpoint.end('done');
    t.equal((await readAll(r.client)).toString(), 'done');
    t.equal(await r.ended, 'closed');
    t.equal(r.pool.lent, 0);
    r.close();
  }
});

t.test('an endpoint that does not read holds the client back, with at most a few buffers', async (t) => {
  const r = await joined((socket) => socket.pause());
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
});
