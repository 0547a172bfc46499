// What becomes of each HTTP/1.1 request: the bytes that the service reads, the answer that the
// client reads, and a clean connection after it.
import t from 'tap';
import { answerOf, answersIn, readAll, SHOP, startHttpZone, startRawService } from './http-zone.ts';
import { until } from './until.ts';
import { CONCURRENCIES, gone } from './zone.ts';
import type { Zone } from './zone.ts';

const AFTER = 'GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const get = (headers: string, line = 'GET /x HTTP/1.1'): string => `${line}\r\nHost: a\r\n${headers}\r\n`;
const post = (headers: string, body: string): string => `POST /x HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;
const many = (count: number): string => Array.from({ length: count }, (_, i) => `X${i}: 1\r\n`).join('');
const lines = (...all: string[]): string => all.join('\r\n');

/** Bytes of the client; head and body at the service. */
const SERVED: readonly (readonly [string, string, string, string?])[] = [
  ['a plain one', get(''), 'GET /x HTTP/1.1'],
  [
    'names in lower case, lists of one name joined or apart',
    get('Accept: a\r\nAccept: b\r\nVary: x\r\nVary: y\r\nX-A: 1\r\nX-A: 2\r\nCookie: a=1\r\nCookie: b=2\r\n'),
    lines('GET /x HTTP/1.1', 'accept: a,b', 'vary: x,y', 'x-a: 1', 'x-a: 2', 'cookie: a=1; b=2'),
  ],
  ['te', get('TE: gzip, trailers;q=1\r\nTE: trailers\r\n'), lines('GET /x HTTP/1.1', 'te: trailers')],
  ['te without trailers', get('TE: gzip\r\n'), 'GET /x HTTP/1.1'],
  [
    'hop by hop',
    get('Proxy-Authorization: x\r\nProxy-Connection: y\r\nKeep-Alive: 5\r\nConnection: keep-alive, x-b\r\nX-B: 1\r\n'),
    lines('GET /x HTTP/1.1', 'proxy-authorization: x'),
  ],
  ['named by Connection', get('Connection: x-forwarded-proto\r\nX-Forwarded-Proto: http\r\n'), 'GET /x HTTP/1.1'],
  [
    'orders to Envoy',
    get(
      'x-envoy-retry-on: 5xx\r\nx-envoy-original-path: /p\r\nx-envoy-original-host: evil\r\nX-Forwarded-For: 10.0.0.1\r\nx-envoy-expected-rq-timeout-ms: 1\r\n',
    ),
    lines('GET /x HTTP/1.1', 'x-envoy-original-path: /p', 'x-forwarded-for: 10.0.0.1'),
  ],
  [
    'what the client says of itself',
    get(
      'x-kuma-tags: &x=y&\r\nX-Forwarded-Host: h\r\nX-Forwarded-Proto: http\r\nX-Request-Id: mine\r\nVia: v\r\nForwarded: f\r\n',
    ),
    lines(
      'GET /x HTTP/1.1',
      'x-kuma-tags: &x=y&',
      'x-forwarded-host: h',
      'x-forwarded-proto: http',
      'x-request-id: mine',
      'via: v',
      'forwarded: f',
    ),
  ],
  ['expect', post('Expect: 100-continue\r\nContent-Length: 2\r\n', 'ab'), lines('POST /x HTTP/1.1', 'content-length: 2'), 'ab'],
  ['a port', 'GET /x HTTP/1.1\r\nHost: a:80\r\n\r\n', lines('GET /x HTTP/1.1', 'x-envoy-original-host: a:80')],
  ['an address', 'GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', lines('GET /x HTTP/1.1', 'x-envoy-original-host: [::1]:80')],
  ['the absolute form', get('', 'GET http://b.test/p?q HTTP/1.1'), lines('GET /p?q HTTP/1.1', 'x-envoy-original-host: b.test')],
  ['one without a path', get('', 'GET https://b.test HTTP/1.1'), lines('GET / HTTP/1.1', 'x-envoy-original-host: b.test')],
  ['one with a query', get('', 'GET HTTP://b.test?q HTTP/1.1'), lines('GET /?q HTTP/1.1', 'x-envoy-original-host: b.test')],
  [
    'paths as they are',
    get('', 'GET /../a//b\\c%zz%00;x?y=%0d"<>{}|^` HTTP/1.1'),
    'GET /../a//b\\c%zz%00;x?y=%0d"<>{}|^` HTTP/1.1',
  ],
  ['two slashes', get('', 'GET //evil/x HTTP/1.1'), 'GET //evil/x HTTP/1.1'],
  ['PROPFIND', get('', 'PROPFIND /x HTTP/1.1'), lines('PROPFIND /x HTTP/1.1', 'content-length: 0')],
  ['PURGE', get('', 'PURGE /x HTTP/1.1'), 'PURGE /x HTTP/1.1'],
  ['DELETE', get('', 'DELETE /x HTTP/1.1'), 'DELETE /x HTTP/1.1'],
  ['OPTIONS', get('', 'OPTIONS /x HTTP/1.1'), 'OPTIONS /x HTTP/1.1'],
  ['POST without a body', get('', 'POST /x HTTP/1.1'), lines('POST /x HTTP/1.1', 'content-length: 0')],
  ['GET with a body', get('Content-Length: 2\r\n') + 'ab', lines('GET /x HTTP/1.1', 'content-length: 2'), 'ab'],
  [
    'a chunked GET',
    get(CHUNKED) + '2\r\nab\r\n0\r\n\r\n',
    lines('GET /x HTTP/1.1', 'transfer-encoding: chunked'),
    '2\r\nab\r\n0\r\n\r\n',
  ],
  [
    'extensions and trailers of chunks',
    post('TRANSFER-ENCODING: CHUNKED\r\n', '2\r\nab\r\n03;x=y\r\ncde\r\n000\r\nX-T: 9\r\n\r\n'),
    lines('POST /x HTTP/1.1', 'transfer-encoding: chunked'),
    '2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n',
  ],
  ...['\t2', '2  ', '  2\t', '000000000000000000000000002'].map((length): readonly [string, string, string, string] => [
    `length ${JSON.stringify(length)}`,
    post(`Content-Length:${length}\r\n`, 'ab'),
    lines('POST /x HTTP/1.1', 'content-length: 2'),
    'ab',
  ]),
  ...['\tchunked', ' ChUnKeD '].map((encoding): readonly [string, string, string, string] => [
    `encoding ${JSON.stringify(encoding)}`,
    post(`Transfer-Encoding:${encoding}\r\n`, '2\r\nab\r\n0\r\n\r\n'),
    lines('POST /x HTTP/1.1', 'transfer-encoding: chunked'),
    '2\r\nab\r\n0\r\n\r\n',
  ]),
  ...['0000000000000000000000002', '2;x="a\\"b"', '2;x='].map((size): readonly [string, string, string, string] => [
    `chunk ${size}`,
    post(CHUNKED, `${size}\r\nab\r\n0\r\n\r\n`),
    lines('POST /x HTTP/1.1', 'transfer-encoding: chunked'),
    '2\r\nab\r\n0\r\n\r\n',
  ]),
  ...['Host: evil', 'Authorization: t', 'Trailer: x', 'Expect: 100-continue', 'Cookie: a'].map(
    (trailer): readonly [string, string, string, string] => [
      `trailer ${trailer}`,
      post(CHUNKED, `2\r\nab\r\n0\r\n${trailer}\r\n\r\n`),
      lines('POST /x HTTP/1.1', 'transfer-encoding: chunked'),
      '2\r\nab\r\n0\r\n\r\n',
    ],
  ),
  ...['200-ok', '', 'x'].map((expect): readonly [string, string, string, string] => [
    `expect ${expect}`,
    post(`Expect: ${expect}\r\nContent-Length: 2\r\n`, 'ab'),
    lines('POST /x HTTP/1.1', 'content-length: 2'),
    'ab',
  ]),
  ...[
    '/a/../b',
    '/./',
    '/..;/x',
    '/%2e%2e/',
    '/a%5cb',
    '/a%2fb',
    '/a//b',
    '/;a=b/c',
    '/a\\..\\b',
    '///b',
    '/\\b',
    '/%00',
    '/*',
  ].map((path): readonly [string, string, string] => [`path ${path}`, get('', `GET ${path} HTTP/1.1`), `GET ${path} HTTP/1.1`]),
  ['a length with zeros', post('Content-Length: 0002\r\n', 'ab'), lines('POST /x HTTP/1.1', 'content-length: 2'), 'ab'],
  [
    'names that only look like framing',
    post('Content_Length: 2\r\nTransfer_Encoding: chunked\r\n', ''),
    lines('POST /x HTTP/1.1', 'content_length: 2', 'transfer_encoding: chunked', 'content-length: 0'),
  ],
  ['names of JavaScript', get('__proto__: 1\r\nconstructor: 2\r\n'), lines('GET /x HTTP/1.1', '__proto__: 1', 'constructor: 2')],
  [
    'values',
    get('X-H: a\xe9b\r\nX-T: a\tb\r\nX-E:\r\nX-O:  \t a \t \r\n'),
    lines('GET /x HTTP/1.1', 'x-h: a\xe9b', 'x-t: a\tb', 'x-e: ', 'x-o: a'),
  ],
  ['Upgrade alone in Connection', get('Connection: upgrade\r\n'), 'GET /x HTTP/1.1'],
  ['90 headers', get(many(88)), lines('GET /x HTTP/1.1', many(88).trimEnd().toLowerCase())],
  ['50,000 bytes', get(`X: ${'x'.repeat(50_000)}\r\n`), lines('GET /x HTTP/1.1', `x: ${'x'.repeat(50_000)}`)],
  ['a long path', get('', `GET /${'x'.repeat(50_000)} HTTP/1.1`), `GET /${'x'.repeat(50_000)} HTTP/1.1`],
  ['empty lines first', `\r\n\r\n${get('')}`, 'GET /x HTTP/1.1'],
];

