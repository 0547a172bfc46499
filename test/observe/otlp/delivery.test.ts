// The delivery to a collector, with a real server and a clock that the test turns.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Test } from 'tap';
import { BATCH, Delivery, MOST_WAITING } from '../../../src/observe/otlp/delivery.ts';
import type { Failure } from '../../../src/observe/otlp/delivery.ts';
import { ANSWER_MS } from '../../../src/observe/otlp/post.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';
import { FAR_MS, until } from '../../egress/until.ts';

interface Tried {
  readonly clock: FakeClock;
  readonly delivery: Delivery<number>;
  /** The batches that came. */
  readonly batches: number[][];
  readonly counts: { sent: number; dropped: number };
  readonly failures: Failure[];
  recovered: number;
  /** Answers a request; the default takes it. */
  answer: (response: ServerResponse) => void;
  readonly connections: () => number;
  /** Turns the clock, and resolves when this many batches have come and been counted. */
  next(ms: number): Promise<void>;
}

/** The same clock, for which the deadline of an answer is far away. */
function withoutDeadline(clock: FakeClock): Clock {
  return {
    now: () => clock.now(),
    wall: () => clock.wall(),
    after: (ms, fn) => clock.after(ms === ANSWER_MS ? FAR_MS : ms, fn),
    every: (ms, fn) => clock.every(ms, fn),
  };
}

