// Access logs over TCP: lines come in order, and a receiver that is away or slow holds up nothing.
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { tcpPlace } from '../../src/model/access-log.ts';
import { createAccessStreams } from '../../src/observe/access-streams.ts';
import type { AccessStreams } from '../../src/observe/access-streams.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { until } from '../egress/until.ts';
import { freePort } from '../free-ports.ts';

interface Receiver {
  readonly server: Server;
  readonly sockets: Socket[];
  text: string;
}

async function receiver(t: Test, port = 0, reads = true): Promise<Receiver & { readonly to: string }> {
  const of: Receiver = { server: createServer(), sockets: [], text: '' };
  of.server.on('connection', (socket) => {
    of.sockets.push(socket);
    socket.on('error', () => undefined);
    if (reads) socket.on('data', (chunk: Buffer) => (of.text += chunk.toString()));
    else socket.pause();
  });
  of.server.listen(port, '127.0.0.1');
  await once(of.server, 'listening');
  t.teardown(() => {
    for (const socket of of.sockets) socket.destroy();
    of.server.close();
  });
  return Object.assign(of, { to: `tcp://127.0.0.1:${(of.server.address() as AddressInfo).port}` });
}

interface Streams {
  readonly streams: AccessStreams;
  readonly clock: FakeClock;
  readonly counts: { written: number; dropped: number };
  readonly events: string[];
}

function streamsOf(t: Test, maxWaitingBytes?: number): Streams {
  const clock = new FakeClock();
  const counts = { written: 0, dropped: 0 };
  const events: string[] = [];
  const streams = createAccessStreams({
    clock,
    ...(maxWaitingBytes === undefined ? {} : { maxWaitingBytes }),
    onLines: (result, count) => void (counts[result] += count),
    onFailure: (path, error) => void events.push(`failed ${path} ${error instanceof Error ? error.message : ''}`),
    onRecovered: (path) => void events.push(`recovered ${path}`),
  });
  t.teardown(() => streams.close());
  return { streams, clock, counts, events };
}

t.test('lines come in their order, each once, on one connection', async (t) => {
  const { streams, counts } = streamsOf(t);
  const to = await receiver(t);
  const lines = Array.from({ length: 1_000 }, (_, i) => `line ${i}\n`);
  for (const line of lines.slice(0, 500)) streams.write(to.to, line);
  await until('half of them', () => to.text.endsWith('line 499\n'));
  for (const line of lines.slice(500)) streams.write(to.to, line);
  await until('all of them', () => to.text.endsWith('line 999\n'));
  t.equal(to.text, lines.join(''));
  t.equal(to.sockets.length, 1);
  t.same(counts, { written: 1_000, dropped: 0 });
});

t.test('a receiver that is away is tried again less and less often, and lines wait for it', async (t) => {
  const { streams, clock, counts, events } = streamsOf(t);
  const port = await freePort();
  const to = `tcp://127.0.0.1:${port}`;
  streams.write(to, 'first\n');
  await until('it failed', () => events.length === 1);
  t.match(events[0], /^failed tcp:.* ECONNREFUSED /);
  clock.advance(1_000);
  streams.write(to, 'second\n');
  const back = await receiver(t, port);
  await until('it comes', () => {
    clock.advance(1_000);
    return back.text === 'first\nsecond\n';
  });
  t.same(events.slice(1), [`recovered ${to}`], 'one line of the log for the failure, one for its end');
  t.same(counts, { written: 2, dropped: 0 });
});

t.test('after a restart of the receiver later lines come over a new connection', async (t) => {
  const { streams, clock } = streamsOf(t);
  const to = await receiver(t);
  streams.write(to.to, 'before\n');
  await until('it came', () => to.text === 'before\n');
  to.sockets[0]?.resetAndDestroy();
  await until('a later line comes', () => {
    streams.write(to.to, 'after\n');
    clock.advance(1_000);
    return to.sockets.length >= 2 && to.text.includes('after\n');
  });
});

t.test('what a receiver does not read is dropped above the bound, and counted', async (t) => {
  const { streams, counts } = streamsOf(t, 100_000);
  const slow = await receiver(t, 0, false);
  const line = `${'x'.repeat(999)}\n`;
  streams.write(slow.to, line);
  await until('it is connected', () => slow.sockets.length === 1);
  let sent = 1;
  await until('lines are dropped', () => {
    for (let i = 0; i < 5_000; i++, sent++) streams.write(slow.to, line);
    return counts.dropped > 0;
  });
  t.ok(sent - counts.written - counts.dropped <= 100, 'what waits is within the bound');
  await streams.close();
});

t.test('without lines no connection stays', async (t) => {
  const { streams, clock } = streamsOf(t);
  const to = await receiver(t);
  streams.write(to.to, 'a\n');
  await until('it came', () => to.text === 'a\n');
  const ended = once(to.sockets[0] as Socket, 'close');
  clock.advance(60_000);
  await ended;
  await until('the next one comes too', () => {
    if (to.sockets.length < 2) streams.write(to.to, 'b\n');
    clock.advance(1_000);
    return to.text.includes('b\n');
  });
});

t.test('the last lines are sent before the end, and a receiver that is away does not hold it up', async (t) => {
  const { streams, counts } = streamsOf(t);
  const to = await receiver(t);
  const away = `tcp://127.0.0.1:${await freePort()}`;
  streams.write(to.to, 'last\n');
  streams.write(away, 'lost\n');
  await streams.close();
  await until('it came', () => to.text === 'last\n');
  t.same(counts, { written: 1, dropped: 1 });
  streams.write(to.to, 'too late\n');
  t.equal(counts.dropped, 2);
});

t.test('a receiver that takes no bytes is connected anew', async (t) => {
  const { streams, clock, events } = streamsOf(t, 64 * 1024 * 1024);
  const to = await receiver(t, 0, false);
  for (let i = 0; i < 32; i++) streams.write(to.to, `${'x'.repeat(1024 * 1024)}\n`);
  await until('it is connected', () => to.sockets.length === 1);
  await until('it is given up', () => {
    clock.advance(30_000);
    return events.some((event) => event.endsWith('the receiver has read nothing for 30000 ms'));
  });
  streams.write(to.to, 'next\n');
  await until('another connection', () => {
    clock.advance(1_000);
    return to.sockets.length === 2;
  });
});

t.test('the lines of a receiver that stays away and gets no more are dropped, and it is dialled no more', async (t) => {
  const { streams, clock, counts, events } = streamsOf(t);
  const port = await freePort();
  streams.write(`tcp://127.0.0.1:${port}`, 'lost\n');
  await until('the first failure', () => events.length === 1);
  await until('the line is dropped', () => {
    clock.advance(30_000);
    return counts.dropped === 1;
  });
  const to = await receiver(t, port);
  clock.advance(60_000);
  streams.write(to.to, 'new\n');
  await until('the new line', () => to.text === 'new\n');
  t.same(counts, { written: 1, dropped: 1 });
});

t.test('an address that cannot be connected is none', async (t) => {
  for (const address of ['[1]:5000', '[:::]:80', 'a b:80', 'a:0', 'a:65536', 'a', ':80'])
    t.equal(tcpPlace(address), null, address);
  for (const address of ['[::1]:80', '10.0.0.1:5000', 'logs.mesh:5000']) t.equal(tcpPlace(address), `tcp://${address}`);
});