/** Bytes of the client, and the only status that it reads. */
const REFUSED: readonly (readonly [string, number])[] = [
  ...['host', 'Content-Length', 'close, transfer-encoding'].map((name) => [get(`Connection: ${name}\r\n`), 400] as const),
  ['GET / HTTP/1.1\r\n\r\n', 400],
  ...[
    'a:b',
    'a:80:90',
    ':80',
    '::1',
    '[::1',
    '[::1]x',
    '[]',
    '[g]',
    'a]',
    'a:-1',
    '@a',
    'a@',
    'a|b',
    'a^b',
    'a`b',
    'a{b',
    'http://a',
  ].map((host) => [`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400] as const),
  ...[
    'http://b:80:80/',
    'http://[::1/',
    'http://:80/',
    'http://',
    'http:/b/',
    'http:b/',
    'http:\\\\b/',
    'ws://b/',
    '//b\t/',
    'b/x',
  ].map((target) => [get('', `GET ${target} HTTP/1.1`), 400] as const),
  ...[' GET /x HTTP/1.1', 'GET /x HTTP/1.1 ', 'GET\t/x HTTP/1.1', 'GET /x\tHTTP/1.1', 'GET /x HTTP/01.1', 'GET /x HTTP/1.1x'].map(
    (line) => [get('', line), 400] as const,
  ),
  ...['GET /x HTTP /1.1', 'GET /x HTTP/1,1', 'GET /a /b HTTP/1.1', 'GET HTTP/1.1', 'PRI * HTTP/2.0', 'M-SEARCH * HTTP/1.1'].map(
    (line) => [get('', line), 400] as const,
  ),
  ...[
    'X\t: 1',
    ' X: 1',
    'X; 1',
    'X=1',
    'X@: 1',
    '[X]: 1',
    '"X": 1',
    'X,: 1',
    '\x80: 1',
    ':',
    ' ',
    ':path: /y',
    ':authority: c',
  ].map((line) => [get(`${line}\r\n`), 400] as const),
  ...['X: a\x0bb', 'X: a\x0cb', 'X: \x1b', 'X: 1\r\r\n', 'X: 1\n\r', '\r', 'X: "a\r\nb"'].map(
    (line) => [get(`${line}\r\n`), 400] as const,
  ),
  ...['Transfer-Encoding\x0b: chunked', '\x0bTransfer-Encoding: chunked', 'Foo: bar\rTransfer-Encoding: chunked'].map(
    (line) => [post(`${line}\r\n`, '0\r\n\r\n'), 400] as const,
  ),
  ...[
    'Foo: bar\r\n\rTransfer-Encoding: chunked',
    'Transfer-Encoding\r\n: chunked',
    'Content-Length: 6\r\nTransfer-Encoding: x',
  ].map((line) => [post(`${line}\r\n`, '0\r\n\r\n'), 400] as const),
  ...[
    '2,',
    ',2',
    '2;',
    '2_0',
    '\xb2',
    '2\xa0',
    '\xa02',
    '-0',
    '+0',
    '2e0',
    '2 2',
    '2\r',
    '9007199254740993',
    '18446744073709551615',
  ].map((length) => [post(`Content-Length:${length}\r\n`, 'ab'), 400] as const),
  ...[
    ',chunked',
    'chunked ,',
    "'chunked'",
    'chunk\ted',
    'chunked\xa0',
    '\xa0chunked',
    'chunked\x85',
    'chunkedchunked',
    'trailers',
  ].map((encoding) => [post(`Transfer-Encoding: ${encoding}\r\n`, '0\r\n\r\n'), 501] as const),
  ...['identity\r\nTransfer-Encoding: chunked', 'chunked\r\nTransfer-Encoding: identity', 'chunked\r\ntransfer-encoding: x'].map(
    (encoding) => [post(`Transfer-Encoding: ${encoding}\r\n`, '0\r\n\r\n'), 501] as const,
  ),
  ...[
    '+2',
    '2+',
    '2_',
    '2,',
    '2 ;x',
    '2;',
    '2;;',
    '2;"',
    '2;\xff',
    '2;x\0',
    '2 x',
    '2\t',
    '\r2',
    '2h',
    ';x',
    '-0',
    '2\r',
    '2.0',
    '%32',
  ].map((size) => [post(CHUNKED, `${size}\r\nab\r\n0\r\n\r\n`), 400] as const),
  ...[
    '0\n\r\n',
    '0\r\n\n\r\n',
    '0\r\r\n\r\n',
    '0 \r\n\r\n',
    '0\r\nX\r\n\r\n',
    '0\r\n X: 1\r\n\r\n',
    '0\r\nX: 1\r\n Y\r\n\r\n',
  ].map((body) => [post(CHUNKED, body), 400] as const),
  ...['0\r\n:path: /x\r\n\r\n', '0\r\nX: a\0\r\n\r\n', '0\r\nX : a\r\n\r\n', '2\r\nab0\r\n\r\n', '2\r\nab\r0\r\n\r\n'].map(
    (body) => [post(CHUNKED, body), 400] as const,
  ),
  [post(CHUNKED, '0\r\nTransfer-Encoding: gzip\r\n\r\n'), 501],
  ...['h2c,h2c', 'h2', 'HTTP/2.0', '', 'foo', ', h2c', 'h2c, foo', 'h2c\r\nUpgrade: websocket', 'h2c\tx'].map(
    (to) => [get(`Connection: upgrade\r\nUpgrade: ${to}\r\n`), 403] as const,
  ),
  ...['CONNECT /x', 'CONNECT *', 'CONNECT a:b', 'CONNECT http://a/'].map((line) => [get('', `${line} HTTP/1.1`), 404] as const),
  ...['HOST', 'x-b, Content-Length', '\x00', 'host\t', 'Transfer-Encoding'].map(
    (name) => [get(`Connection: ${name}\r\n`), 400] as const,
  ),
  ...['', 'a/b', 'a b', 'a,b', '<a>', 'a"', 'a\xff', 'u@a', 'a?b', 'a#b', 'a\\b', 'a\r\nHost: a', 'a\r\nHost: b'].map(
    (host) => [`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400] as const,
  ),
  ['GET http://b.test/ HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
  ...[
    'ftp://b/',
    'http://u@b/',
    'http:///p',
    'http://b/#f',
    '/x#f',
    '/a b',
    '/a\tb',
    '/a\0b',
    '/a\xffb',
    '/a\x01b',
    '/a\x7fb',
  ].map((target) => [get('', `GET ${target} HTTP/1.1`), 400] as const),
  ...['x', '?q', '*', 'a:80'].map((target) => [get('', `GET ${target} HTTP/1.1`), 400] as const),
  [get('', 'OPTIONS * HTTP/1.1'), 404],
  [get('', 'CONNECT a:1 HTTP/1.1'), 404],
  ...['TRACE', 'get', 'BREW', 'G ET', 'GET\0', 'DESCRIBE'].map((method) => [get('', `${method} /x HTTP/1.1`), 400] as const),
  ...['0.9', '1.0', '1.2', '2.0'].map((version) => [get('', `GET /x HTTP/${version}`), 426] as const),
  ['GET /x\r\n\r\n', 426],
  ...['http/1.1', 'HTTP/3', 'HTTP/1.11', 'HTTP/ 1.1', 'ICE/1.0'].map((version) => [get('', `GET /x ${version}`), 400] as const),
  ...['websocket', 'TLS/1.2', 'h2c, websocket'].map((to) => [get(`Connection: upgrade\r\nUpgrade: ${to}\r\n`), 403] as const),
  [get('Upgrade: websocket\r\n'), 403],
  [post('Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n', 'ab'), 403],
  [post(`Content-Length: 5\r\n${CHUNKED}`, '0\r\n\r\n'), 400],
  [post(`${CHUNKED}Content-Length: 5\r\n`, '0\r\n\r\n'), 400],
  [post('Content-Length: 2\r\nContent-Length: 3\r\n', 'abc'), 400],
  [post('Content-Length: 2\r\nContent-Length: 2\r\n', 'ab'), 400],
  ...['2, 2', '+2', '-2', '0x2', '', '1 2', '99999999999999999999999', '\x0b2', '2\x0c', '2\r\n ', '2.0', '"2"'].map(
    (length) => [post(`Content-Length: ${length}\r\n`, 'ab'), 400] as const,
  ),
  ...['Content-Length : 2', 'Transfer-Encoding : chunked', 'Transfer-Encoding\t: chunked'].map(
    (line) => [post(`${line}\r\n`, '0\r\n\r\n'), 400] as const,
  ),
  ...[
    'gzip',
    'gzip, chunked',
    'identity',
    'xchunked',
    '',
    '"chunked"',
    'chunked, chunked',
    'chunked, identity',
    'chunked,',
    'chunked;q=1',
  ].map((encoding) => [post(`Transfer-Encoding: ${encoding}\r\n`, '0\r\n\r\n'), 501] as const),
  [post(CHUNKED + CHUNKED, '0\r\n\r\n'), 501],
  ...['\x0bchunked', '\r\n chunked', 'chunked\0', 'chunked\x0b'].map(
    (encoding) => [post(`Transfer-Encoding: ${encoding}\r\n`, '0\r\n\r\n'), 400] as const,
  ),
  ...[
    'GET /x HTTP/1.1\nHost: a\n\n',
    'GET /x HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n',
    'GET /x HTTP/1.1\r\nHost: a\r\n\n',
    'GET /x HTTP/1.1\rHost: a\r\r',
    'GET /x HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n',
    ...['X: a\rb', 'X: a\r\n b', 'X: a\r\n\tb', 'X: a\r', 'X Y: 1', 'X : 1', ': 1', 'X\0: 1', 'X\x01: 1', 'X\x7f: 1'].map(
      (line) => get(`${line}\r\n`),
    ),
    ...['X\xff: 1', 'X(y): 1', 'Xyz', 'X: a\0b', 'X: a\x01b', 'X: a\x7fb'].map((line) => get(`${line}\r\n`)),
    'hello\r\n\r\n',
    '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
  ].map((bytes) => [bytes, 400] as const),
  [get(many(101)), 431],
  [get(many(1_000)), 431],
  [get('X: 1\r\n'.repeat(3_000)), 431],
  [get(`X: ${'x'.repeat(70_000)}\r\n`), 431],
  [get('', `GET /${'x'.repeat(70_000)} HTTP/1.1`), 431],
  // A fault of a body that comes with its head is found before anything is forwarded.
  ...[
    '2\r\nab\r\nZZ\r\n',
    '2\nab\n0\n\n',
    '2\r\nabcdef\r\n0\r\n\r\n',
    '-1\r\n\r\n',
    '0x2\r\nab\r\n0\r\n\r\n',
    'FFFFFFFFFFFFFFFFF\r\nab',
  ].map((body) => [post(CHUNKED, body), 400] as const),
  ...[
    '2 \r\nab\r\n0\r\n\r\n',
    ' 2\r\nab\r\n0\r\n\r\n',
    '2\r\nab\n0\r\n\r\n',
    '2;a\nb\r\nab\r\n0\r\n\r\n',
    '2;a\rb\r\nab\r\n0\r\n\r\n',
  ].map((body) => [post(CHUNKED, body), 400] as const),
  ...[
    '\r\nab\r\n0\r\n\r\n',
    '0\r\nContent-Length: 5\r\n\r\n',
    '0\r\nX Y: 5\r\n\r\n',
    '2\r\nab\r\n0\r\n\n',
    `2;${'x'.repeat(20_000)}\r\nab\r\n0\r\n\r\n`,
  ].map((body) => [post(CHUNKED, body), 400] as const),
];

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('what is served arrives as Envoy sends it, and so does the next', async (t) => {
      const service = await startRawService(t);
      await using zone = await startHttpZone(t, service.port, { concurrency });
      for (const [name, bytes, head, body = ''] of SERVED) {
        service.arrived.length = 0;
        const answers = answersIn(await readAll(zone, bytes + AFTER)).filter(({ status }) => status !== 100);
        t.strictSame(
          answers.map((each) => [each.status, each.body]),
          [
            [200, `at ${head.split(' ')[1]}`],
            [200, 'at /after'],
          ],
          name,
        );
        t.strictSame(
          service.arrived,
          [
            { head, body, whole: true },
            { head: 'GET /after HTTP/1.1', body: '', whole: true },
          ],
          name,
        );
      }
    });

    t.test('what is refused reads one answer, and no byte of it or of what comes behind it arrives', async (t) => {
      const service = await startRawService(t);
      await using zone = await startHttpZone(t, service.port, { concurrency });
      const details: string[] = [];
      zone.egress.onRequest(({ reason, detail }) => {
        if (reason === 'malformed-request') details.push(detail);
      });
      // Each connection stays for a second after its answer, so they wait together; a good client
      // continues meanwhile.
      const play = async ([bytes, status]: readonly [string, number]): Promise<void> => {
        const answers = answersIn(await readAll(zone, bytes + AFTER));
        t.strictSame(
          answers.map((each) => each.status),
          [status],
          JSON.stringify(bytes.slice(0, 120)),
        );
        t.match(answers[0]?.head, /\r\nconnection: close$/);
      };
      const good = async (): Promise<void> => {
        for (let i = 0; i < 20; i++)
          t.equal(answersIn(await readAll(zone, AFTER.replace('after', `good-${i}`)))[0]?.body, `at /good-${i}`);
      };
      await Promise.all([...REFUSED.map(play), good()]);
      t.strictSame(
        service.arrived.map(({ head }) => head),
        Array.from({ length: 20 }, (_, i) => `GET /good-${i} HTTP/1.1`),
      );
      await until('each refused request has a record', () => details.length >= REFUSED.length);
      const unsaid = details.filter((detail) => !/^answered \d{3}: (?!HPE_|the bytes are no request of)\S+ \S/.test(detail));
      t.strictSame(unsaid, [], 'each record says in words what is wrong');
    });
  });
}

