import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { WorkerPool } from '../../src/control/worker-pool.ts';
import type { Endpoint } from '../../src/model/cluster.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import type { Route } from '../../src/model/route.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../../src/model/settings.ts';
import { printable } from '../../src/routing/route.ts';
import { parseClientHello } from '../../src/wire/client-hello.ts';
import { corpus, helloMessage, nameExtension, randomFrom, records } from '../wire/fixtures/hello-bytes.ts';
import type { Sample } from '../wire/fixtures/hello-bytes.ts';
import { dialling } from './dialling.ts';
import { realHello } from './real-hello.ts';
import { BOUND_MS, FAR_MS, until } from './until.ts';
import { CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

/**
 * The deadline of the test that waits for it: long enough for earlier events on a busy machine, and
 * shorter than a connect may take.
 */
const SETUP_MS = 4_500;
/**
 * When the rest of a late hello is sent. A deadline that started anew there would end this much
 * later.
 */
const LATE_MS = 3_000;

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('one deadline runs from accept until bytes flow, and nothing that the client sends moves it', async (t) => {
      await using hole = await createBlackhole();
      await using zone = await startZone(t, {
        concurrency,
        traffic: { setupTimeoutMs: SETUP_MS },
        resources: () => servicesAt(hole.port),
      });
      const hello = await realHello('hole{mesh=default}');
      const elsewhere = await realHello('beyond{mesh=default}');
      const [silent, dripping, stalled, late, connecting] = await Promise.all([
        session(zone, () => undefined),
        session(zone, (socket) => drip(socket, hello)),
        session(zone, (socket) => socket.write(hello)),
        session(zone, (socket) => {
          socket.write(hello.subarray(0, 20));
          setTimeout(() => socket.write(hello.subarray(20)), LATE_MS);
        }),
        session(zone, (socket) => socket.write(elsewhere)),
      ]);
      t.match(silent, { reason: 'hello-timeout', helloMs: -1, detail: /incomplete after 4500 ms/ }, 'a client that says nothing');
      t.match(dripping, { reason: 'hello-timeout', helloMs: -1 }, 'a hello that drips in byte by byte');
      t.match(stalled, { reason: 'handshake-failed', detail: /not done 4500 ms after accept/ }, 'a stop after the hello');
      t.match(late, { reason: 'handshake-failed' }, 'a hello that took most of the time leaves the handshake the rest');
      t.ok(late.helloMs > SETUP_MS / 2, 'that hello was late indeed');
      t.match(
        connecting,
        { reason: 'connect-timeout', attempts: 1, bytesUp: 0 },
        'an endpoint that does not answer; the next one is not begun',
      );
      for (const { totalMs, reason } of [silent, dripping, stalled, late, connecting]) {
        t.ok(totalMs >= SETUP_MS - 5 && totalMs < SETUP_MS + LATE_MS, `${reason} after ${Math.round(totalMs)} ms`);
      }
    });

    t.test('what is no TLS, broken or too large is closed at once, with its reason and without a deadline', async (t) => {
      await using zone = await startZone(t, { concurrency, traffic: { setupTimeoutMs: FAR_MS } });
      const hello = records(helloMessage());
      const cases: readonly [string, Buffer, SessionRecord['reason'], RegExp][] = [
        ['HTTP', Buffer.from('GET / HTTP/1.1\r\nhost: egress\r\n\r\n'), 'not-tls', /HTTP/],
        ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.9\r\n'), 'not-tls', /SSH/],
        ['PROXY protocol', Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n'), 'not-tls', /PROXY/],
        ['one byte', Buffer.of(0), 'not-tls', /0x0/],
        ['noise', Buffer.concat([Buffer.of(0x9c), randomBytes(100_000)]), 'not-tls', /./],
        ['another record', Buffer.concat([hello.subarray(0, 1), Buffer.of(9, 1, 0, 5)]), 'not-tls', /./],
        ['a record of no bytes', Buffer.of(22, 3, 1, 0, 0), 'malformed-hello', /record of 0 bytes/],
        ['a record beyond the protocol', Buffer.of(22, 3, 1, 0xff, 0xff), 'malformed-hello', /record of 65535 bytes/],
        ['a server’s hello', Buffer.of(22, 3, 3, 0, 50, 2), 'malformed-hello', /type 2/],
        ['garbage inside', records(helloMessage({ garbage: Buffer.alloc(3) })), 'malformed-hello', /extensions/],
        ['a claim of 1 MiB', Buffer.of(22, 3, 1, 0x40, 0, 1, 0x10, 0, 0), 'hello-too-large', /limit 16384/],
      ];
      for (const [what, bytes, reason, detail] of cases) {
        const record = await session(zone, (socket) => socket.write(bytes));
        t.match(record, { reason, detail, attempts: 0, bytesUp: 0 }, what);
        t.ok(record.totalMs < BOUND_MS, `${what}: after ${record.totalMs.toFixed(1)} ms`);
      }
      t.equal(zone.ingress.connections.length, 0, 'nothing of it went further');
    });

    t.test('a client that is refused over its hello reads one alert and an end, if what it sent was TLS', async (t) => {
      await using zone = await startZone(t, { concurrency });
      const noRoute = records(helloMessage({ extensions: [nameExtension('nowhere{mesh=default}')] }));
      t.equal(await answerTo(zone, noRoute), '15030300020270', 'unrecognized_name');
      t.equal(await answerTo(zone, records(helloMessage({ extensions: null }))), '15030300020270', 'unrecognized_name');
      t.equal(await answerTo(zone, Buffer.of(22, 3, 1, 0, 0)), '15030300020232', 'decode_error');
      t.equal(await answerTo(zone, Buffer.from('GET / HTTP/1.1\r\n\r\n')), '', 'nothing that a web client would show');
    });

    t.test('a client that goes away within its hello is client-gone, however it goes', async (t) => {
      await using zone = await startZone(t, { concurrency, traffic: { setupTimeoutMs: FAR_MS } });
      const hello = records(helloMessage());
      for (const length of [0, 1, 5, hello.length - 1]) {
        const ended = await session(zone, (socket) => socket.end(hello.subarray(0, length)));
        t.match(ended, { reason: 'client-gone', detail: `after ${length} bytes` }, `an end after ${length} bytes`);
        const reset = await session(zone, (socket) => resetWhenAccepted(zone, socket, hello.subarray(0, length)));
        t.match(reset, { reason: 'client-gone', detail: /closed by the client/ }, `a reset after ${length} bytes`);
        t.ok(ended.totalMs < BOUND_MS && reset.totalMs < BOUND_MS, 'without the deadline');
      }
    });

    t.test('a client that goes away while its endpoint is connected ends the attempt', async (t) => {
      await using hole = await createBlackhole();
      await using zone = await startZone(t, {
        concurrency,
        traffic: { setupTimeoutMs: FAR_MS },
        resources: () => servicesAt(hole.port),
      });
      const hello = await realHello('beyond{mesh=default}');
      const before = dialling(hole.port);
      const record = await session(zone, async (socket) => {
        await written(socket, hello);
        await until('the attempt', () => dialling(hole.port) > before);
        socket.resetAndDestroy();
      });
      t.match(record, { reason: 'client-gone', destination: 'beyond' });
      t.ok(record.totalMs < BOUND_MS, `after ${record.totalMs.toFixed(1)} ms, not at the deadline`);
    });

    t.test('a name made to deceive is one line of JSON in the log and never a metric label', async (t) => {
      const lines: string[] = [];
      await using zone = await startZone(t, {
        concurrency,
        logLevel: 'info',
        logDestination: { write: (line) => lines.push(line) },
      });
      const names = [
        'marker\n{"level":"info","msg":"forged"}\r\n',
        'marker\x01\x1b[31m\x07\x7f',
        'marker",reason="closed"} 1\nzone_egress_sessions_total{mode="',
        `marker${'m'.repeat(249)}`,
        `marker${'\x1b'.repeat(249)}`,
        Buffer.from('marker-bücher-日本-\u2028').toString('latin1'),
        'marker\x80\x85\xff',
      ];
      for (const name of names) {
        lines.length = 0;
        const hello = records(helloMessage({ extensions: [nameExtension(Buffer.from(name, 'latin1'))] }));
        const record = await session(zone, (socket) => socket.write(hello));
        t.equal(record.reason, 'no-route');
        t.ok(record.sni.startsWith('marker') && record.sni.length <= 4 * 255);
        t.equal(lines.length, 1, 'one line');
        t.match(lines[0], /^[\x20-\x7e]+\n$/, 'of printable ASCII');
        t.match(JSON.parse(lines[0] ?? ''), { reason: 'no-route', msg: 'session refused', sni: /^marker/ });
      }
      const text = await zone.egress.metrics();
      t.notMatch(text, /marker/, 'no label has any of it');
      t.match(text, `zone_egress_sessions_total{mode="",mesh="",reason="no-route"} ${names.length}\n`);
    });

    corpusTests(t, concurrency);

    t.test(
      'bytes behind the hello arrive in order: in the same segment, while the endpoint is looked up, and after',
      async (t) => {
        let lookedUp: (() => void) | null = null;
        const asked = new Promise<void>((resolve) => (lookedUp = resolve));
        const name = { kind: 'name', name: 'ingress.west.test', family: 'any' } as const;
        await using workers = await startWorkers(t, {
          concurrency,
          names: ['backend{mesh=default}'],
          address: name,
          onResolve: () => lookedUp?.(),
        });
        const bytes = Buffer.concat([records(helloMessage()), randomBytes(3_000_000)]);
        const socket = workers.connect();
        const answer = text(socket);
        await written(socket, bytes.subarray(0, 1_000));
        await asked;
        await written(socket, bytes.subarray(1_000, 31_000));
        const ended = text(
          (() => {
            const brief = workers.connect();
            brief.end(bytes.subarray(0, 9_000));
            return brief;
          })(),
        );
        workers.resolve(name.name);
        socket.end(bytes.subarray(31_000));
        t.equal(await answer, sha(bytes), 'of a client that goes on after it is connected');
        t.equal(await ended, sha(bytes.subarray(0, 9_000)), 'of a client that had ended before it was connected');
      },
    );
  });
}

