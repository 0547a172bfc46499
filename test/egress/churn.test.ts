import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import type { Clock, Timer } from '../../src/base/clock.ts';
import type { SessionRecord } from '../../src/egress.ts';
import { BufferPool } from '../../src/traffic/buffers.ts';
import { helloMessage, nameExtension, randomFrom, records as inRecords } from '../wire/fixtures/hello-bytes.ts';
import { descriptors } from './descriptors.ts';
import { realHello } from './real-hello.ts';
import { until } from './until.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const SESSIONS = { 1: 7_000, 2: 3_000 } as const;
/** Concurrent sessions. */
const WIDTH = 50;
/** Sessions before the first measurement of the heap: rings and caches are full then. */
const WARM_UP = 2_000;
/**
 * The most that the heap may gain in 5,000 sessions, mostly by the test runner: a leaked session
 * would hold several times 1 KiB.
 */
const HEAP_SLACK = 2.5 * 1024 * 1024;

const seed = Number(process.env['CHURN_SEED'] ?? Date.now() % 2 ** 31);
t.comment(`CHURN_SEED=${seed} repeats the choices`);

for (const concurrency of CONCURRENCIES) {
  const sides = `with ${concurrency} data side${concurrency === 1 ? '' : 's'}`;
  t.test(`${sides}: thousands of short sessions, ended in every phase and in every way, leave nothing behind`, async (t) => {
    const clock = countingClock();
    const pools = watchPools();
    t.teardown(() => pools.restore());
    await using zone = await startZone(t, { concurrency, clock, remembered: 1_000 });
    const number = SESSIONS[concurrency];
    const random = randomFrom(seed + concurrency);
    await run(zone, 200, { random });
    await settled(zone);
    await until('the first records', () => zone.records.length === 200);
    const start = { descriptors: descriptors(), timers: clock.live(), resources: resources() };
    const seen = new Map<string, number>();
    let total = 0;
    let failed = 0;
    zone.egress.onRecord(({ reason, mode }) => {
      total++;
      if (reason === 'internal-error') failed++;
      const kind = `${mode} ${reason}`.trim();
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
    });

    const startedAt = performance.now();
    await run(zone, WARM_UP, { random });
    await settled(zone);
    const heapBefore = await heap(zone);
    await run(zone, number - WARM_UP, { random });
    await settled(zone);
    const tookMs = performance.now() - startedAt;
    await until('every record', () => total === number);

    await until('the descriptors of the start', () => descriptors() <= start.descriptors);
    await until('the sockets and timers of the start', () =>
      [...resources()].every(([k, n]) => n <= (start.resources.get(k) ?? 0)),
    );
    t.equal(clock.live(), start.timers, 'every timer of a session is fired or cancelled');
    t.equal(pools.lent(), 0, 'every buffer is back');
    const metrics = await zone.egress.metrics();
    t.match(metrics, 'zone_egress_sessions_active 0\n');
    t.match(metrics, 'zone_egress_handshakes_active 0\n');
    t.match(metrics, 'zone_egress_faults_total 0\n');
    t.equal(failed, 0, 'no session met a bug');
    const grown = (await heap(zone)) - heapBefore;
    t.ok(grown < HEAP_SLACK, `the heap has grown by ${Math.round(grown / 1024)} KiB`);

    for (const kind of ['passthrough closed', 'terminate closed', 'terminate denied', 'no-route', 'not-tls', 'client-gone'])
      t.ok((seen.get(kind) ?? 0) > number / 200, `${seen.get(kind)} ${kind}`);
    t.comment(`${number} sessions in ${Math.round(tookMs)} ms, ${descriptors()} descriptors before and after`);
    t.comment([...seen].map(([kind, count]) => `${count} ${kind}`).join(', '));
    t.comment(`heap ${Math.round(heapBefore / 1024)} KiB after ${WARM_UP}, ${Math.round(grown / 1024)} KiB more after ${number}`);
  });

  t.test(
    `${sides}: an egress that is closed in the middle of everything ends every session, with a record for each`,
    async (t) => {
      const random = randomFrom(seed);
      for (let round = 0; round < 5; round++) {
        const clock = countingClock();
        const pools = watchPools();
        t.teardown(() => pools.restore());
        await using zone = await startZone(t, { concurrency, clock });
        const held = await holdOpen(zone);
        const clients = Promise.all([run(zone, 100, { random, width: 100 }), ...held.map((socket) => gone(socket))]);
        for (let turns = random(30); turns > 0; turns--) await turn();
        const open = zone.egress.sessions();
        await zone.egress.close();
        await clients;
        await until('every buffer', () => pools.lent() === 0);
        const cut = zone.records.filter(({ reason }) => reason === 'drained').length;
        t.ok(
          open >= held.length && cut >= held.length,
          `${open} open when it was closed, ${cut} cut, ${zone.records.length} records`,
        );
        t.equal(clock.live(), 0, 'no timer is left');
        t.ok(zone.records.every(({ reason }) => reason !== 'internal-error'));
      }
    },
  );
}

