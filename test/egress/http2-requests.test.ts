// What becomes of each HTTP/2 request for an HTTP/1.1 service: the exact bytes that arrive, or the
// refusal; and floods.
import t from 'tap';
import { answersIn, readAll, SHOP, startHttpZone, startRawService } from './http-zone.ts';
import { END_HEADERS, END_STREAM, fields, frame, Frames, GET, request, TYPES, uint32 } from './h2-frames.ts';

const AFTER = 'GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const swapped = (name: string, value: string): string[] => GET.map((text, i) => (GET[i - 1] === name ? value : text));
const without = (name: string): string[] => GET.filter((_, i) => GET[i - (i % 2)] !== name);
const POST = swapped(':method', 'POST');
const many = (count: number): string[] => Array.from({ length: count }, (_, i) => [`x${i}`, '1']).flat();
const post = (more: readonly string[], body: string): Buffer =>
  Buffer.concat([request(1, [...POST, ...more], false), frame(TYPES.data, END_STREAM, 1, body)]);
const times = (count: number, make: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
const large = (rest: number): Buffer =>
  Buffer.concat([
    frame(TYPES.headers, END_STREAM, 1, fields(...GET, 'x', 'y'.repeat(16_000))),
    times(2, () => frame(TYPES.continuation, 0, 1, fields('x', 'y'.repeat(16_000)))),
    frame(TYPES.continuation, END_HEADERS, 1, fields('x', 'y'.repeat(rest))),
  ]);

/** Bytes of the client; head and body at the service. */
const SERVED: readonly (readonly [string, Buffer, string, string?])[] = [
  ['a plain one', request(1, GET), 'GET /x HTTP/1.1'],
  ['te', request(1, [...GET, 'te', 'trailers']), 'GET /x HTTP/1.1\r\nte: trailers'],
  ['host alone', request(1, [...without(':authority'), 'host', 'b']), 'GET /x HTTP/1.1\r\nx-envoy-original-host: b'],
  ['the authority wins over host', request(1, [...GET, 'host', 'b']), 'GET /x HTTP/1.1'],
  ['crumbs of a cookie', request(1, [...GET, 'cookie', 'a=1', 'cookie', 'b=2']), 'GET /x HTTP/1.1\r\ncookie: a=1; b=2'],
  ['a length', post(['content-length', '3'], 'abc'), 'POST /x HTTP/1.1\r\ncontent-length: 3', 'abc'],
  ['no length', post([], 'abc'), 'POST /x HTTP/1.1\r\ntransfer-encoding: chunked', '3\r\nabc\r\n0\r\n\r\n'],
  ['no body', request(1, POST), 'POST /x HTTP/1.1\r\ncontent-length: 0'],
  ['expect', post(['expect', '100-continue'], 'abc'), 'POST /x HTTP/1.1\r\ntransfer-encoding: chunked', '3\r\nabc\r\n0\r\n\r\n'],
  [
    'a request in a body',
    post([], '0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n'),
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked',
    '24\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n',
  ],
  [
    'trailers',
    Buffer.concat([request(1, POST, false), frame(TYPES.data, 0, 1, 'abc'), request(1, ['x-t', '1'])]),
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked',
    '3\r\nabc\r\n0\r\n\r\n',
  ],
  [
    '86 headers',
    request(1, [...GET, ...many(86)]),
    `GET /x HTTP/1.1${Array.from({ length: 86 }, (_, i) => `\r\nx${i}: 1`).join('')}`,
  ],
  [
    '50,000 bytes',
    large(2_000),
    `GET /x HTTP/1.1${[16_000, 16_000, 16_000, 2_000].map((n) => `\r\nx: ${'y'.repeat(n)}`).join('')}`,
  ],
];

/**
 * Bytes of the client of which none reaches the service; the stream is reset or answered, or the
 * connection ends.
 */
const REFUSED: readonly (readonly [string, Buffer])[] = [
  ...(
    [
      ['X-A', '1'],
      ['connection', 'close'],
      ['te', 'gzip'],
      ['transfer-encoding', 'chunked'],
      ['upgrade', 'h2c'],
      ['keep-alive', '5'],
      ['proxy-connection', '5'],
      ['host', 'b', 'host', 'c'],
      [':path', '/y'],
      [':foo', '1'],
      [':status', '200'],
      ['content-length', '4'],
    ] as const
  ).map((more) => [`GET with ${more.join(' ')}`, request(1, [...GET, ...more])] as const),
  ...[':method', ':path', ':scheme', ':authority'].map((name) => [`no ${name}`, request(1, without(name))] as const),
  ['two methods', request(1, [':method', 'GET', ...GET])],
  ['a pseudo-header late', request(1, ['x-a', '1', ...GET])],
  ['an extended CONNECT', request(1, [...swapped(':method', 'CONNECT'), ':protocol', 'websocket'], false)],
  ['CONNECT', request(1, [':method', 'CONNECT', ':authority', 'a:1'], false)],
  ...['', 'x', 'http://b/x', '/a b', '/a\r\nX: 1', '/a#b', '/a\xff', '/a\0', '*'].map(
    (path) => [`path ${JSON.stringify(path)}`, request(1, swapped(':path', path))] as const,
  ),
  ...['G ET', 'GET / HTTP/1.1\r\nx:', 'get', 'BREW', 'TRACE', ''].map(
    (method) => [`method ${JSON.stringify(method)}`, request(1, swapped(':method', method))] as const,
  ),
  ...['a b', 'u@a', 'a/b', 'a\r\nx: b', '', 'a:b', 'a:80:90', '[::1', '::1', 'a,b', ':80'].map(
    (authority) => [`authority ${JSON.stringify(authority)}`, request(1, swapped(':authority', authority))] as const,
  ),
  ['a scheme with a space', request(1, swapped(':scheme', 'ht tp'))],
  ...['+2', '', '2, 2', '-1', '0x2', '9007199254740993', '18446744073709551616', '2 '].map(
    (length) => [`length ${length}`, post(['content-length', length], 'ab')] as const,
  ),
  ['two lengths', post(['content-length', '2', 'content-length', '3'], 'ab')],
  ['two equal lengths', post(['content-length', '2', 'content-length', '2'], 'ab')],
  ['1,000 headers', request(1, [...GET, ...many(1_000)])],
  ['70,000 bytes', large(22_000)],
  ['an even stream', request(2, GET)],
  ['stream 0', request(0, GET)],
  ['a body of nothing', frame(TYPES.data, 0, 5, 'x')],
  ['a frame too large', frame(TYPES.data, 0, 1, 'x'.repeat(20_000))],
  ['a broken table', frame(TYPES.headers, END_HEADERS | END_STREAM, 1, Buffer.from([255, 255, 255, 255, 255]))],
  ['a promise', frame(5, END_HEADERS, 1, Buffer.concat([uint32(2), fields(...GET)]))],
  ['a window that overflows', times(2, () => frame(TYPES.window, 0, 0, uint32(0x7fffffff)))],
];

t.test('what is served', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  for (const [name, bytes, head, body = ''] of SERVED) {
    service.arrived.length = 0;
    const client = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend')));
    client.socket.write(bytes);
    await client.until(() => client.isOver(1));
    t.strictSame(service.arrived, [{ head, body, whole: true }], name);
    t.equal(client.of(1, TYPES.data)?.payload.toString(), 'at /x', name);
    t.ok(
      client.seen.some((each) => each.type === TYPES.data && (each.flags & END_STREAM) !== 0),
      `${name}: the answer has its end`,
    );
    t.equal(client.of(1, TYPES.reset), undefined, `${name}: no reset behind it`);
    client.socket.destroy();
  }
});