/** Sends the public corpus to a listener in front of real connections. */
function corpusTests(t: Test, concurrency: number): void {
  const samples = corpus();
  const seed = Number(process.env['HELLO_SEED'] ?? Date.now() % 2 ** 31);

  t.test('every public sample ends as its bytes say, whatever the split, where no route has its name', async (t) => {
    t.comment(`HELLO_SEED=${seed} repeats the cuts`);
    await using zone = await startZone(t, { concurrency, traffic: { setupTimeoutMs: FAR_MS } });
    const random = randomFrom(seed);
    const wrong: string[] = [];
    let sessions = 0;
    await inParallel(samples, 16, async (sample) => {
      for (const [way, pieces] of ways(sample.bytes, random)) {
        const record = await session(zone, (socket) => void send(socket, pieces, wantsMore(sample) ? 'end' : 'wait'));
        sessions++;
        const found = verdictOf(record, sample);
        if (!sample.accept.includes(found)) wrong.push(`${sample.name}, ${way}: ${record.reason} ${record.detail}`);
        if (record.totalMs > BOUND_MS) wrong.push(`${sample.name}, ${way}: only after ${record.totalMs} ms`);
      }
    });
    t.same(wrong, []);
    t.comment(`${samples.length} samples, ${sessions} sessions`);
  });

  t.test('every public hello that has a route reaches the ingress byte for byte, whatever the split', async (t) => {
    const random = randomFrom(seed);
    const hellos = samples.flatMap(({ name, bytes }) => {
      const result = parseClientHello(bytes);
      return result.kind === 'hello' && result.hello.serverName !== null ? [{ name, bytes, sni: result.hello.serverName }] : [];
    });
    await using workers = await startWorkers(t, { concurrency, names: hellos.map(({ sni }) => sni) });
    const wrong: string[] = [];
    let sessions = 0;
    await inParallel(hellos, 16, async ({ name, bytes }) => {
      for (const [way, pieces] of ways(bytes, random)) {
        const socket = workers.connect();
        const answer = text(socket);
        await send(socket, pieces, 'end');
        sessions++;
        if ((await answer) !== sha(bytes)) wrong.push(`${name}, ${way}`);
      }
    });
    t.ok(hellos.length > 50, `${hellos.length} hellos with a name`);
    t.same(wrong, []);
    await until('every record', () => workers.records.length === sessions);
    t.same(new Set(workers.records.map(({ reason }) => reason)), new Set(['closed']));
    t.comment(`${hellos.length} hellos, ${sessions} sessions, all with the same SHA-256 at the ingress`);
  });
}

