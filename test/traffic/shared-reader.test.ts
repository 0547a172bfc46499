import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { createTestMesh } from '../../src/testing/public.ts';
import { UnderTls } from '../../src/traffic/under-tls.ts';

const mesh = await createTestMesh('default', { keyType: 'ec' });
const leaf = mesh.issue({ dns: ['localhost'] });

interface Front {
  readonly port: number;
  /** The sockets that clients were moved to. */
  readonly moved: Socket[];
  readonly unders: UnderTls[];
  close(): void;
}

/** Returns over TLS what it gets, and reads each client into the shared buffer where it may. */
async function startFront(shares: boolean): Promise<Front> {
  const moved: Socket[] = [];
  const unders: UnderTls[] = [];
  const raws: Socket[] = [];
  const tls = createTlsServer({ cert: leaf.cert, key: leaf.key });
  tls.on('secureConnection', (socket) => {
    const under = UnderTls.current;
    if (under === null) throw new Error('the handshake of no connection');
    under.secured(socket);
    unders.push(under);
    if (shares) under.shareReads((raw) => moved.push(raw));
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => socket.write(bytes));
  });
  const tcp: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (raw) => {
    raw.on('error', () => {});
    raws.push(raw);
    const under = new UnderTls(raw);
    tls.emit('connection', under);
    under.start(null);
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  return {
    port: (tcp.address() as AddressInfo).port,
    moved,
    unders,
    close() {
      for (const socket of [...raws, ...moved]) socket.destroy();
      tcp.close();
      tcp.unref();
    },
  };
}

async function dial(port: number, below: Socket = connectTcp({ port, host: '127.0.0.1' })): Promise<TLSSocket> {
  below.on('error', () => {});
  const client = connectTls({ socket: below, rejectUnauthorized: false });
  client.on('error', () => {});
  await once(client, 'secureConnect');
  return client;
}

async function ping(client: TLSSocket, times: number): Promise<void> {
  const message = Buffer.alloc(512, 'm');
  for (let i = 0; i < times; i++) {
    client.write(message);
    let length = 0;
    while (length < message.length) length += ((await once(client, 'data')) as [Buffer])[0].length;
  }
}

t.test('a small message there and back leaves less than 8 KB outside of the heap', async (t) => {
  const front = await startFront(true);
  const client = await dial(front.port);
  await ping(client, 20);
  t.equal(front.moved.length, 1, 'the client was moved once');
  let grown = 0;
  let last = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 100; i++) {
    await ping(client, 1);
    const now = process.memoryUsage().arrayBuffers;
    // It falls when V8 collects.
    grown += Math.max(0, now - last);
    last = now;
  }
  t.ok(grown / 100 < 8 * 1024, `${Math.round(grown / 100)} bytes for each`);
  client.destroy();
  front.close();
});

t.test('a short connection stays with the socket that was accepted', async (t) => {
  const front = await startFront(true);
  const client = await dial(front.port);
  await ping(client, 1);
  t.same(front.moved, []);
  client.destroy();
  front.close();
});

t.test('where it may not, a connection is never moved', async (t) => {
  const front = await startFront(false);
  const client = await dial(front.port);
  await ping(client, 20);
  t.same(front.moved, []);
  client.destroy();
  front.close();
});

t.test('a moved client that resets its connection is an error of TLS', async (t) => {
  const front = await startFront(true);
  const below = connectTcp({ port: front.port, host: '127.0.0.1' });
  const client = await dial(front.port, below);
  await ping(client, 20);
  const [under] = front.unders;
  if (under === undefined) throw new Error('no connection was accepted');
  t.ok(under.raw === front.moved[0], 'it has the other socket');
  const failed = once(under, 'error') as Promise<[Error & { code?: string }]>;
  below.resetAndDestroy();
  t.equal((await failed)[0].code, 'ECONNRESET');
  t.ok(under.destroyed);
  t.ok(under.raw.destroyed);
  front.close();
});