t.test('an egress that is closed between any two steps of a session leaves neither of its connections open', async (t) => {
  const reasons = new Set<string>();
  for (const name of ['backend{mesh=default}', 'legacy{mesh=default}']) {
    for (let reading = 1; reading <= 8; reading++) {
      const clock = countingClock();
      await using zone = await startZone(t, { clock });
      // Each step of a session reads the clock.
      let left = reading;
      clock.onNow = () => {
        if (--left === 0) void zone.egress.close();
      };
      const socket = connectTls({
        port: zone.egress.port,
        host: '127.0.0.1',
        servername: name,
        ...zone.mesh.client('frontend'),
        rejectUnauthorized: false,
      });
      socket.on('error', () => {});
      let closed = false;
      socket.on('close', () => (closed = true)).on('secureConnect', () => socket.end('ping'));
      socket.resume();
      await until(`${name} to be closed at reading ${reading} of the clock`, () => closed);
      clock.onNow = null;
      await until('no session', () => zone.egress.sessions() === 0);
      for (const { reason } of zone.records) reasons.add(reason);
    }
  }
  t.ok(reasons.has('drained'), [...reasons].join(', '));
});

/** Makes `number` sessions, WIDTH at a time; resolves when the last client has seen its end. */
async function run(
  zone: Zone,
  number: number,
  how: { readonly random: (below: number) => number; readonly width?: number },
): Promise<void> {
  let left = number;
  await Promise.all(
    Array.from({ length: how.width ?? WIDTH }, async () => {
      while (left-- > 0) await oneSession(zone, how.random);
    }),
  );
}

const CLIENTS = new WeakMap<Zone, { readonly allowed: Certificate; readonly denied: Certificate }>();
type Certificate = { readonly cert: string; readonly key: string };

async function oneSession(zone: Zone, random: (below: number) => number): Promise<void> {
  const known = CLIENTS.get(zone) ?? { allowed: zone.mesh.client('frontend'), denied: zone.mesh.client('batch') };
  CLIENTS.set(zone, known);
  const what = random(100);
  const at = { port: zone.egress.port, host: '127.0.0.1', allowHalfOpen: true };
  if (what < 14) {
    const servername = what < 8 ? 'legacy{mesh=default}' : what < 10 ? 'backend{mesh=default}' : 'api{mesh=default}';
    const client = what < 12 ? known.allowed : known.denied;
    return oneOf(connectTls({ ...at, servername, ...client, rejectUnauthorized: false }), Buffer.from('ping'), random);
  }
  return oneOf(connectTcp(at), bytesOf(what), random);
}

/**
 * Opens sessions in each phase that lasts: silent, inside of the hello, inside of the handshake,
 * terminated and passed through.
 */
async function holdOpen(zone: Zone): Promise<readonly Socket[]> {
  const stalled = await realHello('legacy{mesh=default}');
  const quiet = [Buffer.alloc(0), BACKEND.subarray(0, 40), stalled].flatMap((bytes) =>
    Array.from({ length: 4 }, () => {
      const socket = zone.raw();
      socket.write(bytes);
      return socket;
    }),
  );
  const client = zone.mesh.client('frontend');
  const names = ['backend{mesh=default}', 'backend{mesh=default}', 'legacy{mesh=default}', 'api{mesh=default}'];
  const joined = await Promise.all(names.map((name) => zone.connect(name, client)));
  await Promise.all(joined.map((socket) => ask(socket, 'ping')));
  const held = [...quiet, ...joined];
  await until('every session that is held', () => zone.egress.sessions() === held.length);
  return held;
}

