// Services that flood the egress with what asks for nothing, or never come to an end: the
// connection ends with a reason, its client reads what Envoy answers, and another service is served
// meanwhile.
import type { Socket } from 'node:net';
import { createServer as createHttp1 } from 'node:http';
import t from 'tap';
import type { Test } from 'tap';
import type { RequestRecord } from '../../src/egress.ts';
import { startRaw } from '../raw-server.ts';
import { END_HEADERS, END_STREAM, fields, frame, GET as GET_FIELDS, PREFACE, TYPES, uint32 } from './h2-frames.ts';
import { answersIn, readUntilGone, SHOP, startHttpZone } from './http-zone.ts';
import { until } from './until.ts';
import { listen } from './virtual-host.ts';
import type { Zone } from './zone.ts';

const RESET = 'upstream connect error or disconnect/reset before headers. reset reason: ';
const FLOOD = 'a flood of bytes without a request';
const GET = 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

interface Attack {
  /** Once, as soon as the request is there. */
  readonly first?: Buffer;
  /** Then again and again; `i` counts. */
  readonly again: (i: number) => Buffer;
}

/** Writes as fast as the egress reads, until the connection is over. */
function play(socket: Socket, { first, again }: Attack): void {
  if (first !== undefined) socket.write(first);
  let i = 0;
  const more = (): void => {
    for (let sent = 0; sent < 1_000_000 && !socket.destroyed;) {
      const bytes = again(i++);
      sent += bytes.length;
      if (!socket.write(bytes)) return void socket.once('drain', more);
    }
    // Others have their turn.
    if (!socket.destroyed) setImmediate(more);
  };
  more();
}

interface Hostile {
  readonly port: number;
  attack: ((stream: number) => Attack) | null;
  /** Connections that are open. */
  readonly open: Set<Socket>;
}

/** A service of HTTP/2 made of frames: plays its attack when a request comes, else answers it. */
async function startHostile(t: Test): Promise<Hostile> {
  const hostile = { port: 0, attack: null as Hostile['attack'], open: new Set<Socket>() };
  hostile.port = await startRaw(t, (socket) => {
    hostile.open.add(socket);
    socket.on('close', () => hostile.open.delete(socket));
    let rest: Buffer = Buffer.alloc(0);
    let greeted = false;
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      if (!greeted) {
        if (rest.length < PREFACE.length) return;
        rest = rest.subarray(PREFACE.length);
        greeted = true;
        socket.write(frame(TYPES.settings, 0, 0));
      }
      while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
        const [type, flags, stream] = [rest[3], rest[4], rest.readUInt32BE(5)];
        rest = rest.subarray(9 + rest.readUIntBE(0, 3));
        if (type === TYPES.settings && flags === 0) socket.write(frame(TYPES.settings, 1, 0));
        if (type !== TYPES.headers) continue;
        if (hostile.attack !== null) play(socket, hostile.attack(stream));
        else socket.write(frame(TYPES.headers, END_HEADERS | END_STREAM, stream, OK));
      }
    });
  });
  return hostile;
}

interface Bed {
  readonly zone: Zone;
  readonly requests: RequestRecord[];
  /** The whole answer of the service. */
  ask(sni?: string): Promise<{ readonly status: number; readonly body: string }>;
}

async function startBed(t: Test, port: number, protocol: 'http' | 'http2'): Promise<Bed & AsyncDisposable> {
  const good = await listen(createHttp1((_, response) => response.end('good')));
  t.teardown(() => good[Symbol.asyncDispose]());
  const zone = await startHttpZone(t, port, {
    protocol,
    more: `---
type: ExternalService
name: good
mesh: default
tags: { kuma.io/service: good, kuma.io/protocol: http }
networking: { address: 'good.partner.test:${good.port}' }
`,
  });
  const requests: RequestRecord[] = [];
  zone.egress.onRequest((record) => requests.push(record));
  return {
    zone,
    requests,
    async ask(sni = SHOP) {
      const [answer] = answersIn(await readUntilGone(await zone.connect(sni, zone.mesh.client('frontend')), GET));
      return { status: answer?.status ?? 0, body: answer?.body ?? '' };
    },
    [Symbol.asyncDispose]: () => zone[Symbol.asyncDispose](),
  };
}

/** What comes of each attack, while a client of another service is served. */
async function survive(t: Test, bed: Bed, name: string, ended: () => boolean): Promise<{ status: number; body: string }> {
  let over = false;
  const good = async (): Promise<void> => {
    do {
      const { status } = await bed.ask('good{mesh=default}');
      if (status !== 200) t.fail(`${name}: another service is not served`);
    } while (!over);
  };
  const attacked = async (): Promise<{ status: number; body: string }> => {
    try {
      const answer = await bed.ask();
      await until(`${name}: the connection of the service ends`, ended);
      return answer;
    } finally {
      over = true;
    }
  };
  const [answer] = await Promise.all([attacked(), good()]);
  return answer;
}

