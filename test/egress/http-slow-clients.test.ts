// Clients that begin and do not go on: each ends after its time and not before, with its reason, and
// nothing of it stays. The clock of the egress is turned by hand.
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import type { Timer } from '../../src/base/clock.ts';
import type { RequestRecord } from '../../src/egress.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { END_HEADERS, END_STREAM, fields, frame, Frames, GET, PREFACE, request, TYPES } from './h2-frames.ts';
import { answersIn, SHOP, startHttpZone, startRawService } from './http-zone.ts';
import type { RawService } from './http-zone.ts';
import { until } from './until.ts';
import { gone } from './zone.ts';
import type { Zone } from './zone.ts';

const SETUP_MS = 15_000;
/** Between two looks at what clients are late with. */
const LOOK_MS = 500;
const STREAM_IDLE_MS = 300_000;
const IDLE_MS = 3_600_000;

/** Knows for how long it was asked to wait, so that a test sees how far the egress has come. */
class AskedClock extends FakeClock {
  readonly #asked: number[] = [];

  constructor() {
    super({ wall: Date.now() });
  }

  override after(ms: number, fn: () => void): Timer {
    this.#asked.push(ms);
    return super.after(ms, fn);
  }

  asked(ms: number): number {
    return this.#asked.filter((each) => each === ms).length;
  }
}

interface Bed extends AsyncDisposable {
  readonly clock: AskedClock;
  readonly zone: Zone;
  readonly service: RawService;
  readonly requests: RequestRecord[];
  /** Resolves when the egress waits for a request. */
  connect(): Promise<TLSSocket>;
}

async function startBed(t: Test, setupTimeoutMs = SETUP_MS): Promise<Bed> {
  const clock = new AskedClock();
  // `/held` is never answered.
  const service = await startRawService(t, ({ head }) =>
    head.includes('/held') ? null : 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood',
  );
  const traffic = { setupTimeoutMs, allowedResolved: ['127.0.0.0/8'] };
  const zone = await startHttpZone(t, service.port, { clock, traffic });
  const requests: RequestRecord[] = [];
  zone.egress.onRequest((record) => requests.push(record));
  return {
    clock,
    zone,
    service,
    requests,
    async connect() {
      const before = clock.asked(IDLE_MS);
      const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
      await until('its handshake is done', () => clock.asked(IDLE_MS) > before);
      return socket;
    },
    [Symbol.asyncDispose]: () => zone[Symbol.asyncDispose](),
  };
}

/** The egress has read all that was sent before, where that ends with a whole frame. */
async function isRead(client: Frames): Promise<void> {
  const answers = (): number => client.seen.filter(({ type, flags }) => type === TYPES.ping && flags === 1).length;
  const before = answers();
  client.socket.write(frame(TYPES.ping, 0, 0, '12345678'));
  await client.until(() => answers() > before);
}

interface Slow {
  readonly name: string;
  /** Sent behind a PING in one piece, so that the answer to the PING proves that it was read. */
  readonly bytes: Buffer;
  /** Sent before each look at the connection. */
  readonly again?: Buffer;
  readonly why: RegExp;
}

const head = fields(...GET, 'x-a', 'b'.repeat(200));
const SLOW: readonly Slow[] = [
  { name: 'HEADERS without an end', bytes: frame(TYPES.headers, END_STREAM, 1, head), why: /^the head of stream 1 was not/ },
  {
    name: 'CONTINUATION now and then',
    bytes: frame(TYPES.headers, END_STREAM, 1, head.subarray(0, 100)),
    again: frame(TYPES.continuation, 0, 1, ''),
    why: /^the head of stream 1 was not complete after 15000 ms/,
  },
  {
    name: 'the payload of HEADERS a byte at a time',
    bytes: frame(TYPES.headers, END_HEADERS | END_STREAM, 1, head).subarray(0, 20),
    again: Buffer.from('b'),
    why: /^the head of stream 1 was not/,
  },
  {
    name: 'a padded head of which the padding does not come',
    bytes: frame(TYPES.headers, END_HEADERS | END_STREAM | 8, 1, Buffer.concat([Buffer.of(99), head, Buffer.alloc(99)])).subarray(
      0,
      -50,
    ),
    why: /^the head of stream 1 was not/,
  },
  {
    name: 'a second head beside a request that is served',
    bytes: Buffer.concat([
      request(1, [':method', 'GET', ':path', '/held', ':scheme', 'https', ':authority', 'a']),
      frame(TYPES.headers, END_STREAM, 3, head),
    ]),
    why: /^the head of stream 3 was not/,
  },
];