t.test('an early answer is whole, and the rest of its request is reset only later', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  const client = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend')));
  client.socket.write(Buffer.concat([request(1, swapped(':method', 'TRACE'), false), frame(TYPES.data, 0, 1, 'abc')]));
  await client.until(() => client.of(1, TYPES.reset) !== undefined);
  const types = client.seen.filter(({ stream }) => stream === 1).map(({ type, flags }) => [type, flags & END_STREAM]);
  t.strictSame(
    types.filter(([type]) => type !== TYPES.window),
    [
      [TYPES.headers, 0],
      [TYPES.data, END_STREAM],
      [TYPES.reset, 0],
    ],
  );
  t.equal(client.of(1, TYPES.reset)?.payload.readUInt32BE(), 0, 'NO_ERROR');
  client.socket.destroy();
});

t.test('what is refused', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  for (const [name, bytes] of REFUSED) {
    const client = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend')));
    client.socket.write(bytes);
    await client.until(() => client.isOver(1));
    t.not(client.of(1, TYPES.data)?.payload.toString(), 'at /x', name);
    t.strictSame(service.arrived, [], `${name}: nothing arrives`);
    client.socket.destroy();
  }
  t.equal(answersIn(await readAll(zone, AFTER))[0]?.body, 'at /after');
});

