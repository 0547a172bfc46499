// Drains HTTP clients: they are asked to leave, running requests finish, and nothing is lost.
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { Frames, GET, TYPES, request } from './h2-frames.ts';
import { SHOP, answerOf, answersIn, echoPath, startHttpZone, startRawService } from './http-zone.ts';
import type { RawService } from './http-zone.ts';
import { QUIET_MS } from '../../src/traffic/http/connection-life.ts';
import { listens } from './listens.ts';
import { FAR_MS, until } from './until.ts';
import { CONCURRENCIES, gone } from './zone.ts';
import type { Zone } from './zone.ts';

interface Held {
  readonly service: RawService;
  /** Lets the service answer what it holds back. */
  readonly release: () => void;
}

/** `/held` is answered on the test's signal; `/long` sends half of its answer before that. */
async function startHeld(t: Test): Promise<Held> {
  const held: (() => void)[] = [];
  const service = await startRawService(t, (arrived, socket) => {
    const [, path = ''] = arrived.head.split(' ');
    if (path === '/held') held.push(() => socket.write(answerOf('late')));
    else if (path === '/long') {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf');
      held.push(() => socket.write('done'));
    } else return echoPath(arrived, socket);
    return null;
  });
  return {
    service,
    release() {
      for (const each of held.splice(0)) each();
    },
  };
}

function h1(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

interface Reader {
  readonly socket: TLSSocket;
  text: string;
}

async function reader(zone: Zone, bytes = ''): Promise<Reader> {
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const reading: Reader = { socket, text: '' };
  socket.on('data', (chunk: Buffer) => (reading.text += chunk.toString('latin1')));
  if (bytes !== '') socket.write(bytes);
  return reading;
}

async function frames(zone: Zone, ...requests: readonly Buffer[]): Promise<Frames> {
  const seen = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend'), { ALPNProtocols: ['h2'] }));
  for (const each of requests) seen.socket.write(each);
  return seen;
}

function goAways({ seen }: Frames): { readonly last: number; readonly code: number }[] {
  return seen
    .filter(({ type }) => type === TYPES.goAway)
    .map(({ payload }) => ({ last: payload.readUInt32BE(0), code: payload.readUInt32BE(4) }));
}

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('clients of HTTP/1.1 get their answers whole, the last says so, and idle ones end', async (t) => {
      const { service, release } = await startHeld(t);
      await using zone = await startHttpZone(t, service.port, { concurrency });
      const idle = await reader(zone, h1('/first'));
      await until('the first is answered', () => idle.text.endsWith('at /first'));
      const silent = await reader(zone);
      const held = await reader(zone, h1('/held'));
      const long = await reader(zone, h1('/long'));
      await until('the long answer has begun', () => long.text.endsWith('half'));
      await service.until(() => service.arrived.length === 3);

      const drain = zone.egress.drain(FAR_MS);
      await Promise.all([gone(idle.socket), gone(silent.socket)]);
      // Each data side got the message before its listener closed.
      await until('the listener is closed', () => !listens(zone.egress.port));
      t.equal(zone.egress.sessions(), 2, 'those that run go on');
      release();
      await Promise.all([gone(held.socket), gone(long.socket)]);
      t.match(answersIn(held.text), [{ status: 200, head: /\r\nconnection: close$/, body: 'late' }]);
      t.match(answersIn(long.text), [{ status: 200, body: 'halfdone' }]);
      t.equal(await drain.done, 'clean');
      await until('every record', () => zone.records.length >= 4);
      t.strictSame([...new Set(zone.records.slice(0, 4).map(({ reason }) => reason))], ['closed']);
    });

    t.test('clients of HTTP/2 learn which request was the last, and it is finished', async (t) => {
      const { service, release } = await startHeld(t);
      await using zone = await startHttpZone(t, service.port, { concurrency });
      const running = await frames(
        zone,
        request(
          1,
          GET.map((text) => (text === '/x' ? '/held' : text)),
        ),
      );
      const idle = await frames(zone);
      await service.until(() => service.arrived.length === 1);
      await idle.until(() => idle.seen.some(({ type }) => type === TYPES.settings));

      const drain = zone.egress.drain(FAR_MS);
      await Promise.all([running, idle].map((each) => each.until(() => goAways(each).length > 0)));
      t.strictSame(goAways(running)[0], { last: 1, code: 0 });
      t.strictSame(goAways(idle)[0], { last: 0, code: 0 });
      running.socket.write(request(3, GET));
      await idle.until(() => idle.ended);
      release();
      await running.until(() => running.ended);
      t.equal(running.of(3, TYPES.headers), undefined, 'a request above the last number is not begun');
      t.equal(service.arrived.length, 1);
      t.ok(running.isOver(1), 'the running request came to its end');
      t.equal(running.of(1, TYPES.reset)?.payload.readUInt32BE() ?? 0, 0, 'and was not reset');
      t.equal(Buffer.concat(dataOf(running, 1)).toString(), 'late');
      t.equal(await drain.done, 'clean');
    });
  });
}

t.test('clients that come during a drain are served once, and then asked to leave', async (t) => {
  const { service } = await startHeld(t);
  const clock = new FakeClock({ wall: Date.now() });
  await using zone = await startHttpZone(t, service.port, { clock });
  const drain = zone.egress.drain(60_000);
  const one = await reader(zone, h1('/a'));
  await gone(one.socket);
  t.match(answersIn(one.text), [{ status: 200, head: /\r\nconnection: close$/, body: 'at /a' }]);

  const two = await frames(zone, request(1, GET));
  await two.until(() => two.ended);
  t.equal(Buffer.concat(dataOf(two, 1)).toString(), 'at /x', 'its first request was served');
  t.strictSame(goAways(two)[0], { last: 1, code: 0 });
  const late = await frames(zone);
  await late.until(() => late.seen.some(({ type }) => type === TYPES.settings));
  t.strictSame(goAways(late), [], 'not before a request: a client that waits for the settings would never make one');
  clock.advance(QUIET_MS);
  await late.until(() => late.ended);
  t.strictSame(goAways(late)[0], { last: 0, code: 0 }, 'one that makes no request is told all the same');
  await clock.advanceUntil(drain.done, 100);
  t.equal(await drain.done, 'clean');
});

function dataOf({ seen }: Frames, stream: number): readonly Buffer[] {
  return seen.filter((each) => each.stream === stream && each.type === TYPES.data).map(({ payload }) => payload);
}
