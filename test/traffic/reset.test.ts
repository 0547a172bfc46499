import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import t from 'tap';
import { resetTcp } from '../../src/traffic/reset.ts';
import { descriptors } from '../egress/descriptors.ts';
import { closed } from './closed.ts';

const MIB = 1024 * 1024;

interface Pair {
  readonly server: Server;
  readonly near: Socket;
  readonly far: Socket;
}

async function pair(): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  await once(near, 'connect');
  const [far] = await accepted;
  for (const socket of [near, far]) socket.on('error', () => {});
  return { server, near, far };
}

t.test('a connection is reset at once', async (t) => {
  const { server, near, far } = await pair();
  far.resume();
  const failed = once(far, 'error') as Promise<[Error & { code?: string }]>;
  resetTcp(near);
  const [error] = await failed;
  t.equal(error.code, 'ECONNRESET');
  await closed(near);
  server.close();
});

t.test('one whose end is under way is reset after it, and its descriptor comes back', { timeout: 240_000 }, async (t) => {
  const { server, near, far } = await pair();
  near.write(Buffer.alloc(32 * MIB, 1));
  near.end();
  resetTcp(near);
  t.notOk(near.destroyed, 'the peer has not taken what comes before the end');
  far.resume();
  await closed(near);
  t.ok(near.writableFinished);
  far.destroy();
  server.close();
});

t.test('one whose end was called in the same tick', { timeout: 240_000 }, async (t) => {
  const before = descriptors();
  const { server, near, far } = await pair();
  far.resume();
  near.end();
  resetTcp(near);
  t.notOk(near.destroyed);
  resetTcp(near);
  t.equal(near.listenerCount('finish'), 1, 'one waits for all');
  await closed(near);
  far.destroy();
  await closed(far);
  await new Promise((resolve) => server.close(resolve));
  t.equal(descriptors(), before);
});

t.test('whose peer never takes the rest is ended by its owner', { timeout: 240_000 }, async (t) => {
  const { server, near, far } = await pair();
  near.write(Buffer.alloc(32 * MIB, 1));
  near.end();
  resetTcp(near);
  t.equal(near.timeout, 10_000, 'or by itself when nothing goes for so long');
  near.emit('timeout');
  await closed(near);
  far.destroy();
  server.close();
});

t.test('a connection that is over is left alone', async (t) => {
  const { server, near, far } = await pair();
  near.destroy();
  await closed(near);
  t.doesNotThrow(() => resetTcp(near));
  far.destroy();
  server.close();
});