const OK = fields(':status', '200');
const times = (count: number, bytes: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => bytes));
const endless = (bytes: Buffer): (() => Buffer) => {
  const many = times(Math.ceil(10_000 / bytes.length), bytes);
  return () => many;
};
const on = (type: number, flags: number, payload: Buffer | string = '') => {
  return (stream: number): Attack => ({ again: endless(frame(type, flags, stream, payload)) });
};
const alone = (type: number, flags: number, payload: Buffer | string = '') => {
  return (): Attack => ({ again: endless(frame(type, flags, 0, payload)) });
};
/** Behind the head of an answer. */
const behind = (flags: number, attack: (stream: number) => Attack) => {
  return (stream: number): Attack => ({ first: frame(TYPES.headers, flags, stream, OK), again: attack(stream).again });
};
const setting = (id: number, value: number): Buffer => Buffer.concat([Buffer.from([0, id]), uint32(value)]);
const [push, altsvc, origin] = [5, 10, 12];
const hints = (...more: string[]): Buffer => fields(':status', '103', ...more);

/** `503` where the service breaks the rules of one stream only, `200` where the head was out. */
const ATTACKS: readonly (readonly [string, (stream: number) => Attack])[] = [
  ['SETTINGS', alone(TYPES.settings, 0)],
  ['SETTINGS that change the window', alone(TYPES.settings, 0, setting(4, 1_000))],
  ['SETTINGS that change the table', alone(TYPES.settings, 0, setting(1, 100))],
  ['SETTINGS of unknown settings', alone(TYPES.settings, 0, times(6, setting(99, 1)))],
  ['acknowledged SETTINGS', alone(TYPES.settings, 1)],
  ['PING', alone(TYPES.ping, 0, '12345678')],
  ['acknowledged PING', alone(TYPES.ping, 1, '12345678')],
  ['resets of the stream', on(TYPES.reset, 0, uint32(8))],
  ['resets of streams that nobody opened', (stream) => on(TYPES.reset, 0, uint32(8))(stream + 100)],
  ['WINDOW_UPDATE', alone(TYPES.window, 0, uint32(1))],
  ['WINDOW_UPDATE of the stream', on(TYPES.window, 0, uint32(1))],
  ['WINDOW_UPDATE of zero', on(TYPES.window, 0, uint32(0))],
  ['CONTINUATION of nothing', behind(0, on(TYPES.continuation, 0))],
  ['CONTINUATION of much', behind(0, on(TYPES.continuation, 0, fields('x', 'y'.repeat(4_000))))],
  ['empty DATA', behind(END_HEADERS, on(TYPES.data, 0))],
  ['DATA of padding', behind(END_HEADERS, on(TYPES.data, 8, Buffer.concat([Buffer.from([255]), Buffer.alloc(255)])))],
  ['DATA beyond the window', behind(END_HEADERS, on(TYPES.data, 0, Buffer.alloc(16_000)))],
  ['DATA before the head', on(TYPES.data, 0, 'abc')],
  ['DATA behind the end', behind(END_HEADERS | END_STREAM, on(TYPES.data, 0, 'abc'))],
  ['empty HEADERS', on(TYPES.headers, END_HEADERS)],
  ['empty HEADERS behind the head', behind(END_HEADERS, on(TYPES.headers, END_HEADERS))],
  ['answers behind the end', behind(END_HEADERS | END_STREAM, on(TYPES.headers, END_HEADERS | END_STREAM, OK))],
  ['PRIORITY', on(TYPES.priority, 0, Buffer.from([0, 0, 0, 0, 1]))],
  [
    'PRIORITY of ever new streams',
    () => ({
      again: (i) =>
        Buffer.concat(
          Array.from({ length: 1_000 }, (_, j) =>
            frame(TYPES.priority, 0, 2 * (1_000 * i + j) + 1, Buffer.from([0, 0, 0, 0, 1])),
          ),
        ),
    }),
  ],
  ['answers before the answer', on(TYPES.headers, END_HEADERS, hints())],
  ['100 before the answer', on(TYPES.headers, END_HEADERS, fields(':status', '100'))],
  ['large answers before the answer', on(TYPES.headers, END_HEADERS, hints('link', 'y'.repeat(15_000)))],
  [
    'endless trailers',
    (stream) => ({
      first: Buffer.concat([
        frame(TYPES.headers, END_HEADERS, stream, OK),
        frame(TYPES.headers, END_STREAM, stream, fields('a', 'b')),
      ]),
      again: endless(frame(TYPES.continuation, 0, stream, fields('x', 'y'.repeat(4_000)))),
    }),
  ],
  [
    'fields that change the table',
    (stream) => ({
      again: (i) =>
        frame(
          TYPES.headers,
          END_HEADERS,
          stream,
          Buffer.concat([hints(), Buffer.from([0x40]), fields(`x${i}`, 'y'.repeat(100)).subarray(1)]),
        ),
    }),
  ],
  [
    'tables that change their size',
    on(TYPES.headers, END_HEADERS, Buffer.concat([Buffer.from([0x20, 0x3f, 0xe1, 0x1f]), hints()])),
  ],
  ['GOAWAY', (stream) => alone(TYPES.goAway, 0, Buffer.concat([uint32(stream), uint32(0)]))()],
  ['large GOAWAY', (stream) => alone(TYPES.goAway, 0, Buffer.concat([uint32(stream), uint32(0), Buffer.alloc(16_000)]))()],
  ['PUSH_PROMISE', on(push, END_HEADERS, Buffer.concat([uint32(2), fields(...GET_FIELDS)]))],
  ['ALTSVC', alone(altsvc, 0, '\0\x09https://ah2=":443"')],
  ['large ALTSVC', alone(altsvc, 0, `\0\x09https://a${'x'.repeat(15_000)}`)],
  ['ORIGIN', alone(origin, 0, '\0\x09https://a')],
  ['frames of no type', alone(99, 0, 'x')],
  ['large frames of no type', alone(99, 0, 'x'.repeat(16_000))],
  ['frames too large', on(TYPES.data, 0, Buffer.alloc(20_000))],
  ['a request', () => ({ again: () => frame(TYPES.headers, END_HEADERS | END_STREAM, 2, fields(...GET_FIELDS)) })],
  ['a broken table', on(TYPES.headers, END_HEADERS, Buffer.from([255, 255, 255, 255, 255]))],
  ['HTTP/1.1', () => ({ again: () => Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab') })],
];

t.test('a service of HTTP/2 that floods', async (t) => {
  const hostile = await startHostile(t);
  await using bed = await startBed(t, hostile.port, 'http2');
  for (const [name, attack] of ATTACKS) {
    hostile.attack = attack;
    bed.requests.length = 0;
    const { status, body } = await survive(t, bed, name, () => hostile.open.size === 0);
    hostile.attack = null;
    // What was read before the flood was seen may have been passed on.
    if (status !== 200) t.match([status, body], [/502|503/, RESET], name);
    t.equal((await bed.ask()).status, 200, `${name}: the next request is served`);
  }
});

t.test('why the connection of a flood ended stands in the record of its request', async (t) => {
  const hostile = await startHostile(t);
  await using bed = await startBed(t, hostile.port, 'http2');
  hostile.attack = alone(TYPES.window, 0, uint32(1));
  t.strictSame(await bed.ask(), { status: 502, body: `${RESET}protocol error` });
  await until('the request has its record', () => bed.requests.length === 1);
  t.match(bed.requests[0]?.detail, `(${FLOOD})`);
  t.equal(bed.requests[0]?.details, 'upstream_reset_before_response_started{protocol_error}');
});

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const text = (first: string, again: string): Attack => ({ first: Buffer.from(first), again: endless(Buffer.from(again)) });

const ATTACKS_OF_HTTP1: readonly (readonly [string, Attack, number])[] = [
  ['100', text('', 'HTTP/1.1 100 Continue\r\n\r\n'), 502],
  ['103', text('', `HTTP/1.1 103 Early Hints\r\nLink: ${'x'.repeat(10_000)}\r\n\r\n`), 502],
  ['endless headers', text('HTTP/1.1 200 OK\r\n', 'X: 1\r\n'), 502],
  ['an endless header', text('HTTP/1.1 200 OK\r\nX: ', 'xxxxxxxx'), 502],
  ['an endless reason', text('HTTP/1.1 200 ', 'xxxxxxxx'), 502],
  ['endless empty lines', text('', '\r\n'), 502],
  ['an endless extension of a chunk', text(`${CHUNKED}2;`, 'xxxxxxxx'), 200],
  ['extensions of chunks of one byte', text(CHUNKED, `1;${'x'.repeat(10_000)}\r\na\r\n`), 200],
  ['an endless size of a chunk', text(CHUNKED, '00000000'), 200],
  ['endless trailers', text(`${CHUNKED}0\r\n`, 'X: 1\r\n'), 200],
  ['an endless trailer', text(`${CHUNKED}0\r\nX: `, 'xxxxxxxx'), 200],
  ['junk behind the answer', text('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab', 'HTTP/1.1 200 OK\r\n'), 200],
];

t.test('a service of HTTP/1.1 that never comes to an end', async (t) => {
  let attack: Attack | null = null;
  const open = new Set<Socket>();
  const port = await startRaw(t, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.once('data', () => {
      if (attack === null) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext');
      else play(socket, attack);
    });
  });
  await using bed = await startBed(t, port, 'http');
  for (const [name, each, status] of ATTACKS_OF_HTTP1) {
    attack = each;
    const answer = await survive(t, bed, name, () => open.size === 0);
    attack = null;
    t.equal(answer.status, status, name);
    if (status === 502) t.equal(answer.body, `${RESET}protocol error`, name);
    t.strictSame(await bed.ask(), { status: 200, body: 'next' }, `${name}: the next request is served`);
  }
});