/** Translates the corpus's name of an outcome. */
function verdictOf(record: SessionRecord, sample: Sample): string {
  switch (record.reason) {
    case 'no-sni':
    case 'no-route': {
      const name = (sample.outcome === 'malformed' ? sample.lenientSni : sample.sni) ?? '';
      return fold(record.sni) === fold(printable(name)) ? 'hello' : `hello for ${record.sni}`;
    }
    case 'client-gone':
      return record.detail.endsWith(`after ${sample.bytes.length} bytes`) ? 'need-more' : record.detail;
    case 'malformed-hello':
      return 'malformed';
    case 'hello-too-large':
      return 'too-large';
    default:
      return record.reason;
  }
}

function wantsMore({ accept }: Sample): boolean {
  return accept.includes('need-more');
}

function fold(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Sends the same bytes in four ways; only short ones byte by byte. */
function ways(bytes: Buffer, random: (below: number) => number): [string, readonly Buffer[]][] {
  const cuts = [random(bytes.length + 1), random(bytes.length + 1)].sort((a, b) => a - b);
  const [first = 0, second = 0] = cuts;
  const all: [string, readonly Buffer[]][] = [
    ['in one write', [bytes]],
    [`cut at ${first} and ${second}`, [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]],
    ['in segments', chunks(bytes, 1_460)],
  ];
  if (bytes.length <= 160) all.push(['byte by byte', chunks(bytes, 1)]);
  return all;
}

function chunks(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

/** Makes one write after another, each in its own turn of the loop. */
async function send(socket: Socket, pieces: readonly Buffer[], then: 'wait' | 'end'): Promise<void> {
  for (const piece of pieces) {
    if (piece.length === 0) continue;
    if (socket.destroyed) return;
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (then === 'end') socket.end();
}

async function drip(socket: Socket, bytes: Buffer): Promise<void> {
  for (let i = 0; i < bytes.length && !socket.destroyed; i++) {
    socket.write(bytes.subarray(i, i + 1));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Makes one connection, runs the client on it, and returns the record of the egress. */
async function session(zone: Zone, act: (socket: Socket) => unknown): Promise<SessionRecord> {
  const socket = zone.raw();
  socket.setNoDelay(true);
  await once(socket, 'connect');
  const port = socket.localPort;
  const record = new Promise<SessionRecord>((resolve) => {
    const stop = zone.egress.onRecord((made) => {
      if (made.clientPort !== port) return;
      stop();
      resolve(made);
    });
  });
  act(socket);
  const closed = gone(socket);
  const made = await record;
  await closed;
  return made;
}

/** After a reset before the accept, the egress has no address of the client. */
async function resetWhenAccepted(zone: Zone, socket: Socket, bytes: Buffer): Promise<void> {
  await written(socket, bytes);
  await until('the accept', () => zone.egress.sessions() > 0);
  socket.resetAndDestroy();
}

/** Returns all that a client reads until the end, in hex. */
async function answerTo(zone: Zone, bytes: Buffer): Promise<string> {
  const socket = zone.raw();
  const answer = text(socket, 'hex');
  socket.write(bytes);
  return answer;
}

async function text(socket: Socket, encoding: 'latin1' | 'hex' = 'latin1'): Promise<string> {
  const read: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => read.push(chunk));
  await once(socket, 'end');
  socket.end();
  return Buffer.concat(read).toString(encoding);
}

function written(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => socket.write(bytes, () => resolve()));
}

function sha(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function inParallel<T>(items: readonly T[], width: number, act: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const item of rest) await act(item);
    }),
  );
}