t.test('a body that does not match its length never becomes a whole request', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  for (const [length, body] of [
    ['2', 'abc'],
    ['4', 'abc'],
    ['0', 'GET /evil HTTP/1.1\r\nHost: a\r\n\r\n'],
  ] as const) {
    service.arrived.length = 0;
    const client = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend')));
    client.socket.write(post(['content-length', length], body));
    await client.until(() => client.isOver(1));
    t.equal(client.of(1, TYPES.headers), undefined, 'no answer');
    t.equal(answersIn(await readAll(zone, AFTER))[0]?.body, 'at /after');
    t.notOk(
      service.arrived.some(({ head, whole }) => whole && !head.includes('/after')),
      `${length}: nothing whole arrives`,
    );
    client.socket.destroy();
  }
});

t.test('a field that the library leaves out as malformed does not change another', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  for (const more of [
    ['x-a', 'a\r\nx: b'],
    ['x-a', 'a\0b'],
    ['x a', '1'],
    ['x\r\ny', '1'],
    ['', '1'],
  ]) {
    service.arrived.length = 0;
    const client = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend')));
    client.socket.write(request(1, [...GET, ...more]));
    await client.until(() => client.isOver(1));
    t.strictSame(service.arrived, [{ head: 'GET /x HTTP/1.1', body: '', whole: true }], JSON.stringify(more));
    client.socket.destroy();
  }
});

t.test('a stream that is reset in the same read as its head leaves everything as it is', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  const reset = frame(TYPES.reset, 0, 1, uint32(8));
  for (const head of [
    request(1, [...POST, 'expect', '100-continue'], false),
    request(1, POST, false),
    request(1, GET),
    request(1, swapped(':method', 'TRACE'), false),
    request(1, swapped(':path', 'x')),
    large(22_000),
  ]) {
    const client = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend')));
    client.socket.write(Buffer.concat([head, reset, request(3, swapped(':path', '/after'))]));
    await client.until(() => client.isOver(3));
    t.ok(client.ended || client.of(3, TYPES.data)?.payload.toString() === 'at /after');
    client.socket.destroy();
  }
  t.equal(answersIn(await readAll(zone, AFTER))[0]?.body, 'at /after');
});

t.test('floods end their connection, and others are served meanwhile', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  const open = request(1, POST, false);
  const reset = (stream: number): Buffer => frame(TYPES.reset, 0, stream, uint32(8));
  const floods: readonly (readonly [string, Buffer])[] = [
    ['PING', times(2_000, () => frame(TYPES.ping, 0, 0, '12345678'))],
    ['SETTINGS', times(2_000, () => frame(TYPES.settings, 0, 0))],
    ['resets', times(2_000, (i) => Buffer.concat([request(2 * i + 1, POST, false), reset(2 * i + 1)]))],
    ['PRIORITY', times(5_000, () => frame(TYPES.priority, 0, 1, Buffer.from([0, 0, 0, 3, 1])))],
    ['WINDOW_UPDATE', times(2_000, () => frame(TYPES.window, 0, 0, uint32(1)))],
    ['WINDOW_UPDATE of a stream', Buffer.concat([open, times(2_000, () => frame(TYPES.window, 0, 1, uint32(1)))])],
    ['empty DATA', Buffer.concat([open, times(2_000, () => frame(TYPES.data, 0, 1))])],
    [
      'CONTINUATION',
      Buffer.concat([frame(TYPES.headers, 0, 1, fields(...GET)), times(200, () => frame(TYPES.continuation, 0, 1))]),
    ],
    ['frames of no type', times(2_500, () => frame(99, 0, 0, 'x'))],
    ['malformed requests', times(300, (i) => request(2 * i + 1, [...GET, 'X', '1']))],
  ];
  const play = async ([name, bytes]: readonly [string, Buffer]): Promise<void> => {
    const client = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend')));
    client.socket.write(bytes);
    await client.until(() => false);
    t.ok(client.ended, name);
  };
  const good = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) t.equal(answersIn(await readAll(zone, AFTER))[0]?.body, 'at /after');
  };
  await Promise.all([...floods.map(play), good()]);
});
