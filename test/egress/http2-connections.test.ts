// Connections of HTTP/2, to clients and to services: what is held back or cut off is no flood; a
// service ends its connection without a word.
import { once } from 'node:events';
import { createServer as createHttp1 } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import type { Clock } from '../../src/base/clock.ts';
import { SHOP, startHttpZone } from './http-zone.ts';
import { until } from './until.ts';
import { bodyOf, listen, sha256 } from './virtual-host.ts';
import type { Zone } from './zone.ts';

const RESET = 'upstream connect error or disconnect/reset before headers. reset reason: ';

/** Looks at what connections spend come every few milliseconds, and are counted. */
function watchfulClock(): Clock & { looks: number } {
  const system = systemClock({ keepAlive: false });
  const clock = {
    ...system,
    looks: 0,
    every: (ms: number, fn: () => void) => {
      const look = (): void => {
        clock.looks++;
        fn();
      };
      return ms === 500 ? system.every(5, look) : system.every(ms, fn);
    },
  };
  return clock;
}

async function openSession(zone: Zone, initialWindowSize = 65_535): Promise<ClientHttp2Session> {
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const session = connectHttp2('https://a', { createConnection: () => socket, settings: { initialWindowSize } });
  session.on('error', () => {});
  return session;
}

async function bytesOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Status and body of a whole answer, or how it ended. */
async function answerOf(stream: ClientHttp2Stream): Promise<readonly [number, string]> {
  let status = 0;
  stream.once('response', (head) => (status = Number(head[':status'])));
  const body = await bytesOf(stream).catch(() => Buffer.from(`reset ${stream.rstCode}`));
  return [status, body.toString('latin1')];
}

async function looked(clock: { readonly looks: number }): Promise<void> {
  const { looks } = clock;
  await until('the connections were looked at', () => clock.looks > looks + 20);
}

t.test('an upload that its service does not read yet is held back, and comes whole', async (t) => {
  const clock = watchfulClock();
  const held: (() => Promise<void>)[] = [];
  await using service = await listen(
    createHttp1((request, response) => {
      held.push(async () => void response.end(sha256(await bytesOf(request))));
    }),
  );
  await using zone = await startHttpZone(t, service.port, { clock });
  const session = await openSession(zone);
  const whole = bodyOf(0, 8 * 1024 * 1024);
  const large = session.request({ ':method': 'POST', ':path': '/large' });
  const answers = [answerOf(large)];
  large.end(whole);
  const small = session.request({ ':method': 'POST', ':path': '/small' });
  answers.push(answerOf(small));
  for (let i = 0; i < 4_000; i++) small.write(whole.subarray(i * 20, i * 20 + 20));
  small.end();
  await until('both have begun', () => held.length === 2);
  await looked(clock);
  await Promise.all(held.map((read) => read()));
  t.strictSame(await Promise.all(answers), [
    [200, sha256(whole)],
    [200, sha256(whole.subarray(0, 80_000))],
  ]);
  session.destroy();
});

/** Serves `/small`, and `/large` and `/pieces` of which each is as long as its client reads. */
async function startLarge(): Promise<AsyncDisposable & { readonly port: number; readonly connections: Socket[] }> {
  const server = createHttp2();
  const connections: Socket[] = [];
  server.on('connection', (socket: Socket) => connections.push(socket));
  server.on('stream', (stream: ServerHttp2Stream, { ':path': path = '' }) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    if (path === '/small') return void stream.end('small');
    if (path === '/large') return void stream.end(bodyOf(0, 4 * 1024 * 1024));
    for (let i = 0; i < 4_000; i++) stream.write(bodyOf(i * 20, i * 20 + 20));
    stream.end();
  });
  const { port, [Symbol.asyncDispose]: close } = await listen(server);
  return { port, connections, [Symbol.asyncDispose]: close };
}

