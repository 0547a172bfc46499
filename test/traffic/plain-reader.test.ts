/**
 * A sink that takes every write later, as TLS and a slow reader do: the buffer still grows, and no
 * held buffer is overwritten.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { Writable } from 'node:stream';
import t from 'tap';
import type { Test } from 'tap';
import { BufferPool, SIZES } from '../../src/traffic/buffers.ts';
import { PlainReader } from '../../src/traffic/plain-reader.ts';

const TOTAL = 32 * 1024 * 1024;

for (const intoTls of [false, true]) {
  t.test(
    `${intoTls ? 'into TLS' : 'into a plain socket'} reads become as large as when each write is taken at once`,
    async (t) => {
      const data = randomBytes(TOTAL);
      const { pool, reader, source } = await connected(t, data);
      const hash = createHash('sha256');
      const sizes: number[] = [];
      const sink = new Writable({
        write(chunk: Buffer, _, done) {
          // Read only when the write is done: a read into the buffer meanwhile is noticed.
          setTimeout(() => {
            hash.update(chunk);
            done();
          }, 1);
        },
      });
      reader.start(source, sink as unknown as Socket, { intoTls, meter: { add: (bytes) => void sizes.push(bytes) } });
      await once(source, 'end');
      sink.end();
      await once(sink, 'finish');
      reader.close();

      t.equal(hash.digest('hex'), createHash('sha256').update(data).digest('hex'));
      t.equal(
        sizes.reduce((sum, size) => sum + size, 0),
        TOTAL,
      );
      t.equal(pool.lent, 0);
      const largest = SIZES.at(-1) ?? 0;
      const late = sizes.slice(Math.floor(sizes.length / 2));
      t.ok(Math.max(...sizes) > largest / 4, `the largest read had ${Math.max(...sizes)} bytes`);
      t.ok(
        late.reduce((sum, size) => sum + size, 0) / late.length > largest / 16,
        `the mean of the later half of ${sizes.length} reads`,
      );
    },
  );
}

t.test('closed while a write holds a buffer that is replaced already, both go back', async (t) => {
  const { pool, reader, source } = await connected(t, randomBytes(TOTAL));
  source.on('error', () => {});
  const stuck: (() => void)[] = [];
  const sink = new Writable({ write: (_chunk, _encoding, done) => void stuck.push(done) });
  const first = new Promise<number>((resolve) =>
    reader.start(source, sink as unknown as Socket, { intoTls: false, meter: { add: resolve } }),
  );
  t.equal(await first, SIZES[0], 'the first buffer is full');
  t.equal(pool.lent, 2, 'the one that is written from, and the larger one for the next read');
  source.destroy();
  reader.close();
  t.equal(pool.lent, 1);
  stuck.shift()?.();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(pool.lent, 0);
});

/** Makes a reader of a paused socket whose peer sends the data and ends. */
async function connected(t: Test, data: Buffer): Promise<{ pool: BufferPool; reader: PlainReader; source: Socket }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(data);
  });
  t.teardown(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const pool = new BufferPool();
  const reader = new PlainReader(pool);
  const source = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    onread: { buffer: reader.onread.buffer as unknown as Uint8Array, callback: reader.onread.callback },
  });
  source.pause();
  await once(source, 'connect');
  return { pool, reader, source };
}
