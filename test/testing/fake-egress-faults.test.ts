// Faults between an egress and a destination, with toxiproxy's names: on open connections too, and
// removed at the end of their scope.
import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { FakeClock, createFakeEgress } from '../../src/testing/public.ts';
import type { FakeEgress, FakeEgressOptions, Toxic } from '../../src/testing/public.ts';
import { activeResources, ask, gone, leftovers } from '../egress/zone.ts';
import { freePort } from '../free-ports.ts';

async function start(t: Test, options: FakeEgressOptions = {}): Promise<FakeEgress> {
  const before = activeResources();
  const egress = await createFakeEgress({
    external: { httpbin: {}, secure: { tls: true } },
    permissions: [{ from: 'web', to: '*' }],
    ...options,
  });
  const dispose = async (): Promise<void> => {
    await egress.close();
    t.strictSame(await leftovers(before), [], 'nothing is left');
  };
  return Object.defineProperty(egress, Symbol.asyncDispose, { value: dispose });
}

function connect(egress: FakeEgress, name = 'httpbin'): Promise<TLSSocket> {
  return egress.client({ service: 'web' }).connect(name);
}

/** Advances the clock until the bytes are there; returns the time that it took. */
async function arrival(clock: FakeClock, socket: TLSSocket, bytes: number, stepMs: number): Promise<number> {
  const startedAt = clock.now();
  let got = 0;
  const all = new Promise<void>((resolve) => {
    const onData = (chunk: Buffer): void => {
      got += chunk.length;
      if (got < bytes) return;
      socket.removeListener('data', onData);
      resolve();
    };
    socket.on('data', onData);
  });
  await clock.advanceUntil(all, stepMs);
  return clock.now() - startedAt;
}

t.test('latency delays what comes back, and no longer when its scope is over', async (t) => {
  const clock = new FakeClock();
  await using egress = await start(t, { clock });
  const socket = await connect(egress);
  t.equal(await ask(socket, 'before'), 'before');
  {
    await using _fault = await egress.fault('httpbin', { type: 'latency', latency: 800 });
    let early = '';
    socket.once('data', (chunk: Buffer) => (early = String(chunk)));
    socket.write('late');
    const took = await arrival(clock, socket, 4, 1);
    t.ok(took >= 800, `${took} ms`);
    t.equal(early, 'late');
  }
  t.equal(await ask(socket, 'after'), 'after', 'without a turn of the clock');
});

t.test('jitter is drawn from the random source that was given', async (t) => {
  const clock = new FakeClock();
  await using egress = await start(t, { clock, random: () => 0 });
  const socket = await connect(egress);
  await egress.fault('httpbin', { type: 'latency', latency: 500, jitter: 400 });
  socket.write('x');
  const took = await arrival(clock, socket, 1, 1);
  t.ok(took >= 100 && took < 500, `${took} ms, where 0 draws 500 - 400`);
});

t.test('latency upstream delays what goes out, and two faults add up', async (t) => {
  const clock = new FakeClock();
  await using egress = await start(t, { clock });
  const socket = await connect(egress);
  await using _up = await egress.fault('httpbin', { type: 'latency', latency: 300, stream: 'upstream' });
  await using _down = await egress.fault('httpbin', { type: 'latency', latency: 400 });
  socket.write('both');
  const took = await arrival(clock, socket, 4, 1);
  t.ok(took >= 700, `${took} ms`);
});

t.test('bandwidth lets so many KB through in a second', async (t) => {
  const clock = new FakeClock();
  await using egress = await start(t, { clock });
  const socket = await connect(egress);
  await egress.fault('httpbin', { type: 'bandwidth', rate: 10 });
  socket.write(Buffer.alloc(20_000));
  const took = await arrival(clock, socket, 20_000, 10);
  t.ok(took >= 2_000 && took < 4_000, `20 KB at 10 KB/s: ${took} ms`);
});

t.test('slow_close holds the end back', async (t) => {
  const clock = new FakeClock();
  await using egress = await start(t, { clock, external: { httpbin: { onConnection: (socket) => void socket.end('bye') } } });
  await egress.fault('httpbin', { type: 'slow_close', delay: 5_000 });
  const socket = await connect(egress);
  const [bye] = (await once(socket, 'data')) as [Buffer];
  t.equal(String(bye), 'bye', 'what was sent is not held back');
  let isOver = false;
  socket.once('end', () => (isOver = true));
  const ended = once(socket, 'end');
  clock.advance(4_900);
  await ping();
  t.notOk(isOver);
  const startedAt = clock.now();
  await clock.advanceUntil(ended, 10);
  t.ok(clock.now() - startedAt >= 100);
});

t.test(
  'timeout: nothing comes through, and the connection is closed after it; 0 leaves it open until the fault goes',
  async (t) => {
    const clock = new FakeClock();
    await using egress = await start(t, { clock });
    const socket = await connect(egress);
    const fault = await egress.fault('httpbin', { type: 'timeout', timeout: 3_000 });
    socket.write('lost');
    let got = 0;
    socket.on('data', (chunk: Buffer) => (got += chunk.length));
    const startedAt = clock.now();
    await clock.advanceUntil(once(socket, 'close'), 10);
    t.ok(clock.now() - startedAt >= 3_000);
    t.equal(got, 0);
    await fault.remove();

    const other = await connect(egress);
    t.equal(await ask(other, 'up'), 'up');
    const forEver = await egress.fault('httpbin', { type: 'timeout', timeout: 0 });
    other.write('lost');
    clock.advance(600_000);
    await ping();
    t.notOk(other.destroyed);
    await forEver.remove();
    await gone(other);
  },
);