/** Writes the pieces one after another, each when the service has as much as `arrived` says. */
async function inPieces(zone: Zone, pieces: readonly (readonly [string, () => Promise<void>])[]): Promise<string> {
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  for (const [bytes, arrived] of pieces) {
    socket.write(Buffer.from(bytes, 'latin1'));
    await arrived();
  }
  await gone(socket);
  return text;
}

t.test('a body that goes wrong after its head was passed on: the client reads 400, the service sees a cut request', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  for (const bad of [
    'ZZ\r\n',
    '3\nabc\n',
    '3\r\nabcdef',
    '-3\r\n',
    '0\r\nContent-Length: 5\r\n\r\n',
    '0\r\nX Y: 1\r\n\r\n',
    '0\r\n\n',
  ]) {
    service.arrived.length = 0;
    const text = await inPieces(zone, [
      [post(CHUNKED, '2\r\nab\r\n'), () => service.until(() => service.arrived[0]?.body.includes('ab') === true)],
      [bad + AFTER, async () => {}],
    ]);
    t.strictSame(
      answersIn(text).map(({ status }) => status),
      [400],
      JSON.stringify(bad),
    );
    t.equal(service.arrived.length, 1, 'what stands behind it is no request');
    t.match(service.arrived, [{ body: /^2\r\nab/, whole: false }]);
  }
  t.equal(answersIn(await readAll(zone, AFTER))[0]?.body, 'at /after', 'the next client reads its own answer');
});