t.test('an answer that its client does not read is held back or given up, and the connection of the service stays', async (t) => {
  const clock = watchfulClock();
  await using service = await startLarge();
  await using zone = await startHttpZone(t, service.port, { clock, protocol: 'http2' });
  const session = await openSession(zone, 1_000);
  for (const path of ['/large', '/pieces', '/large', '/pieces']) {
    const stalled = session.request({ ':path': path });
    stalled.on('error', () => {});
    stalled.pause();
    await once(stalled, 'response');
    await looked(clock);
    const running = session.request({ ':path': path });
    const [, body] = await answerOf(running);
    t.equal(sha256(Buffer.from(body, 'latin1')), sha256(bodyOf(0, path === '/large' ? 4 * 1024 * 1024 : 80_000)), path);
    stalled.close(8);
    await once(stalled, 'close');
    await looked(clock);
  }
  t.strictSame(await answerOf(session.request({ ':path': '/small' })), [200, 'small']);
  t.equal(service.connections.length, 1);
  session.destroy();
});

t.test('an answer that comes before the end of an upload is no flood of its client', async (t) => {
  const clock = watchfulClock();
  await using service = await listen(createHttp1((_, response) => response.writeHead(413).end('too large')));
  await using zone = await startHttpZone(t, service.port, { clock });
  const session = await openSession(zone);
  for (let i = 0; i < 2; i++) {
    const upload = session.request({ ':method': 'POST', ':path': '/x' });
    upload.on('error', () => {});
    const chunk = Buffer.alloc(16_384);
    const more = (): void => {
      while (!upload.destroyed && upload.write(chunk));
    };
    upload.on('drain', more);
    more();
    const closed = once(upload, 'close');
    const [head] = (await once(upload, 'response')) as [Record<string, unknown>];
    t.equal(head[':status'], 413);
    upload.resume();
    await closed;
    await looked(clock);
  }
  t.notOk(session.destroyed, 'the connection is the same');
  session.destroy();
});

t.test('a service that ends its connection without a word', async (t) => {
  const open: Socket[] = [];
  const server = createHttp2();
  server.on('connection', (socket: Socket) => open.push(socket));
  const streams: ServerHttp2Stream[] = [];
  server.on('stream', (stream: ServerHttp2Stream, { ':path': path = '' }) => {
    stream.on('error', () => {});
    streams.push(stream);
    if (path === '/never') return;
    stream.respond({ ':status': 200 });
    if (path === '/half') stream.write('half');
    else stream.end(path === '/large' ? bodyOf(0, 200_000) : 'whole');
  });
  await using service = await listen(server);
  await using zone = await startHttpZone(t, service.port, { protocol: 'http2' });
  const session = await openSession(zone, 1_000);
  const ask = (path: string, method = 'GET'): ClientHttp2Stream =>
    session.request({ ':path': path, ':method': method }, { endStream: true });
  const whole = async (): Promise<void> => {
    t.strictSame(await answerOf(ask('/whole')), [200, 'whole']);
  };
  const arrived = (count: number): Promise<void> => until('the request is at the service', () => streams.length === count);
  /** As the end of a process does: nothing but the end of the connection. */
  const end = (): void => {
    open.at(-1)?.end();
    streams.length = 0;
  };

  await whole();
  end();
  await whole();
  t.equal(open.length, 2, 'an idle one: the next request goes out on another');

  streams.length = 0;
  const post = answerOf(ask('/never', 'POST'));
  await arrived(1);
  end();
  t.strictSame(await post, [503, `${RESET}connection termination`], 'a request that may not be sent twice');

  await whole();
  streams.length = 0;
  const get = answerOf(ask('/never'));
  await arrived(1);
  end();
  await arrived(1);
  end();
  t.strictSame(await get, [503, `${RESET}connection termination`], 'one that may is sent twice');
  t.equal(open.length, 4);

  const half = ask('/half');
  half.on('error', () => {});
  await once(half, 'data');
  end();
  await once(half, 'close').catch(() => {});
  t.equal(half.rstCode, 2, 'an answer that has begun is cut off');

  await whole();
  streams.length = 0;
  const large = ask('/large');
  large.on('error', () => {});
  large.pause();
  await once(large, 'response');
  await until('the answer has left the service', () => streams[0]?.destroyed === true);
  end();
  await whole();
  t.equal(sha256(Buffer.from((await answerOf(large))[1], 'latin1')), sha256(bodyOf(0, 200_000)), 'what came whole is read');
  session.destroy();
});