t.test('reset_peer resets: open connections, and later ones after its timeout', async (t) => {
  const clock = new FakeClock();
  await using egress = await start(t, { clock });
  const socket = await connect(egress);
  t.equal(await ask(socket, 'open'), 'open');
  const reset = gone(socket);
  await using _fault = await egress.fault('httpbin', { type: 'reset_peer', timeout: 1_000 });
  await clock.advanceUntil(reset, 10);
  await egress.expectSession({ reason: 'endpoint-reset', bytesDown: 4 });
  const later = await connect(egress);
  t.equal(await ask(later, 'a while'), 'a while');
  await clock.advanceUntil(gone(later), 10);
  await egress.expectSession({ reason: 'endpoint-reset' });
});

t.test('slicer cuts what comes into small pieces', async (t) => {
  await using egress = await start(t, { external: { httpbin: {} } });
  const arrived: number[] = [];
  await egress.apply({
    external: { httpbin: { onConnection: (socket) => void socket.on('data', (chunk: Buffer) => arrived.push(chunk.length)) } },
  });
  await egress.fault('httpbin', { type: 'slicer', average_size: 100, size_variation: 20, delay: 2_000, stream: 'upstream' });
  const socket = await connect(egress);
  socket.write(Buffer.alloc(1_000));
  while (arrived.reduce((sum, each) => sum + each, 0) < 1_000) await ping();
  t.ok(arrived.length >= 5, `pieces of ${arrived.join(', ')} bytes`);
});

t.test('limit_data closes after so many bytes', async (t) => {
  await using egress = await start(t);
  await egress.fault('httpbin', { type: 'limit_data', bytes: 10 });
  const socket = await connect(egress);
  let got = '';
  socket.on('data', (chunk: Buffer) => (got += String(chunk)));
  socket.write('0123456789abcdef');
  await gone(socket);
  t.equal(got, '0123456789');
});

t.test('refuse: new connections are refused, open ones go on, and afterwards all is as before', async (t) => {
  await using egress = await start(t);
  const open = await connect(egress);
  t.equal(await ask(open, 'open'), 'open');
  {
    await using _fault = await egress.fault('httpbin', { type: 'refuse' });
    await gone(await connect(egress));
    await egress.expectRefused({ reason: 'connect-refused', destination: 'httpbin' });
    t.equal(await ask(open, 'still'), 'still');
    await egress.apply();
    await gone(await connect(egress));
    await egress.expectRefused({ reason: 'connect-refused' });
  }
  t.equal(await ask(await connect(egress), 'again'), 'again');
  await egress.verify().catch((error: unknown) => t.match(error, { message: /2 things[^]*open: socket/ }, 'only what is open'));
});

t.test('tls_expired: the egress does not take the certificate', async (t) => {
  await using egress = await start(t);
  {
    await using _fault = await egress.fault('secure', { type: 'tls_expired' });
    await gone(await connect(egress, 'secure'));
    await egress.expectRefused({ reason: 'upstream-tls-failed', detail: /expired/i });
  }
  t.equal(await ask(await connect(egress, 'secure'), 'fine'), 'fine');
  await t.rejects(egress.fault('httpbin', { type: 'tls_expired' }), { message: /is no fake with TLS/ });
});

t.test('toxicity is the share of the connections that are hit', async (t) => {
  const draws = [0.9, 0.1];
  await using egress = await start(t, { random: () => draws.shift() ?? 0.9 });
  await egress.fault('httpbin', { type: 'limit_data', bytes: 1, toxicity: 0.5 });
  t.equal(await ask(await connect(egress), 'spared'), 'spared');
  t.equal(await ask(await connect(egress), 'hit'), 'h');
});

t.test('an invalid fault is an error: its name, field, number or destination', async (t) => {
  await using egress = await start(t);
  for (const [destination, toxic, message] of [
    ['httpbin', { type: 'lag' }, /fault "lag": allowed are latency, /],
    ['httpbin', { type: 'latency' }, /latency is missing/],
    ['httpbin', { type: 'latency', latency: -1 }, /latency -1: allowed are numbers from 0/],
    ['httpbin', { type: 'latency', latency: 1, delay: 1 }, /has no delay/],
    ['httpbin', { type: 'refuse', toxicity: 2 }, /toxicity 2: allowed are numbers from 0 to 1/],
    ['httpbin', { type: 'refuse', stream: 'both' }, /stream "both"/],
    ['nothing', { type: 'refuse' }, /no destination "nothing" with an address: there are default\/httpbin, default\/secure/],
  ] as const)
    await t.rejects(egress.fault(destination, toxic as unknown as Toxic), { message }, String(message));
});

t.test('a service that does not answer is in the note of the session', async (t) => {
  const to = `127.0.0.1:${await freePort()}`;
  await using egress = await start(t, { external: { httpbin: { to } } });
  await gone(await connect(egress));
  const session = await egress.expectSession({ destination: 'httpbin' });
  t.match(session.note, `the service did not answer: connect ECONNREFUSED ${to}`);
});

/** Runs some turns of the loop, so that bytes on loopback arrive. */
async function ping(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}
