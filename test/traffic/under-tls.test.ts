import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import t from 'tap';
import { createTestMesh } from '../../src/testing/public.ts';
import { nextTurn } from '../../src/base/clock.ts';
import { UnderTls } from '../../src/traffic/under-tls.ts';
import { closed } from './closed.ts';

const MIB = 1024 * 1024;
const mesh = await createTestMesh('default', { keyType: 'ec' });
const leaf = mesh.issue({ dns: ['localhost'] });

interface Accepted {
  readonly raw: Socket;
  readonly under: UnderTls;
  readonly tls: TLSSocket;
}

/** Accepts connections, reads their first bytes as the egress does, and runs TLS over them. */
class Front {
  readonly tcp: Server;
  readonly tls: TlsServer;
  /** For each ended connection, the local error, and the last TLS error. */
  readonly failed: (Error | null)[] = [];
  lastError: Error | null = null;
  readonly accepted: Promise<Accepted>[] = [];
  readonly raws: Socket[] = [];
  readonly #done = new Map<UnderTls, (tls: TLSSocket) => void>();

  constructor() {
    this.tls = createTlsServer({ cert: leaf.cert, key: leaf.key, allowHalfOpen: true } as object);
    this.tls.on('secureConnection', (socket) => {
      const under = UnderTls.current;
      if (under === null) throw new Error('a handshake of nobody');
      this.#done.get(under)?.(socket);
    });
    this.tls.on('tlsClientError', (error) => (this.lastError = error));
    this.tcp = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (raw) => {
      raw.on('error', () => {});
      this.raws.push(raw);
      raw.once('data', (first: Buffer) => {
        raw.pause();
        const under = new UnderTls(raw);
        under.onEnd = (error) => this.failed.push(error ?? this.lastError);
        this.accepted.push(
          new Promise((resolve) => {
            this.#done.set(under, (socket) => {
              socket.on('error', () => {});
              under.secured(socket);
              resolve({ raw, under, tls: socket });
            });
          }),
        );
        this.tls.emit('connection', under);
        under.start(first);
      });
      raw.resume();
    });
  }

  async listen(): Promise<number> {
    this.tcp.listen(0, '127.0.0.1');
    await once(this.tcp, 'listening');
    return (this.tcp.address() as AddressInfo).port;
  }

  close(): void {
    for (const raw of this.raws) raw.destroy();
    this.tcp.close();
  }
}

function dial(port: number, options: object = {}): TLSSocket {
  const client = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, allowHalfOpen: true, ...options } as object);
  client.on('error', () => {});
  return client;
}

async function opened(): Promise<{ front: Front; client: TLSSocket } & Accepted> {
  const front = new Front();
  const client = dial(await front.listen());
  await once(client, 'secureConnect');
  const accepted = await front.accepted[0];
  if (accepted === undefined) throw new Error('nothing was accepted');
  return { front, client, ...accepted };
}

/** Makes this many bytes of whole records, of at most 16 KB. */
function records(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 16 * 1024) {
    bytes.writeUInt8(23, at);
    bytes.writeUInt16BE(0x0303, at + 1);
    bytes.writeUInt16BE(Math.min(16 * 1024, length - at) - 5, at + 3);
  }
  return bytes;
}

