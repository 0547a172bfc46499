import { Socket, connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import t from 'tap';
import { CheckCount } from '../../src/endpoints/health.ts';
import { answered } from '../../src/endpoints/probe.ts';
import { OUTLIER_DEFAULTS } from '../../src/model/cluster.ts';
import type { HealthCheck } from '../../src/model/cluster.ts';
import { until } from '../egress/until.ts';
import { freePort } from '../free-ports.ts';
import { cluster, endpoint } from '../routing/endpoints.ts';
import { at, snapshot, startWatch } from './watching.ts';

const hex = (text: string): string => Buffer.from(text).toString('hex');

function check(
  change: Partial<HealthCheck> & { readonly send?: string; readonly receive?: readonly string[] } = {},
): HealthCheck {
  const { send = '', receive = [], ...rest } = change;
  return {
    probe: { kind: 'tcp', send: hex(send), receive: receive.map(hex) },
    intervalMs: 5_000,
    timeoutMs: 1_000,
    unhealthyThreshold: 2,
    healthyThreshold: 2,
    initialJitterMs: 0,
    intervalJitterMs: 0,
    intervalJitterPercent: 0,
    noTrafficIntervalMs: 60_000,
    reuseConnection: true,
    ...rest,
  };
}

function httpCheck(): HealthCheck {
  return { ...check(), probe: { kind: 'http', path: '/', expectedStatuses: [200], http2: false } };
}

interface Backend extends AsyncDisposable {
  readonly port: number;
  readonly sockets: Socket[];
  accepted: number;
  /** Handles the bytes that come. */
  onData: (socket: Socket, text: string) => void;
  stop(): Promise<void>;
  start(): Promise<void>;
}

async function startBackend(): Promise<Backend> {
  let server: Server;
  const port = await freePort();
  const backend: Backend = {
    port,
    sockets: [],
    accepted: 0,
    onData: (socket) => socket.write('pong'),
    async start() {
      server = createServer((socket) => {
        backend.accepted++;
        backend.sockets.push(socket);
        socket.on('error', () => {});
        socket.on('close', () => backend.sockets.splice(backend.sockets.indexOf(socket), 1));
        socket.on('data', (chunk: Buffer) => backend.onData(socket, chunk.toString()));
      });
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of backend.sockets) socket.destroy();
      await closed;
    },
    [Symbol.asyncDispose]: () => backend.stop(),
  };
  await backend.start();
  return backend;
}

t.test('the first answer decides alone; after it the thresholds count answers in a row', async (t) => {
  const thresholds = { healthyThreshold: 3, unhealthyThreshold: 2 };
  const states = (answers: string): string => {
    const counts = new CheckCount(true);
    return [...answers]
      .map((answer) => {
        counts.add(answer === '+', answer === '!', thresholds);
        return counts.failed ? '-' : '+';
      })
      .join('');
  };
  t.equal(states('+'), '+', 'one good answer is enough at first');
  t.equal(states('-++-+++'), '------+', 'later three in a row');
  t.equal(states('+-+-+--'), '++++++-', 'one bad answer is forgiven, two in a row are not');
  t.equal(states('+!+++'), '+---+', 'an answer that decides is not');
});

t.test('every piece of an answer is looked for behind the one before, with anything in between', async (t) => {
  const pieces = ['ab', 'cd'].map((text) => Buffer.from(text));
  t.ok(answered(Buffer.from('..ab..cd..'), pieces));
  t.notOk(answered(Buffer.from('cdab'), pieces), 'in this order');
  t.notOk(answered(Buffer.from('abc'), pieces));
  t.notOk(
    answered(
      Buffer.from('aba'),
      ['ab', 'ba'].map((text) => Buffer.from(text)),
    ),
    'no byte counts twice',
  );
});

t.test('an endpoint that stops answering is unhealthy after so many checks, and healthy again after so many', async (t) => {
  await using backend = await startBackend();
  using watching = startWatch(t);
  const checked = cluster([at(backend.port)], { healthChecks: [check()] });
  watching.watch.want(snapshot(checked));
  await watching.after(0);
  watching.watch.report([{ cluster: checked.name, key: `127.0.0.1:${backend.port}`, outcome: 'ok' }]);
  await watching.after(60_000);
  t.same(watching.told, []);
  await backend.stop();
  await watching.after(5_000);
  t.same(watching.told, [], 'one failure');
  await watching.after(5_000);
  t.same(watching.told, ['unhealthy: ECONNREFUSED']);
  t.same(watching.watch.counts, { healthy: 0, unhealthy: 1, ejected: 0 });
  await backend.start();
  await watching.after(5_000);
  t.equal(watching.told.length, 1, 'one success');
  await watching.after(5_000);
  t.same(watching.told.slice(1), ['healthy']);
});

