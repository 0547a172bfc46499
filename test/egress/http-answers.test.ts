// What becomes of each answer of an HTTP/1.1 service, for clients of HTTP/1.1 and HTTP/2, and that
// the next answer on the same connection is its own.
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import t from 'tap';
import { answerOf, answersIn, readAll, readUntilGone, SHOP, startHttpZone, startRawService } from './http-zone.ts';
import { until } from './until.ts';
import type { Zone } from './zone.ts';

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

/**
 * The status and body that a client reads for these bytes of the service. `ends`: the service ends
 * the connection after them.
 */
const ANSWERS: readonly (readonly [string, string, number, string, 'ends'?])[] = [
  ['plain', answerOf('ab'), 200, 'ab'],
  ['a second one behind it', answerOf('ab') + answerOf('stolen'), 200, 'ab'],
  ['until the end', `${OK}\r\nab`, 200, 'ab', 'ends'],
  ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nab', 200, 'ab', 'ends'],
  ['chunked, with extensions and trailers', `${OK}${CHUNKED}\r\n2;x=1\r\nab\r\n0\r\nX-T: 1\r\n\r\n`, 200, 'ab'],
  ['another reason, other bytes', 'HTTP/1.1 200 Fine \xe9 day\r\nX: \xe9\r\nContent-Length: 2\r\n\r\nab', 200, 'ab'],
  ['no reason', 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab', 200, 'ab'],
  ['an odd status', 'HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n', 299, ''],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
  ...['\t2', ' 2', '2 ', '2   ', '002'].map(
    (length) => [`length ${JSON.stringify(length)}`, `${OK}Content-Length:${length}\r\n\r\nab`, 200, 'ab'] as const,
  ),
  ...['\tchunked', 'ChUnKeD', ' chunked'].map(
    (encoding) =>
      [
        `encoding ${JSON.stringify(encoding)}`,
        `${OK}Transfer-Encoding:${encoding}\r\n\r\n2\r\nab\r\n0\r\n\r\n`,
        200,
        'ab',
      ] as const,
  ),
  // The parser obeys trailers: they must not change how the next answer is read.
  ...['Connection: close', 'Connection: x', 'Transfer-Encoding: gzip', 'Transfer-Encoding: chunked', 'Upgrade: x', 'Host: b'].map(
    (trailer) => [`trailer ${trailer}`, `${OK}${CHUNKED}\r\n2\r\nab\r\n0\r\n${trailer}\r\n\r\n`, 200, 'ab'] as const,
  ),
  ...['junk', '\r\n\r\n', '\n', '\0', 'HTTP/1.1 200'].map(
    (junk) => [`junk ${JSON.stringify(junk)}`, answerOf('ab') + junk, 200, 'ab'] as const,
  ),
  ['more than its length', `${OK}Content-Length: 2\r\n\r\nabcdef`, 200, 'ab'],
  ['a second one behind chunks', `${OK}${CHUNKED}\r\n2\r\nab\r\n0\r\n\r\n${answerOf('stolen')}`, 200, 'ab'],
  ['an upgrade that is not one', answerOf('ab', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'), 200, 'ab'],
  ['hints with framing', `HTTP/1.1 103 X\r\n${CHUNKED}\r\n${answerOf('ab')}`, 200, 'ab'],
  ['205', 'HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n', 205, ''],
  ['204 of length 0', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', 204, ''],
  ['204 and bytes behind it', 'HTTP/1.1 204 No Content\r\n\r\nab', 204, '', 'ends'],
  ['304 and bytes behind it', 'HTTP/1.1 304 Not Modified\r\n\r\nab', 304, '', 'ends'],
  ['hints first', `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${answerOf('ab')}`, 200, 'ab'],
  ['100 that nobody has asked for', `HTTP/1.1 100 Continue\r\n\r\n${answerOf('ab')}`, 200, 'ab'],
  ['1,000 answers before the answer', `${'HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n'.repeat(1_000)}${answerOf('ab')}`, 200, 'ab'],
  ['announced trailers', answerOf('ab', 'Trailer: x\r\n'), 200, 'ab'],
  ['fields twice', answerOf('ab', 'Content-Type: a\r\nContent-Type: b\r\nLocation: /x\r\nLocation: /y\r\n'), 200, 'ab'],
  ['names of JavaScript', answerOf('ab', '__proto__: 1\r\n'), 200, 'ab'],
  ['70,000 bytes', answerOf('ab', `X: ${'x'.repeat(70_000)}\r\n`), 200, 'ab'],
  ['90 headers', answerOf('ab', 'X: 1\r\n'.repeat(89)), 200, 'ab'],
  ...(
    [
      ['1,000 headers', answerOf('ab', 'X: 1\r\n'.repeat(1_000))],
      ['200,000 bytes', answerOf('ab', `X: ${'x'.repeat(200_000)}\r\n`)],
      ['two lengths', `${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
      ['two equal lengths', `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`],
      ['a length and chunks', `${OK}Content-Length: 5\r\n${CHUNKED}\r\n0\r\n\r\n`],
      ...['-1', '+2', '2, 2', '0x2', '', '2,', '2;', '2_', '\x0b2', '2\xa0', '18446744073709551616', '9007199254740993'].map(
        (length) => [`length ${length}`, `${OK}Content-Length: ${length}\r\n\r\nab`] as const,
      ),
      ...['', 'identity', 'identity, chunked', 'chunked,', ', chunked', 'chunked;x', '\x0bchunked', 'chunked\xa0'].map(
        (encoding) => [`encoding ${encoding}`, `${OK}Transfer-Encoding: ${encoding}\r\n\r\n2\r\nab\r\n0\r\n\r\n`] as const,
      ),
      ...['HTTP/1.2 200 OK', 'HTTP/1.1  200 OK', 'HTTP/1.1\t200 OK', 'ICY 200 OK', 'http/1.1 200 OK', ' HTTP/1.1 200 OK'].map(
        (line) => [`line ${line}`, `${line}\r\nContent-Length: 2\r\n\r\nab`] as const,
      ),
      ...['\0HTTP/1.1 200 OK', 'HTTP/1.1 200 O\rK', 'HTTP/1.1 +200 OK', 'HTTP/1.1 200OK', 'HTTP/1.1 100 X'].map(
        (line) => [`line ${JSON.stringify(line)}`, `${line}\r\nContent-Length: 2\r\n\r\nab`] as const,
      ),
      ...['gzip', 'gzip, chunked', 'xchunked', 'chunked, chunked', `chunked\r\n${CHUNKED.trimEnd()}`].map(
        (encoding) => [`encoding ${encoding}`, `${OK}Transfer-Encoding: ${encoding}\r\n\r\n2\r\nab\r\n0\r\n\r\n`] as const,
      ),
      ['204 with a body', 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nab'],
      ['204 with chunks', `HTTP/1.1 204 No Content\r\n${CHUNKED}\r\n2\r\nab\r\n0\r\n\r\n`],
      ...['99', '099', '1000', 'abc'].map(
        (status) => [`status ${status}`, `HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`] as const,
      ),
      ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nxx'],
      ...['X: a\0b', 'X : a', ': a', 'X: a\r\n b', 'X: a\rb', 'X: a\x01b', 'X\xff: a', 'X(a): 1', ':status: 201', 'Xyz'].map(
        (line) => [JSON.stringify(line), `${OK}${line}\r\nContent-Length: 2\r\n\r\nab`] as const,
      ),
      ['LF alone', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nab'],
      ['what is not HTTP', 'hello\r\n\r\n'],
    ] as const
  ).map(
    ([name, bytes]) =>
      [name, bytes, 502, 'upstream connect error or disconnect/reset before headers. reset reason: protocol error'] as const,
  ),
];

function startAnswers(t: Parameters<typeof startRawService>[0]): ReturnType<typeof startRawService> {
  return startRawService(t, ({ head }, socket) => {
    const [, bytes, , , ends] = ANSWERS[Number(/^\S+ \/(\d+) /.exec(head)?.[1] ?? NaN)] ?? [];
    if (bytes === undefined) return answerOf('next');
    if (ends === undefined) return bytes;
    socket.end(bytes, 'latin1');
    return null;
  });
}

t.test('an answer that comes whole goes out in one record, and the head of one that is cut off arrives', async (t) => {
  const service = await startRawService(t, ({ head }, socket) => {
    if (!head.includes('/cut')) return answerOf('ab');
    socket.end(`${OK}Content-Length: 10\r\n\r\nab`);
    return null;
  });
  await using zone = await startHttpZone(t, service.port);
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  for (const path of ['/1', '/2', '/3']) {
    const piece = once(socket, 'data');
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    // TLS hands over each record by itself.
    const [chunk] = (await piece) as [Buffer];
    t.match(chunk.toString(), /^HTTP\/1\.1 200 [^]*\r\n\r\nab$/, path);
  }
  const text = await readUntilGone(socket, 'GET /cut HTTP/1.1\r\nHost: a\r\n\r\n');
  t.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nab$/, 'what came of the answer');
});

t.test('what a client of HTTP/1.1 reads', async (t) => {
  const service = await startAnswers(t);
  await using zone = await startHttpZone(t, service.port);
  const failures: string[] = [];
  zone.egress.onRequest(({ status, detail }) => {
    if (status === 502) failures.push(detail);
  });
  for (const [i, [name, , status, body]] of ANSWERS.entries()) {
    const text = await readAll(
      zone,
      `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    );
    const [first, next, ...more] = answersIn(text);
    t.strictSame([first?.status, first?.body.replace(/^2\r\nab\r\n0\r\n\r\n$/, 'ab')], [status, body], name);
    t.strictSame([next?.status, next?.body, more], [200, 'next', []], name);
  }
  await until('each failure has a record', () => failures.length >= ANSWERS.filter(([, , status]) => status === 502).length);
  t.strictSame(
    failures.filter((detail) => !/protocol error" \(.{20,}\)$/.test(detail)),
    [],
    'each record says what was wrong with the answer',
  );
});

t.test('what a client of HTTP/2 reads', async (t) => {
  const service = await startAnswers(t);
  await using zone = await startHttpZone(t, service.port);
  const session = await openSession(zone);
  for (const [i, [name, , status, body]] of ANSWERS.entries()) {
    t.strictSame(await read(session, `/${i}`), [status, body, 0], name);
    t.strictSame(await read(session, '/next'), [200, 'next', 0], name);
  }
  session.destroy();
});

async function openSession(zone: Zone): Promise<ReturnType<typeof connectHttp2>> {
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  return connectHttp2('https://a', { createConnection: () => socket, settings: { maxHeaderListSize: 500_000 } });
}

async function read(session: ReturnType<typeof connectHttp2>, path: string): Promise<[number, string, number | undefined]> {
  const stream = session.request({ ':path': path });
  stream.on('error', () => {});
  let [status, body] = [0, ''];
  stream.on('response', (headers) => (status = Number(headers[':status'])));
  stream.setEncoding('latin1');
  stream.on('data', (text: string) => (body += text));
  await new Promise((resolve) => stream.once('close', resolve));
  return [status, body, stream.rstCode];
}

t.test('an answer that goes wrong after its head cuts the client off, and no other', async (t) => {
  const service = await startRawService(t, ({ head }) =>
    head.includes('/bad') ? `${OK}${CHUNKED}\r\n2\r\nab\r\nZZ\r\n${answerOf('stolen')}` : answerOf('next'),
  );
  await using zone = await startHttpZone(t, service.port);
  const text = await readAll(zone, 'GET /bad HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n');
  t.match(text, /\r\n\r\n2\r\nab\r\n$/);
  const session = await openSession(zone);
  t.match(await read(session, '/bad'), [200, 'ab', 2]);
  t.match(await read(session, '/next'), [200, 'next', 0]);
  session.destroy();
});

t.test('headers of one connection stay on it; Envoy’s own headers are added', async (t) => {
  const service = await startRawService(t, () =>
    answerOf(
      'ab',
      'Connection: close, x-a\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nServer: mine\r\nDate: then\r\nX-Envoy-Upstream-Service-Time: 99\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n',
    ),
  );
  await using zone = await startHttpZone(t, service.port);
  const get = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';
  const answers = answersIn(await readAll(zone, get + get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')));
  t.equal(answers.length, 2, 'the end of the connection of the service is not that of the client');
  t.match(
    answers[0]?.head,
    /^HTTP\/1\.1 200 OK\r\nserver: envoy\r\ndate: then\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 2\r\nx-envoy-upstream-service-time: \d{1,2}$/,
  );
});

t.test(
  'a service that ends its connection behind an answer: a request that was not sent yet goes out on a new one',
  async (t) => {
    let answered = 0;
    const service = await startRawService(t, ({ body }, socket) => {
      answered++;
      socket.end(answerOf(body));
      return null;
    });
    await using zone = await startHttpZone(t, service.port);
    const post = (body: string, more = ''): string =>
      `POST /x HTTP/1.1\r\nHost: a\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
    const bytes = Array.from({ length: 20 }, (_, i) => post(`${i}`)).join('') + post('last', 'Connection: close\r\n');
    const answers = answersIn(await readAll(zone, bytes));
    t.strictSame(
      answers.map(({ status, body }) => [status, body]),
      [...Array.from({ length: 20 }, (_, i) => [200, `${i}`]), [200, 'last']],
    );
    t.equal(answered, 21, 'and no request goes out twice');
  },
);

t.test('trailers that belong to the connection or describe the message stay behind, and the process goes on', async (t) => {
  const dropped = ['Connection', 'Keep-Alive', 'Proxy-Connection', 'Upgrade', 'TE', 'HTTP2-Settings', 'Host', 'Trailer'];
  const service = await startRawService(t, ({ head }) => {
    const name = /^\S+ \/trailer\/(\S+) /.exec(head)?.[1];
    if (name === undefined) return answerOf('next');
    return `${OK}${CHUNKED}\r\n2\r\nab\r\n0\r\nX-A: 1\r\n${name}: x\r\n${name}: y\r\n\r\n`;
  });
  await using zone = await startHttpZone(t, service.port);
  const session = await openSession(zone);
  for (const name of [...dropped, 'Content-Type', 'Location', 'Authorization']) {
    const stream = session.request({ ':path': `/trailer/${name}` });
    stream.on('error', () => {});
    const trailers: object[] = [];
    stream.on('trailers', (headers: object) => trailers.push(headers));
    stream.resume();
    await once(stream, 'close');
    t.match(trailers, [{ 'x-a': '1' }], name);
    t.equal(name.toLowerCase() in (trailers[0] ?? {}), !dropped.includes(name), name);
    t.strictSame(await read(session, '/next'), [200, 'next', 0], name);
  }
  session.destroy();
});

t.test('HEAD has a length and no body', async (t) => {
  const service = await startRawService(t, ({ head }) =>
    head.startsWith('HEAD') ? `${OK}Content-Length: 9\r\n\r\n` : answerOf('next'),
  );
  await using zone = await startHttpZone(t, service.port);
  const text = await readAll(
    zone,
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  );
  t.match(text, /^HTTP\/1\.1 200 OK\r\ncontent-length: 9\r\n(?:[^\r]+\r\n)*\r\nHTTP\/1\.1 200 OK\r\n/);
  t.match(text, /\r\n\r\nnext$/);
});
