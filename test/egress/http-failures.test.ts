import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { connect as connectHttp2 } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { freePort } from '../free-ports.ts';
import { startRaw } from '../raw-server.ts';
import { shopService } from './http-zone.ts';
import { gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

async function startHttp(t: Test, port: number, protocol = 'http'): Promise<Zone> {
  return startZone(t, {
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: () => shopService(`127.0.0.1:${port}`, { protocol }),
  });
}

const RESET = 'upstream connect error or disconnect/reset before headers. reset reason: ';
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

/** Returns the first answer to these bytes, by its length; the connection stays open. */
async function answerTo(socket: Socket, bytes: string): Promise<string> {
  let text = '';
  socket.write(bytes);
  for await (const [chunk] of eventsOf(socket)) {
    text += chunk.toString('latin1');
    const [head = '', body] = text.split('\r\n\r\n');
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (body !== undefined && body.length >= length) return text;
  }
  return text;
}

async function* eventsOf(socket: Socket): AsyncGenerator<[Buffer]> {
  while (!socket.destroyed && !socket.readableEnded) {
    const got = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => null)]);
    if (got === null) return;
    yield got as [Buffer];
  }
}

t.test('what a service does wrong is answered as Envoy does, and the connection of the client stays', async (t) => {
  for (const [name, serve, status, body] of [
    ['ends without an answer', (socket) => socket.once('data', () => socket.end()), 503, `${RESET}connection termination`],
    ['resets', (socket) => socket.once('data', () => socket.resetAndDestroy()), 503, `${RESET}connection termination`],
    [
      'answers what is not HTTP',
      (socket) => socket.once('data', () => socket.write('hello\r\n\r\n')),
      502,
      `${RESET}protocol error`,
    ],
    [
      'answers two lengths',
      (socket) => socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab')),
      502,
      `${RESET}protocol error`,
    ],
    [
      'answers a length and an encoding',
      (socket) =>
        socket.once('data', () =>
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
        ),
      502,
      `${RESET}protocol error`,
    ],
  ] as const satisfies readonly (readonly [string, (socket: Socket) => void, number, string])[]) {
    await t.test(name, async (t) => {
      const port = await startRaw(t, serve);
      await using zone = await startHttp(t, port);
      const socket = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
      for (let i = 0; i < 2; i++) {
        const answer = await answerTo(socket, GET);
        t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
        t.equal(answer.split('\r\n\r\n')[1], body);
      }
      socket.destroy();
    });
  }

  await t.test('refuses connections', async (t) => {
    await using zone = await startHttp(t, await freePort());
    const socket = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
    t.equal((await answerTo(socket, GET)).split('\r\n\r\n')[1], `${RESET}remote connection failure`);
    socket.destroy();
    t.match(await zone.record(({ destination }) => destination === 'shop'), { reason: 'connect-refused' });
  });
});

t.test('a second answer after the first reaches no client', async (t) => {
  const answer = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  const port = await startRaw(t, (socket) => socket.on('data', () => socket.write(answer('mine') + answer('stolen'))));
  await using zone = await startHttp(t, port);
  const first = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
  const second = await zone.connect('shop{mesh=default}', zone.mesh.client('other'));
  for (const socket of [first, second, first, second]) {
    t.match(await answerTo(socket, GET), /\r\n\r\nmine$/);
  }
  first.destroy();
  second.destroy();
});

t.test('an answer that is cut off cuts the client off', async (t) => {
  const port = await startRaw(t, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')),
  );
  await using zone = await startHttp(t, port);
  const socket = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.write(GET);
  await gone(socket);
  t.match(text, /\r\n\r\nhalf$/);
});

t.test('gRPC: HTTP/2 on both sides, trailers go through, a denied call reads its status', async (t) => {
  const server = createHttp2Server();
  server.on('stream', (stream, headers) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-path': String(headers[':path']) }));
    stream.on('data', (chunk: Buffer) => stream.write(chunk));
    stream.on('end', () => stream.end());
  });
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => sessions.add(session));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    for (const session of sessions) session.destroy();
    server.close();
    await once(server, 'close');
  });
  await using zone = await startHttp(t, (server.address() as AddressInfo).port, 'grpc');
  const socket = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
  const session = connectHttp2('https://shop', { createConnection: () => socket });
  const calls = Array.from({ length: 20 }, async (_, i) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/svc/${i}`,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const trailers = once(stream, 'trailers');
    stream.write(Buffer.alloc(50_000, i));
    stream.end(Buffer.alloc(50_000, i));
    let bytes = 0;
    for await (const chunk of stream) bytes += (chunk as Buffer).length;
    t.equal(bytes, 100_000);
    t.match((await trailers)[0], { 'grpc-status': '0', 'x-path': `/svc/${i}` });
  });
  await Promise.all(calls);
  session.destroy();
});

t.test('a reader that does not read holds the service back, and the others of its connection go on', async (t) => {
  let written = 0;
  const server = createHttp2Server();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    if (headers[':path'] === '/small') return void stream.end('small');
    const chunk = Buffer.alloc(65_536);
    const more = (): void => {
      while (written < 64 * 1024 * 1024) {
        written += chunk.length;
        if (!stream.write(chunk)) return void stream.once('drain', more);
      }
      stream.end();
    };
    more();
  });
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => sessions.add(session));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    for (const session of sessions) session.destroy();
    server.close();
    await once(server, 'close');
  });
  await using zone = await startHttp(t, (server.address() as AddressInfo).port, 'http2');
  const socket = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
  const session = connectHttp2('https://shop', { createConnection: () => socket });
  const stalled = session.request({ ':path': '/large' });
  stalled.on('error', () => {});
  await once(stalled, 'response');
  stalled.pause();
  for (let i = 0; i < 50; i++) {
    const small = session.request({ ':path': '/small' });
    let text = '';
    small.setEncoding('utf8');
    for await (const chunk of small) text += String(chunk);
    t.equal(text, 'small');
  }
  t.ok(written < 8 * 1024 * 1024, `${written} bytes were taken`);
  stalled.resume();
  let bytes = 0;
  for await (const chunk of stalled) bytes += (chunk as Buffer).length;
  t.equal(bytes, 64 * 1024 * 1024);
  session.destroy();
});
