// Values of headers are bytes: a name of a file in UTF-8, or in Latin-1, arrives as it was sent.
import { once } from 'node:events';
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { readAll, SHOP, startHttpZone, startRawService } from './http-zone.ts';

/** Each byte as one character: é in UTF-8, then é in Latin-1, then a control. */
const BYTES = 'a\xc3\xa9 \xe9\x9bb';
const HEADERS = `X-Answer: ${BYTES}\r\n`;
const ANSWERS: Readonly<Record<string, string>> = {
  '/length': `HTTP/1.1 200 OK\r\n${HEADERS}Content-Length: 2\r\n\r\nab`,
  '/chunks': `HTTP/1.1 200 OK\r\n${HEADERS}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`,
  '/empty': `HTTP/1.1 200 OK\r\n${HEADERS}Content-Length: 0\r\n\r\n`,
  '/204': `HTTP/1.1 204 No Content\r\n${HEADERS}\r\n`,
  '/304': `HTTP/1.1 304 Not Modified\r\n${HEADERS}\r\n`,
  '/late': `HTTP/1.1 200 OK\r\n${HEADERS}Content-Length: 2\r\n\r\n`,
};

t.test('the values of headers keep their bytes, both ways, for clients of HTTP/1.1 and HTTP/2', async (t) => {
  const service = await startRawService(t, ({ head }, socket) => {
    const path = head.split(' ')[1] ?? '';
    if (path === '/late') setImmediate(() => socket.write('ab'));
    return ANSWERS[path] ?? null;
  });
  await using zone = await startHttpZone(t, service.port);
  for (const path of Object.keys(ANSWERS)) {
    const text = await readAll(zone, `GET ${path} HTTP/1.1\r\nHost: a\r\nX-Asked: ${BYTES}\r\nConnection: close\r\n\r\n`);
    t.match(text, `\r\nx-answer: ${BYTES}\r\n`, `HTTP/1.1 ${path}`);
    t.match(service.arrived.at(-1)?.head, `\r\nx-asked: ${BYTES}`, `HTTP/1.1 ${path}`);
  }
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const session = connectHttp2('https://a', { createConnection: () => socket });
  for (const path of Object.keys(ANSWERS)) {
    const stream = session.request({ ':path': path, 'x-asked': BYTES });
    const [headers] = (await once(stream, 'response')) as [Record<string, string>];
    t.equal(headers['x-answer'], BYTES, `HTTP/2 ${path}`);
    t.match(service.arrived.at(-1)?.head, `\r\nx-asked: ${BYTES}`, `HTTP/2 ${path}`);
    stream.close();
  }
  session.destroy();
});

t.test('so do those of a service of HTTP/2, in its head and its trailers', async (t) => {
  const asked: unknown[] = [];
  const server = createHttp2();
  server.on('stream', (stream, headers) => {
    asked.push(headers['x-asked']);
    stream.respond({ ':status': 200, 'x-answer': BYTES }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-after': BYTES }));
    stream.end('ab');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  await using zone = await startHttpZone(t, (server.address() as AddressInfo).port, { protocol: 'http2' });
  const text = await readAll(zone, `GET / HTTP/1.1\r\nHost: a\r\nX-Asked: ${BYTES}\r\nTE: trailers\r\nConnection: close\r\n\r\n`);
  t.match(text, `\r\nx-answer: ${BYTES}\r\n`);
  t.match(text, /\r\n0\r\n(x-after: .*\r\n)?\r\n$/);
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const session = connectHttp2('https://a', { createConnection: () => socket });
  const stream = session.request({ ':path': '/', 'x-asked': BYTES });
  const trailers = once(stream, 'trailers');
  const [headers] = (await once(stream, 'response')) as [Record<string, string>];
  t.equal(headers['x-answer'], BYTES);
  stream.resume();
  t.match((await trailers)[0], { 'x-after': BYTES });
  session.destroy();
  t.strictSame(asked, [BYTES, BYTES]);
});