async function read(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.resume();
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

t.test('bytes arrive as they were sent, both ways at once, and each direction ends by itself', async (t) => {
  const { front, client, tls, raw } = await opened();
  const [up, down] = [randomBytes(8 * MIB), randomBytes(8 * MIB)];
  client.end(up);
  const atServer = read(tls);
  t.ok(up.equals(await atServer));
  t.notOk(tls.writableEnded, 'the other direction is open');
  const atClient = read(client);
  tls.end(down);
  t.ok(down.equals(await atClient));
  await closed(raw);
  front.close();
});

t.test(
  'a client that sends into a connection whose other direction is over is heard to its end, however late TLS is read',
  async (t) => {
    for (const size of [1_000, 60_000, 200_000]) {
      const { front, client, tls, raw } = await opened();
      tls.pause();
      client.resume();
      tls.end('bye');
      await once(client, 'end');
      const sent = randomBytes(size);
      client.end(sent);
      // All that fits has arrived by now, and both directions of the connection may be over.
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
      t.ok(sent.equals(await read(tls)), `${size} bytes`);
      await closed(raw);
      t.ok(raw.destroyed);
      front.close();
    }
  },
);

t.test('records of all sizes arrive whole where TLS stops reading again and again', async (t) => {
  const { front, client, tls, raw } = await opened();
  const sent: Buffer[] = [];
  for (let i = 0; i < 400; i++) sent.push(randomBytes(i % 2 === 0 ? 10 : 16 * 1024));
  const hash = createHash('sha256');
  // Like a relay with a slow other side. A TLS socket stops reading when its buffer is full.
  tls.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    if (tls.isPaused()) return;
    tls.pause();
    setImmediate(() => setImmediate(() => tls.resume()));
  });
  const over = Promise.race([once(tls, 'end'), once(tls, 'error'), closed(raw)]);
  tls.resume();
  let stops = 0;
  raw.on('pause', () => stops++);
  void (async () => {
    // Several waiting writes would become one record.
    for (const bytes of sent) await new Promise((resolve) => client.write(bytes, resolve));
    client.end();
  })();
  await over;
  t.equal(tls.bytesRead, Buffer.concat(sent).length);
  t.equal(hash.digest('hex'), createHash('sha256').update(Buffer.concat(sent)).digest('hex'));
  t.ok(stops > 10, `reading stopped ${stops} times`);
  tls.end();
  client.resume();
  await closed(raw);
  front.close();
});

t.test('a piece is handed over before the next one of its memory is asked for', async (t) => {
  const raw = new Duplex({ read: () => {} });
  const under = new UnderTls(raw as unknown as Socket);
  const got: string[] = [];
  under.on('data', (chunk: Buffer) => got.push(chunk.toString('hex')));
  under.start(null);
  for (const many of [1, 2, 3, 8]) {
    got.length = 0;
    under.pause();
    const bytes = Buffer.from(Uint8Array.from({ length: many * 6 }, (_, i) => [23, 3, 3, 0, 1, 0x41 + i][i % 6] ?? 0).buffer);
    const wanted = Array.from({ length: many }, (_, i) => bytes.toString('hex', i * 6, i * 6 + 6));
    raw.push(bytes);
    await nextTurn();
    t.same(got, [], 'nothing while TLS does not read');
    under.resume();
    await nextTurn();
    t.same(got, wanted, `${many} records of one read`);
    t.equal(bytes.length, 0, 'the memory is free');
  }
  raw.push(null);
  await once(under, 'end');
  under.destroy();
});

t.test('what TLS writes after its end is dropped, and says so without an error', async (t) => {
  const { front, client, tls, under, raw } = await opened();
  client.resume();
  tls.end();
  await once(raw, 'finish');
  let told = 0;
  t.ok(under.writableEnded);
  under.write(Buffer.alloc(5), () => told++);
  under.write(Buffer.alloc(5), 'latin1', () => told++);
  under.write(Buffer.alloc(5));
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(told, 2);
  t.notOk(under.destroyed);
  client.end('still heard');
  t.equal(String(await read(tls)), 'still heard');
  front.close();
});

t.test('a write that is under way when the connection is reset', async (t) => {
  const { front, client, tls, raw } = await opened();
  client.pause();
  const written = new Promise<unknown>((resolve) => tls.write(randomBytes(16 * MIB), resolve));
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(raw.writableLength > 0, 'the kernel has not taken all of it');
  raw.resetAndDestroy();
  await closed(tls);
  t.type(await written, Error);
  client.destroy();
  front.close();
});

t.test('memory of reads and of writes is free when they are done', async (t) => {
  const { front, client, tls, raw } = await opened();
  const seen: ArrayBufferLike[] = [];
  raw.on('data', (chunk: Buffer) => {
    if (chunk.length === chunk.buffer.byteLength) seen.push(chunk.buffer);
  });
  const write = raw.write.bind(raw) as (...args: unknown[]) => boolean;
  const written: ArrayBufferLike[] = [];
  raw.write = (...args: unknown[]) => {
    const chunk = args[0] as Buffer;
    if (chunk.length === chunk.buffer.byteLength) written.push(chunk.buffer);
    return write(...args);
  };
  client.end(randomBytes(2 * MIB));
  await read(tls);
  const atClient = read(client);
  tls.end(randomBytes(2 * MIB));
  t.equal((await atClient).length, 2 * MIB);
  t.ok(seen.length > 0 && written.length > 0, `${seen.length} reads and ${written.length} writes had memory of their own`);
  t.same(
    [...seen, ...written].filter((memory) => memory.byteLength > 0),
    [],
  );
  front.close();
});