/**
 * `hole`, external, answers TLS with silence; `beyond` is a service of two other zones; none of
 * them accepts a connection.
 */
function servicesAt(port: number): string {
  return `type: ExternalService
mesh: default
name: hole
tags: { kuma.io/service: hole }
networking: { address: '127.0.0.1:${port}' }
---
type: ZoneIngress
name: north
zone: north
networking: { address: 127.0.0.1, port: ${port}, advertisedAddress: 127.0.0.1, advertisedPort: ${port} }
availableServices:
- { mesh: default, instances: 1, tags: { kuma.io/service: beyond, kuma.io/zone: north } }
---
type: ZoneIngress
name: south
zone: south
networking: { address: 127.0.0.2, port: ${port}, advertisedAddress: 127.0.0.2, advertisedPort: ${port} }
availableServices:
- { mesh: default, instances: 1, tags: { kuma.io/service: beyond, kuma.io/zone: south } }
`;
}

/**
 * Makes a listener with a full accept queue: the kernel drops further connections, as a firewall
 * does.
 */
async function createBlackhole(): Promise<AsyncDisposable & { readonly port: number }> {
  const worker = new Worker(
    `const { createServer } = require('node:net');
     const { parentPort } = require('node:worker_threads');
     const server = createServer().listen({ port: 0, host: '0.0.0.0', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
     });`,
    { eval: true, execArgv: [] },
  );
  const [port] = (await once(worker, 'message')) as [number];
  const fillers = [0, 1].map(() => connectTcp({ port, host: '127.0.0.1' }).on('error', () => {}));
  await Promise.all(fillers.map((socket) => once(socket, 'connect')));
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of fillers) socket.destroy();
      await worker.terminate();
    },
  };
}