t.test('a head of HTTP/2 that does not come whole in time ends its connection', async (t) => {
  for (const { name, bytes, again, why } of SLOW) {
    await using bed = await startBed(t);
    const { clock, zone, requests } = bed;
    const client = new Frames(await bed.connect());
    await isRead(client);
    client.socket.write(Buffer.concat([frame(TYPES.ping, 0, 0, '12345678'), bytes]));
    await client.until(() => client.seen.filter(({ type, flags }) => type === TYPES.ping && flags === 1).length === 2);
    for (let ms = 0; ms < SETUP_MS; ms += LOOK_MS) {
      if (again !== undefined) client.socket.write(again);
      clock.advance(LOOK_MS);
    }
    t.strictSame(requests, [], `${name}: it has its time`);
    clock.advance(LOOK_MS);
    await client.until(() => false);
    await until(`${name}: it is recorded`, () => requests.some(({ method }) => method === ''));
    t.match(
      requests.find(({ method }) => method === ''),
      { reason: 'request-timeout', detail: why, status: 0 },
      name,
    );
    t.match(await zone.record(() => true), { reason: 'request-timeout', detail: why }, `${name}: the session has the reason`);
    t.equal(zone.egress.sessions(), 0);
  }
});

t.test('a client of HTTP/2 that does not exchange its settings', async (t) => {
  const acknowledged = frame(TYPES.settings, 1, 0);
  const settings = frame(TYPES.settings, 0, 0);
  const cases: readonly (readonly [string, Buffer])[] = [
    ['the preface alone', PREFACE],
    ['settings that are not acknowledged', Buffer.concat([PREFACE, settings])],
    ['a request without an acknowledgement', Buffer.concat([PREFACE, settings, request(1, GET)])],
  ];
  for (const [name, bytes] of cases) {
    await using bed = await startBed(t);
    const socket = await bed.connect();
    let read = 0;
    socket.on('data', (chunk: Buffer) => (read += chunk.length));
    socket.write(bytes);
    await until('the egress speaks HTTP/2', () => read > 9);
    bed.clock.advance(SETUP_MS - LOOK_MS);
    t.equal(bed.zone.records.length, 0, `${name}: it has its time`);
    bed.clock.advance(LOOK_MS);
    await gone(socket);
    await until('it is recorded', () => bed.requests.some(({ method }) => method === ''));
    t.match(
      bed.requests.find(({ method }) => method === ''),
      { reason: 'request-timeout', detail: /^the client did not acknowledge the settings of HTTP\/2 within 15000 ms$/ },
      name,
    );
  }
  await using bed = await startBed(t);
  const socket = await bed.connect();
  let read = 0;
  socket.on('data', (chunk: Buffer) => (read += chunk.length));
  socket.write(Buffer.concat([PREFACE, acknowledged]));
  await gone(socket);
  t.ok(read > 0, 'an acknowledgement in the place of settings is a fault at once');
});

t.test('a client that sends nothing, or half a preface', async (t) => {
  await using bed = await startBed(t);
  const silent = await bed.connect();
  const half = await bed.connect();
  half.write(PREFACE.subarray(0, 20));
  // One for the setup of each connection, one for the rest of the preface.
  await until('the half has come', () => bed.clock.asked(SETUP_MS) === 3);
  bed.clock.advance(SETUP_MS);
  await gone(half);
  await bed.zone.record(() => true);
  t.match(bed.zone.records, [{ reason: 'request-timeout', detail: /^no protocol after 20 bytes and 15000 ms$/ }]);
  bed.clock.advance(IDLE_MS);
  await gone(silent);
  t.match(await bed.zone.record(({ reason }) => reason === 'idle-timeout'), { requests: 0, detail: /for 3600000 ms$/ });
});

t.test('a connection on which a malformed request was reset is not taken for a slow one', async (t) => {
  await using bed = await startBed(t);
  const client = new Frames(await bed.connect());
  await isRead(client);
  client.socket.write(request(1, [...GET, 'X-A', '1']));
  await client.until(() => client.of(1, TYPES.reset) !== undefined);
  const asked = (): boolean => client.seen.some(({ type, flags }) => type === TYPES.ping && flags === 0);
  await until('the egress asks', () => {
    if (!asked()) bed.clock.advance(LOOK_MS);
    return asked();
  });
  client.socket.write(
    frame(TYPES.ping, 1, 0, client.seen.find(({ type, flags }) => type === TYPES.ping && flags === 0)?.payload),
  );
  await isRead(client);
  bed.clock.advance(2 * SETUP_MS);
  client.socket.write(request(3, GET));
  await client.until(() => client.isOver(3));
  t.equal(client.of(3, TYPES.data)?.payload.toString(), 'good');
  client.socket.destroy();
});