t.test('handshakes that alternate are told apart, those that fail too', async (t) => {
  const front = new Front();
  const port = await front.listen();
  const refusedOnes = Array.from({ length: 4 }, () =>
    dial(port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }),
  );
  const clients = Array.from({ length: 8 }, () => dial(port));
  await Promise.all(clients.map((client) => once(client, 'secureConnect')));
  await Promise.all(refusedOnes.map(closed));
  t.equal(front.failed.length, 4);
  for (const error of front.failed) t.match(error, { reason: 'unsupported protocol' });
  const ports = clients.map(({ localPort }) => localPort);
  const accepted = await Promise.all(front.accepted.filter((_, i) => ports.includes(front.raws[i]?.remotePort)));
  t.equal(accepted.length, 8);
  for (const { raw, tls, under } of accepted) {
    const client = clients.find(({ localPort }) => localPort === raw.remotePort);
    const answer = once(client as TLSSocket, 'data') as Promise<[Buffer]>;
    tls.write(String(raw.remotePort));
    t.equal(String((await answer)[0]), String(client?.localPort), 'this TLS socket is the one over this connection');
    t.notOk(under.destroyed);
  }
  t.equal(UnderTls.current, null, 'nobody is fed in between');

  for (const client of clients) client.destroy();
  front.close();
});

t.test('a reset of the connection is an error of the TLS socket', async (t) => {
  const front = new Front();
  const below = connectTcp({ port: await front.listen(), host: '127.0.0.1' });
  below.on('error', () => {});
  const client = connectTls({ socket: below, rejectUnauthorized: false });
  client.on('error', () => {});
  await once(client, 'secureConnect');
  const accepted = await front.accepted[0];
  if (accepted === undefined) throw new Error('nothing was accepted');
  const failed = once(accepted.tls, 'error') as Promise<[Error & { code?: string }]>;
  accepted.tls.resume();
  below.resetAndDestroy();
  const [error] = await failed;
  t.equal(error.code, 'ECONNRESET');
  await closed(accepted.tls);
  t.ok(accepted.raw.destroyed);
  front.close();
});

t.test('after a megabyte of full reads the others have a turn', async (t) => {
  // A turn also ends by time, which a busy machine would spend within these few lines.
  performance.now = () => 0;
  t.teardown(() => Reflect.deleteProperty(performance, 'now'));
  const raw = new Duplex({ read: () => {} });
  const under = new UnderTls(raw as unknown as Socket);
  let read = 0;
  under.start(records(5));
  under.on('data', (chunk: Buffer) => (read += chunk.length));
  under.resume();
  await nextTurn();
  t.notOk(raw.isPaused());
  for (let i = 0; i < 15; i++) raw.emit('data', records(64 * 1024));
  t.notOk(raw.isPaused());
  raw.emit('data', records(64 * 1024));
  t.ok(raw.isPaused(), 'sixteen times 64 KB');
  under.read(0);
  t.ok(raw.isPaused(), 'also where TLS would read on');
  await nextTurn();
  t.notOk(raw.isPaused());
  for (let i = 0; i < 40; i++) raw.emit('data', records(i % 10 === 0 ? 1_000 : 64 * 1024));
  t.notOk(raw.isPaused(), 'a read that found less gave the others their turn');
  t.equal(read, 5 + 16 * 64 * 1024 + 36 * 64 * 1024 + 4_000);
  under.destroy();
});

t.test('a TLS socket that is not read stops the sender', async (t) => {
  const { front, client, tls, raw } = await opened();
  tls.pause();
  const chunk = Buffer.alloc(64 * 1024, 1);
  let sent = 0;
  const endsAt = Date.now() + 120_000;
  while (Date.now() < endsAt && client.writableLength < MIB) {
    client.write(chunk);
    sent += chunk.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const before = raw.bytesRead;
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.equal(raw.bytesRead, before, 'reading has stopped');
  t.ok(client.writableLength >= MIB, 'and the sender feels it');
  const received = read(tls);
  client.end();
  t.equal((await received).length, sent);
  client.destroy();
  front.close();
});