interface Sides extends AsyncDisposable {
  readonly records: SessionRecord[];
  connect(): Socket;
  resolve(name: string): void;
}

/**
 * Starts only data sides, with routes for any names, including ones that resources could not have.
 * Their endpoint answers, after the client's end, with the SHA-256 of all that it got.
 */
async function startWorkers(
  t: Test,
  options: {
    readonly concurrency: number;
    readonly names: readonly string[];
    readonly address?: Endpoint['address'];
    readonly onResolve?: () => void;
  },
): Promise<Sides> {
  const ingress = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256');
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => hash.update(chunk));
    socket.on('end', () => socket.end(hash.digest('hex')));
  });
  ingress.listen(0, '127.0.0.1');
  await once(ingress, 'listening');
  const made: SessionRecord[] = [];
  const faults: string[] = [];
  const workers = new WorkerPool({
    clock: systemClock({ keepAlive: false }),
    count: options.concurrency,
    settings: { ...DEFAULT_TRAFFIC_SETTINGS, allowedResolved: ['127.0.0.0/8'] },
    onRecords: (batch) => made.push(...batch),
    onCredentialsNeeded: () => {},
    onResolve: () => options.onResolve?.(),
    onRelay: () => undefined,
    onFault: (message) => faults.push(message),
  });
  const address = options.address ?? { kind: 'ip', ip: '127.0.0.1' };
  const port = (ingress.address() as AddressInfo).port;
  const endpoint: Endpoint = { address, port, weight: 1, priority: 0, zone: '', tags: {}, tls: null };
  const route = (name: string): Route => ({
    kind: 'passthrough',
    serverName: serverName(name),
    mesh: meshName('default'),
    destination: 'any',
    cluster: 'any',
    subset: {},
  });
  await workers.start();
  await workers.goLive({
    snapshot: {
      version: '1',
      zone: 'east',
      routes: new Map(options.names.map((name) => [serverName(name), route(name)])),
      clusters: new Map([['any', { name: 'any', endpoints: [endpoint], connectTimeoutMs: 10_000 }]]),
      meshes: new Map(),
    },
    secrets: new Map(),
    credentials: [],
  });
  const listening = await workers.listen('127.0.0.1', 0);
  return {
    records: made,
    connect() {
      const socket = connectTcp({ port: listening, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      socket.on('error', () => {});
      return socket;
    },
    resolve: (name) => workers.setName(name, { kind: 'resolved', addresses: ['127.0.0.1'] }),
    async [Symbol.asyncDispose]() {
      await until('no session to be left', () => workers.limits.sessions === 0);
      t.same(faults, []);
      await workers.stop();
      ingress.close();
    },
  };
}