async function tried(
  t: Test,
  hasDeadline = false,
  serialize = (items: readonly number[]) => Buffer.from(JSON.stringify(items)),
): Promise<Tried> {
  let connections = 0;
  const batches: number[][] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      batches.push(JSON.parse(body) as number[]);
      it.answer(response);
    });
  }).on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const clock = new FakeClock();
  const counts = { sent: 0, dropped: 0 };
  const failures: Failure[] = [];
  const delivery = new Delivery<number>({
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`),
    // The turns of `next` must not end a request that is on its way.
    clock: hasDeadline ? clock : withoutDeadline(clock),
    serialize,
    headers: () => Promise.resolve({}),
    onItems: (result, count) => (counts[result] += count),
    onFailure: (failure) => failures.push(failure),
    onRecovered: () => it.recovered++,
  });
  t.teardown(async () => {
    await delivery.close();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const it: Tried = {
    clock,
    delivery,
    batches,
    counts,
    failures,
    recovered: 0,
    connections: () => connections,
    answer: (response) => response.end('{}'),
    async next(ms) {
      const before = batches.length;
      // The wait begins some turns after an answer.
      await until('a batch came', () => {
        clock.advance(ms);
        return batches.length > before;
      });
    },
  };
  return it;
}

t.test('items within a second share a request, and a full batch does not wait', async (t) => {
  const it = await tried(t);
  for (let i = 0; i < 3; i++) it.delivery.add(i);
  t.strictSame(it.batches, []);
  await it.next(1_000);
  t.strictSame(it.batches, [[0, 1, 2]]);
  await until('they are counted', () => it.counts.sent === 3);
  for (let i = 0; i < BATCH; i++) it.delivery.add(i);
  await until('a full batch came', () => it.batches.length === 2);
  t.equal(it.batches[1]?.length, BATCH);
  await until('they are counted', () => it.counts.sent === 3 + BATCH);
  t.equal(it.connections(), 1, 'over one connection');
});

t.test('while a collector hangs, what is above the bound is dropped, and memory holds no more', async (t) => {
  const it = await tried(t);
  const waiting: ServerResponse[] = [];
  it.answer = (response) => void waiting.push(response);
  for (let i = 0; i < BATCH; i++) it.delivery.add(i);
  await until('the first is on its way', () => it.batches.length === 1);
  for (let i = 0; i < MOST_WAITING + 1_000; i++) it.delivery.add(i);
  t.strictSame(it.counts, { sent: 0, dropped: 1_000 });
  it.answer = (response) => response.end('no JSON');
  for (const response of waiting) response.end();
  await until('all that waited is sent', () => it.counts.sent === MOST_WAITING + BATCH);
  t.ok(it.batches.every(({ length }) => length <= BATCH));
  t.strictSame(it.failures, []);
});

t.test('a whole answer has ten seconds', async (t) => {
  const it = await tried(t, true);
  it.answer = (response) => void response.write('{');
  it.delivery.add(1);
  it.clock.advance(1_000);
  await until('it is on its way', () => it.batches.length === 1);
  it.clock.advance(10_000);
  await until('it is told', () => it.failures.length === 1);
  t.match(it.failures, [{ why: 'there was no whole answer after 10000 ms' }]);
  t.strictSame(it.counts, { sent: 0, dropped: 0 }, 'it is tried again');
});

t.test('an answer that says later keeps the batch, with longer and longer waits and an end', async (t) => {
  const it = await tried(t);
  it.answer = (response) => response.writeHead(503).end();
  it.delivery.add(7);
  for (let i = 1; i <= 8; i++) await it.next(10_000);
  await until('it is given up', () => it.counts.dropped === 1);
  t.strictSame(
    it.batches,
    Array.from({ length: 8 }, () => [7]),
  );
  t.match(it.failures, [{ why: 'it answered 503' }], 'it is told once');
  it.answer = (response) => response.end();
  it.delivery.add(8);
  await it.next(30_000);
  await until('it works again', () => it.recovered === 1);
  t.strictSame(it.counts, { sent: 1, dropped: 1 });
});

t.test('other answers lose the batch; the advice follows the status', async (t) => {
  for (const [status, advice] of [
    [400, /log of the collector/],
    [401, /token in the file of --otlp-headers-file/],
    [404, /path of --otlp-endpoint/],
    [307, /URL that it leads to/],
    [500, /log of the collector/],
  ] as const) {
    const it = await tried(t);
    it.answer = (response) => response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end();
    it.delivery.add(1);
    await it.next(1_000);
    await until('it is dropped', () => it.counts.dropped === 1);
    t.match(it.failures, [{ why: `it answered ${status}`, advice }]);
  }
});

t.test('an answer that is not whole is none: the batch is tried again', async (t) => {
  for (const [answer, why] of [
    [(response: ServerResponse) => response.socket?.destroy(), /hang up|ECONNRESET|EPIPE/],
    [
      (response: ServerResponse) => {
        response.writeHead(200, { 'content-length': 100 });
        response.write('half', () => response.socket?.destroySoon());
      },
      /aborted|cut off/,
    ],
  ] as const) {
    const it = await tried(t);
    it.answer = (response) => void answer(response);
    it.delivery.add(1);
    await it.next(1_000);
    await until('it is told', () => it.failures.length === 1);
    t.match(it.failures, [{ why, advice: /whether the collector runs/ }]);
    it.answer = (response) => response.end();
    await it.next(1_000);
    await until('it is taken', () => it.counts.sent === 1);
    t.strictSame(it.batches, [[1], [1]]);
  }
});

t.test('a collector that comes and goes is told once a minute', async (t) => {
  const it = await tried(t);
  let items = 0;
  async function send(status: number): Promise<void> {
    it.answer = (response) => response.writeHead(status).end();
    it.delivery.add(++items);
    await it.next(1_000);
    await until('it is counted', () => it.counts.sent + it.counts.dropped === items);
  }
  for (const status of [500, 200, 500, 200]) await send(status);
  t.equal(it.failures.length, 1);
  t.equal(it.recovered, 1);
  it.clock.advance(60_000);
  for (const status of [500, 200]) await send(status);
  t.equal(it.failures.length, 2);
  t.equal(it.recovered, 2);
});

t.test('what a collector takes in part is counted so', async (t) => {
  const it = await tried(t);
  it.answer = (response) => response.end('{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}');
  for (let i = 0; i < 3; i++) it.delivery.add(i);
  await it.next(1_000);
  await until('they are counted', () => it.counts.sent === 1);
  t.strictSame(it.counts, { sent: 1, dropped: 2 });
  t.match(it.failures, [{ why: 'it refused 2 of 3' }]);
});

t.test('a huge answer is not read to its end', async (t) => {
  const it = await tried(t);
  it.answer = (response) => {
    response.on('error', () => {});
    response.write('x'.repeat(1_000_000));
  };
  it.delivery.add(1);
  await it.next(1_000);
  await until('it counts as taken', () => it.counts.sent === 1);
});

t.test('a batch that the SDK cannot write is dropped, and the next one goes', async (t) => {
  let broken = true;
  const it = await tried(t, false, (items) => {
    if (broken) throw new Error('a bug');
    return Buffer.from(JSON.stringify(items));
  });
  it.delivery.add(1);
  await until('it is dropped', () => {
    it.clock.advance(1_000);
    return it.counts.dropped === 1;
  });
  broken = false;
  it.delivery.add(2);
  await it.next(1_000);
  t.strictSame(it.batches, [[2]]);
  t.match(it.failures, [{ why: 'a bug' }]);
});

t.test('the end sends what waits, and nothing is taken after it', async (t) => {
  const it = await tried(t);
  for (let i = 0; i < 3 * BATCH; i++) it.delivery.add(i);
  await it.delivery.close();
  t.strictSame(it.counts, { sent: 3 * BATCH, dropped: 0 });
  it.delivery.add(1);
  t.strictSame(it.counts, { sent: 3 * BATCH, dropped: 1 });
});

t.test('a collector that ends idle connections is told of nothing', async (t) => {
  const it = await tried(t);
  it.answer = (response) => {
    response.end('{}');
    response.socket?.destroySoon();
  };
  for (let i = 1; i <= 3; i++) {
    it.delivery.add(i);
    await it.next(1_000);
    await until('it is counted', () => it.counts.sent === i);
  }
  t.strictSame(it.failures, []);
});

t.test('a collector that speaks gRPC at this port is named as one', async (t) => {
  const it = await tried(t);
  it.answer = (response) => void response.socket?.end(Buffer.from('000006040000000000000500004000', 'hex'));
  it.delivery.add(1);
  await it.next(1_000);
  await until('it is told', () => it.failures.length === 1);
  t.match(it.failures, [{ why: /^Parse Error/, advice: /OTLP over HTTP, whose port is 4318 as a rule; 4317 is that of gRPC/ }]);
});
