// HTTP/2 streams from end to end: how they are reset, and what is buffered of streams that are not
// read.
import { once } from 'node:events';
import { connect as connectHttp2, createServer } from 'node:http2';
import type { ClientHttp2Session, ServerHttp2Stream } from 'node:http2';
import t from 'tap';
import { SHOP, startHttpZone } from './http-zone.ts';
import { listen } from './virtual-host.ts';
import type { Zone } from './zone.ts';

async function openSession(zone: Zone, initialWindowSize: number): Promise<ClientHttp2Session> {
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const session = connectHttp2('https://a', { createConnection: () => socket, settings: { initialWindowSize } });
  session.on('error', () => {});
  return session;
}

t.test('a reset reaches the other side, in both directions, and the connection stays', async (t) => {
  const streams: ServerHttp2Stream[] = [];
  const server = createServer();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    // Without this option the library would end a stream as complete before it resets it.
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({}));
    streams.push(stream);
    if (headers[':path'] === '/whole') stream.end('whole');
    else stream.write('begun');
  });
  await using service = await listen(server);
  await using zone = await startHttpZone(t, service.port, { protocol: 'http2' });
  const session = await openSession(zone, 65_535);
  for (const code of [2, 7, 8, 11]) {
    const stream = session.request({ ':path': '/cut' });
    stream.on('error', () => {});
    await once(stream, 'data');
    const closed = once(stream, 'close').catch(() => {});
    streams.at(-1)?.close(code);
    await closed;
    t.equal(stream.rstCode, code, `the service resets with ${code}`);
  }
  const given = session.request({ ':path': '/cut' });
  given.on('error', () => {});
  await once(given, 'data');
  const last = streams.at(-1);
  const over = new Promise((resolve) => last?.once('close', resolve));
  given.close(8);
  await over;
  t.equal(last?.rstCode, 8, 'the client gives up');
  const whole = session.request({ ':path': '/whole' });
  const [chunk] = (await once(whole, 'data')) as [Buffer];
  t.equal(chunk.toString(), 'whole');
  session.destroy();
});

t.test('500 unread streams take little from the service', async (t) => {
  let taken = 0;
  const chunk = Buffer.alloc(16_384);
  const server = createServer();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    if (headers[':path'] === '/small') return void stream.end();
    const more = (): void => {
      do taken += chunk.length;
      while (stream.write(chunk));
      stream.once('drain', more);
    };
    more();
  });
  await using service = await listen(server);
  await using zone = await startHttpZone(t, service.port, { protocol: 'http2' });
  const session = await openSession(zone, 0);
  const heads = Array.from({ length: 500 }, () => {
    const stream = session.request({ ':path': '/large' });
    stream.on('error', () => {});
    stream.pause();
    return once(stream, 'response');
  });
  await Promise.all(heads);
  for (let i = 0; i < 20; i++) {
    const [headers] = (await once(session.request({ ':path': '/small' }), 'response')) as [Record<string, unknown>];
    if (headers[':status'] !== 200) t.fail('another stream is not served');
  }
  t.ok(taken < 500 * 512 * 1024, `${taken} bytes were taken`);
  session.destroy();
});