for (const code of ['EMFILE', 'ENFILE']) {
  t.test(`a check without a descriptor for it (${code}) says nothing of the endpoint`, async (t) => {
    await using backend = await startBackend();
    let lacks = true;
    using watching = startWatch(t, {
      dial({ endpoint: { port }, ip }) {
        if (!lacks) return { socket: connect({ host: ip, port }), ready: 'connect' };
        const socket = new Socket();
        process.nextTick(() => socket.destroy(Object.assign(new Error(`connect ${code}`), { code })));
        return { socket, ready: 'connect' };
      },
    });
    const checked = cluster([at(backend.port)], { healthChecks: [check(), httpCheck()] });
    watching.watch.want(snapshot(checked));
    await watching.after(0, 2);
    for (let i = 0; i < 4; i++) await watching.after(60_000, 2);
    t.same(watching.told, []);
    t.same(watching.watch.counts, { healthy: 1, unhealthy: 0, ejected: 0 });
    lacks = false;
    await backend.stop();
    await watching.after(60_000, 2);
    t.same(watching.told, ['unhealthy: ECONNREFUSED'], 'the first answer decides');
  });
}

t.test(
  'what is checked only by being connected closes each time; what answers keeps its connection, unless it is told not to',
  async (t) => {
    for (const [change, accepted] of [
      [{}, 3],
      [{ send: 'ping', receive: ['pong'] }, 1],
      [{ send: 'ping', receive: ['pong'], reuseConnection: false }, 3],
    ] as const) {
      await using backend = await startBackend();
      using watching = startWatch(t);
      watching.watch.want(snapshot(cluster([at(backend.port)], { healthChecks: [check(change)] })));
      await watching.after(0);
      await watching.after(60_000);
      await watching.after(60_000);
      t.same([backend.accepted, watching.told], [accepted, []], JSON.stringify(change));
    }
  },
);

t.test('an answer may come in pieces; a wrong one is a failure when the time is over, as is none', async (t) => {
  await using backend = await startBackend();
  using watching = startWatch(t);
  backend.onData = (socket) => {
    socket.write('.p');
    setImmediate(() => socket.write('ong.'));
  };
  watching.watch.want(snapshot(cluster([at(backend.port)], { healthChecks: [check({ send: 'ping', receive: ['pong'] })] })));
  await watching.after(0);
  t.same(watching.told, []);
  let asked = 0;
  backend.onData = (socket) => {
    asked++;
    socket.write('pang');
  };
  for (const round of [1, 2]) {
    watching.clock.advance(60_000);
    await until('the question to come', () => asked === round);
    await watching.after(1_000);
  }
  t.same(watching.told, ['unhealthy: nothing after 1000 ms']);
});

t.test('a server that closes between two checks is not unhealthy for it', async (t) => {
  await using backend = await startBackend();
  using watching = startWatch(t);
  const checked = cluster([at(backend.port)], {
    healthChecks: [check({ send: 'ping', receive: ['pong'], unhealthyThreshold: 1 })],
  });
  watching.watch.want(snapshot(checked));
  await watching.after(0);
  backend.sockets[0]!.destroy();
  await until('the connection to be gone', () => backend.sockets.length === 0);
  await new Promise((resolve) => setImmediate(resolve));
  await watching.after(60_000);
  t.same([watching.told, backend.accepted], [[], 2]);
});

t.test('without traffic checks are rare; with it they come at the interval, and jitter only makes them later', async (t) => {
  await using backend = await startBackend();
  using watching = startWatch(t, { draw: () => 0.5 });
  const checked = cluster([at(backend.port)], { healthChecks: [check({ intervalJitterMs: 1_000, intervalJitterPercent: 20 })] });
  watching.watch.want(snapshot(checked));
  await watching.after(0);
  await watching.after(60_000 + 500 + 6_000);
  watching.watch.report([{ cluster: checked.name, key: `127.0.0.1:${backend.port}`, outcome: 'ok' }]);
  await watching.after(60_000 + 500 + 6_000);
  watching.clock.advance(5_999);
  t.equal(backend.accepted, 3, 'half of 1000 ms and half of 20 % of 5000 ms later');
  await watching.after(1);
});