function hello(name: string): Buffer {
  return inRecords(helloMessage({ extensions: [nameExtension(name)] }));
}

const BACKEND = hello('backend{mesh=default}');
const LEGACY = hello('legacy{mesh=default}');

/**
 * Returns the bytes of a client without a TLS library: a passed-through hello, a terminated one,
 * one without a route, or garbage.
 */
function bytesOf(what: number): Buffer {
  if (what < 55) return Buffer.concat([BACKEND, Buffer.alloc(what * 100, what)]);
  if (what < 65) return LEGACY;
  if (what < 80) return hello(`nowhere-${what}{mesh=default}`);
  if (what < 90) return Buffer.from('GET / HTTP/1.1\r\n\r\n');
  return what % 2 === 0 ? Buffer.of(22, 3, 1, 0, 0) : Buffer.of(22, 3, 3, 0, 50, 2);
}

/**
 * Sends, and ends, destroys or resets at a random moment: before or after a part of it, after all,
 * after an answer, or some turns of the loop later.
 */
function oneOf(socket: Socket, bytes: Buffer, random: (below: number) => number): Promise<void> {
  const sent = [Buffer.alloc(0), bytes.subarray(0, random(bytes.length)), bytes, bytes][random(4)] ?? bytes;
  const how = HOWS[random(HOWS.length)] ?? 'end';
  const turns = random(6);
  const isTls = 'encrypted' in socket;
  socket.on('error', () => {});
  socket.on('end', () => socket.end());
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  const answered = new Promise<void>((resolve) => socket.once('data', () => resolve()));

  async function act(): Promise<void> {
    if (sent.length > 0) socket.write(sent);
    // A part of a hello gets no answer.
    if (how === 'end after an answer' && sent === bytes) await Promise.race([answered, closed]);
    for (let i = turns; i > 0; i--) await turn();
    if (how === 'destroy') socket.destroy();
    // TLS has no reset of its own.
    else if (how === 'reset' && !isTls) socket.resetAndDestroy();
    else socket.end();
  }

  socket.once(isTls ? 'secureConnect' : 'connect', () => void act());
  return closed;
}

const HOWS = ['end', 'end after an answer', 'destroy', 'reset'] as const;

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function settled(zone: Zone): Promise<void> {
  await until('no session', () => zone.egress.sessions() === 0);
}

function resources(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (/TCP|TLS|Timeout/.test(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** Returns the bytes in use after a collection, without the records that the test keeps. */
async function heap(zone: Zone): Promise<number> {
  (zone.records as SessionRecord[]).length = 0;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 4; i++) {
    collect();
    // Objects with a finalizer go with the next collection.
    await turn();
  }
  return process.memoryUsage().heapUsed;
}

/** The system's clock, which counts its timers that are neither fired nor cancelled. */
function countingClock(): Clock & { live(): number; onNow: (() => void) | null } {
  const clock = systemClock({ keepAlive: false });
  const live = new Set<object>();
  function counted(start: (fired: () => void) => Timer): Timer {
    const key = {};
    live.add(key);
    const timer = start(() => live.delete(key));
    return {
      cancel() {
        live.delete(key);
        timer.cancel();
      },
    };
  }
  return {
    onNow: null,
    now() {
      this.onNow?.();
      return clock.now();
    },
    wall: () => clock.wall(),
    after: (ms, fn) =>
      counted((fired) =>
        clock.after(ms, () => {
          fired();
          fn();
        }),
      ),
    every: (ms, fn) => counted(() => clock.every(ms, fn)),
    live: () => live.size,
  };
}

/** Watches the pools of this thread; those of worker threads are not visible. */
function watchPools(): { lent(): number; restore(): void } {
  const pools = new Set<BufferPool>();
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own this below
  const take = BufferPool.prototype.take;
  BufferPool.prototype.take = function (step) {
    pools.add(this);
    return take.call(this, step);
  };
  return {
    lent: () => [...pools].reduce((sum, { lent }) => sum + lent, 0),
    restore: () => void (BufferPool.prototype.take = take),
  };
}