t.test('a large head that comes slowly is no flood', async (t) => {
  await using bed = await startBed(t);
  const client = new Frames(await bed.connect());
  await isRead(client);
  const large = fields('x', 'y'.repeat(16_000));
  const first = [frame(TYPES.ping, 0, 0, '12345678'), frame(TYPES.headers, END_STREAM, 1, fields(...GET))];
  client.socket.write(Buffer.concat([...first, frame(TYPES.continuation, 0, 1, large)]));
  for (let i = 0; i < 2; i++) {
    for (let turns = 0; turns < 100; turns++) await new Promise((resolve) => setImmediate(resolve));
    bed.clock.advance(LOOK_MS);
    client.socket.write(frame(TYPES.continuation, 0, 1, large));
  }
  client.socket.write(frame(TYPES.continuation, END_HEADERS, 1, fields('x', 'z')));
  await client.until(() => client.isOver(1));
  t.equal(client.of(1, TYPES.data)?.payload.toString(), 'good');
  client.socket.destroy();
});

t.test('a head of HTTP/1.1 that does not come whole in time', async (t) => {
  // Node's own clock ends these heads.
  await using bed = await startBed(t, 200);
  const slow = 'GET /slow HTTP/1.1\r\nHost: a\r\n';
  for (const [name, before, again] of [
    ['a part', slow, ''],
    ['a byte at a time', slow, 'x'],
    ['a part behind a request', `GET /x HTTP/1.1\r\nHost: a\r\n\r\n${slow}`, ''],
  ] as const) {
    bed.requests.length = 0;
    const socket = await bed.connect();
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.write(before);
    const trickle = setInterval(() => again !== '' && socket.writable && socket.write(again), 10);
    await bed.clock.advanceUntil(gone(socket), 10);
    clearInterval(trickle);
    t.equal(answersIn(text).at(-1)?.status, 408, name);
    t.match(
      bed.requests.at(-1),
      { reason: 'request-timeout', status: 408, detail: /^answered 408: the head was not complete after 200 ms$/ },
      name,
    );
  }
});

t.test('a body of HTTP/1.1 that stays in the middle of its framing', async (t) => {
  await using bed = await startBed(t);
  const begin = 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n';
  for (const [name, rest, again] of [
    ['the size of a chunk', '0000', '0'],
    ['the extension of a chunk', '2;x', 'x'],
    ['a chunk', '5\r\na', ''],
    ['the end of a chunk', '5\r\nabcde\r', ''],
    ['a trailer', '0\r\nX-T: ', 'x'],
    ['the last line', '0\r\n', ''],
  ] as const) {
    bed.requests.length = 0;
    bed.service.arrived.length = 0;
    const socket = await bed.connect();
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.write(begin + rest);
    await bed.service.until(() => bed.service.arrived[0]?.body.includes('ab') === true);
    for (let ms = 0; ms < STREAM_IDLE_MS; ms += 20_000) {
      if (again !== '') socket.write(again);
      bed.clock.advance(20_000);
    }
    await bed.clock.advanceUntil(gone(socket), LOOK_MS);
    t.equal(answersIn(text)[0]?.status, 408, name);
    t.match(bed.requests, [{ reason: 'request-timeout', status: 408, flags: 'SI' }], name);
    t.notOk(bed.service.arrived[0]?.whole, `${name}: the service sees a cut request`);
  }
});

t.test('a request of HTTP/2 that stays open', async (t) => {
  await using bed = await startBed(t);
  const POST = GET.map((text) => (text === 'GET' ? 'POST' : text));
  for (const [name, rest] of [
    ['no DATA', Buffer.alloc(0)],
    ['a part of a frame', frame(TYPES.data, END_STREAM, 1, 'cdef').subarray(0, 10)],
    ['trailers without an end', frame(TYPES.headers, END_STREAM, 1, fields('x-t', '1'))],
  ] as const) {
    bed.requests.length = 0;
    bed.service.arrived.length = 0;
    const client = new Frames(await bed.connect());
    await isRead(client);
    client.socket.write(Buffer.concat([request(1, POST, false), frame(TYPES.data, 0, 1, 'ab'), rest]));
    await bed.service.until(() => bed.service.arrived[0]?.body.includes('ab') === true);
    bed.clock.advance(STREAM_IDLE_MS);
    await client.until(() => client.of(1, TYPES.headers) !== undefined);
    await until('it is recorded', () => bed.requests.length > 0);
    t.match(bed.requests[0], { reason: 'request-timeout', status: 408, flags: 'SI' }, name);
    t.notOk(bed.service.arrived[0]?.whole, `${name}: the service sees a cut request`);
    client.socket.destroy();
  }
});