t.test('at most so many checks run at once; the others wait for their turn', async (t) => {
  await using backend = await startBackend();
  backend.onData = () => {};
  using watching = startWatch(t, { maxConcurrentChecks: 2 });
  const clusters = ['a', 'b', 'c', 'd', 'e'].map((name) =>
    cluster([at(backend.port)], { name, healthChecks: [check({ send: 'ping', receive: ['pong'] })] }),
  );
  watching.watch.want(snapshot(...clusters));
  await until('two to be connected', () => backend.accepted === 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(backend.accepted, 2);
  backend.onData = (socket) => socket.write('pong');
  for (const socket of backend.sockets) socket.write('pong');
  await until('all to be checked', () => watching.checks === 5);
});

t.test('a change of configuration leaves the checks of other clusters alone, and forgets what is gone', async (t) => {
  await using backend = await startBackend();
  using watching = startWatch(t);
  const speaking = { healthChecks: [check({ send: 'ping', receive: ['pong'] })] };
  const [kept, gone] = [
    cluster([at(backend.port)], { name: 'kept', ...speaking }),
    cluster([at(backend.port)], { name: 'gone', ...speaking }),
  ];
  watching.watch.want(snapshot(kept, gone));
  await watching.after(0, 2);
  watching.watch.want(snapshot(kept));
  await until('one connection to be left', () => backend.sockets.length === 1);
  t.same([watching.checks, watching.clock.timers, watching.watch.counts.healthy], [2, 1, 1], 'kept was not checked anew');
  watching.watch.want(snapshot({ ...kept, connectTimeoutMs: 1 }));
  t.equal(watching.checks, 2, 'nor where only something else of it changed');
});

t.test('with other settings an endpoint is checked anew, and one that was unhealthy stays so until it is good', async (t) => {
  await using backend = await startBackend();
  await backend.stop();
  using watching = startWatch(t);
  const checked = cluster([at(backend.port)], { healthChecks: [check({ unhealthyThreshold: 1 })] });
  watching.watch.want(snapshot(checked));
  await watching.after(0);
  t.same(watching.told, ['unhealthy: ECONNREFUSED']);
  await backend.start();
  watching.watch.want(snapshot({ ...checked, healthChecks: [check({ intervalMs: 1_000 })] }));
  t.same(watching.told.slice(1), ['forgotten', 'unhealthy'], 'before the check has an answer');
  await until('the check', () => watching.checks === 2);
  t.equal(watching.told.at(-1), 'healthy');
  watching.watch.want(snapshot({ ...checked, healthChecks: [] }));
  t.same([watching.watch.counts.healthy, watching.clock.timers], [0, 0], 'without a check there is nothing to watch');
});

t.test(
  'an endpoint that joins a cluster takes traffic once a check found it good; the first of a cluster take it at once',
  async (t) => {
    await using backend = await startBackend();
    using watching = startWatch(t);
    const named = endpoint({ name: 'api.test', port: backend.port });
    watching.watch.want(snapshot(cluster([named], { healthChecks: [check()] })));
    t.same(watching.watch.counts, { healthy: 0, unhealthy: 0, ejected: 0 }, 'the name has no answer yet');
    watching.names.set('api.test', { kind: 'resolved', addresses: ['127.0.0.1'] });
    watching.watch.refresh('api.test');
    await watching.after(0);
    t.same(watching.told, []);
    watching.names.set('api.test', { kind: 'resolved', addresses: ['127.0.0.1', '127.0.0.2'] });
    watching.watch.refresh('api.test');
    t.same(watching.told, ['unhealthy']);
    await until('the first check', () => watching.checks === 2);
    t.same(watching.told, ['unhealthy'], 'nobody listens there: it stays so');
    watching.names.set('api.test', { kind: 'resolved', addresses: ['127.0.0.1'] });
    watching.watch.refresh('api.test');
    t.same([watching.told, watching.watch.counts], [['unhealthy', 'forgotten'], { healthy: 1, unhealthy: 0, ejected: 0 }]);
  },
);

t.test('what no name may lead to is not checked either', async (t) => {
  using watching = startWatch(t);
  watching.names.set('api.test', { kind: 'resolved', addresses: ['169.254.169.254'] });
  watching.watch.want(snapshot(cluster([endpoint({ name: 'api.test' })], { healthChecks: [check()] })));
  t.same([watching.clock.timers, watching.watch.counts.healthy], [0, 0]);
});

t.test(
  'an endpoint that both a check and sessions find bad is unhealthy until the check is good, which ends its ejection',
  async (t) => {
    await using backend = await startBackend();
    using watching = startWatch(t);
    const checked = cluster([at(backend.port)], {
      healthChecks: [check({ unhealthyThreshold: 1, healthyThreshold: 1 })],
      outlierDetection: { ...OUTLIER_DEFAULTS, maxEjectionPercent: 100, intervalMs: 600_000 },
    });
    const failure = { cluster: checked.name, key: `127.0.0.1:${backend.port}`, outcome: 'connect-failed' } as const;
    watching.watch.want(snapshot(checked));
    await watching.after(0);
    watching.watch.report(Array.from({ length: 5 }, () => failure));
    t.same(watching.told, ['ejected']);
    await backend.stop();
    await watching.after(60_000);
    t.equal(watching.told.at(-1), 'unhealthy: ECONNREFUSED');
    await backend.start();
    await watching.after(5_000);
    t.equal(watching.told.at(-1), 'healthy');
  },
);