t.test('a request that stays incomplete is cut at the service too', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  for (const framing of ['Content-Length: 100\r\n', CHUNKED]) {
    service.arrived.length = 0;
    const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
    socket.write(post(framing, '2\r\nab\r\n'));
    await service.until(() => service.arrived[0]?.body.includes('ab') === true);
    socket.destroy();
    t.equal(answersIn(await readAll(zone, AFTER))[0]?.body, 'at /after');
    t.match(service.arrived, [{ whole: false }, { head: /after/, whole: true }]);
  }
});

t.test('a request that is broken behind others: they are answered first', async (t) => {
  const service = await startRawService(t, ({ head }) => answerOf(head.split(' ')[1] ?? ''));
  await using zone = await startHttpZone(t, service.port);
  const cases = [
    ['hello\r\n\r\n', [200, 200, 400]],
    [get('', 'GET /c HTTP/1.0') + AFTER, [200, 200, 426]],
    [post(CHUNKED, 'ZZ\r\n'), [200, 200, 400]],
    [get(`X: ${'x'.repeat(70_000)}\r\n`), [200, 200, 431]],
    [get('Connection: upgrade\r\nUpgrade: h2c\r\n') + AFTER, [200, 200, 200]],
    [get('', 'CONNECT a:1 HTTP/1.1') + AFTER, [200, 200, 404]],
  ] as const;
  for (const [bytes, statuses] of cases) {
    const answers = answersIn(await readAll(zone, get('', 'GET /a HTTP/1.1') + get('', 'GET /b HTTP/1.1') + bytes));
    t.strictSame(
      answers.map(({ status }) => status),
      statuses,
      JSON.stringify(bytes.slice(0, 60)),
    );
    t.strictSame([answers[0]?.body, answers[1]?.body], ['/a', '/b']);
  }
});

t.test('2,000 requests in one write are answered in their order', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  const bytes = Array.from({ length: 2_000 }, (_, i) => get('', `GET /${i} HTTP/1.1`)).join('') + AFTER;
  const answers = answersIn(await readAll(zone, bytes));
  t.strictSame(
    answers.map(({ body }) => body),
    [...Array.from({ length: 2_000 }, (_, i) => `at /${i}`), 'at /after'],
  );
});
