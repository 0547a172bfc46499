// One request after another through the walk, on real sockets: tests their timeouts.
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../../src/base/clock.ts';
import type { HttpRoute, HttpTimeouts } from '../../../src/model/http-route.ts';
import type { AttemptOutcome } from '../../../src/model/messages.ts';
import { meshName, serverName } from '../../../src/model/names.ts';
import type { Route } from '../../../src/model/route.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';
import { H1Front } from '../../../src/traffic/http/h1-front.ts';
import { pacedBody } from '../../../src/traffic/http/paced-body.ts';
import { RequestTimers, timeoutReply } from '../../../src/traffic/http/request-timers.ts';
import { serveRequest } from '../../../src/traffic/http/request-walk.ts';
import { UpstreamPools } from '../../../src/traffic/http/upstream.ts';
import { startRaw } from '../../raw-server.ts';
import { cluster } from '../../routing/endpoints.ts';

interface Bed {
  readonly port: number;
  readonly outcomes: AttemptOutcome[];
}

/** A front whose requests go to a service at this port, with these timeouts. */
async function startBed(t: Test, service: number, timeouts: HttpTimeouts, retries = Infinity): Promise<Bed> {
  let retried = 0;
  const clock = systemClock();
  const outcomes: AttemptOutcome[] = [];
  const http: HttpRoute = { autoHostRewrite: false, answersDenied: true, timeouts };
  const endpoint = {
    address: { kind: 'ip', ip: '127.0.0.1' },
    port: service,
    weight: 1,
    priority: 0,
    zone: '',
    tags: {},
    tls: null,
  } as const;
  const target = { endpoint, ip: '127.0.0.1' };
  const web = { ...cluster([endpoint]), http: 'http1' } as const;
  const route: Route = {
    kind: 'terminate',
    serverName: serverName('web'),
    mesh: meshName('default'),
    destination: 'web',
    cluster: web.name,
    permission: { kind: 'allow-all', by: 'everybody' },
    protocol: 'http',
    http,
  };
  const pools = new UpstreamPools({
    clock,
    wait: () => () => {},
    async dial() {
      const socket = connect(service, '127.0.0.1');
      await once(socket, 'connect');
      return { kind: 'dialled', socket, target, leave: () => {} };
    },
  });
  const front = new H1Front(clock, 600_000);
  t.teardown(() => {
    front.close();
    pools.close();
  });
  const port = await startRaw(t, (socket) => {
    front.open(socket, {
      closing: false,
      onUnread: () => {},
      serve: (exchange) =>
        serveRequest(exchange, {
          clock,
          pools,
          client: '127.0.0.1',
          newCookie: () => '1',
          uris: [],
          judge: () => ({ kind: 'allowed', http, cluster: web, route, wouldRefuse: '' }),
          admit: () => true,
          enter: () => () => {},
          enterRetry: () => (retried++ < retries ? () => {} : null),
          targets: async () => [target],
          moved: () => {},
          dialled: { attempt: () => {}, connected: () => {} },
          sent: () => {},
          completed: () => {},
          reset: () => {},
          timedOut: () => {},
          delayed: () => {},
          why: () => {},
          outcome: (_, __, outcome) => outcomes.push(outcome),
          answered: () => {},
          refused: () => {},
        }),
    });
  });
  return { port, outcomes };
}

/** Returns all that comes back until the connection ends. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.setEncoding('latin1');
  let text = '';
  socket.on('data', (chunk: string) => (text += chunk));
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

t.test('a service that does not answer in time is answered for with 504, and that counts against it', async (t) => {
  const service = await startRaw(t, () => {});
  const { port, outcomes } = await startBed(t, service, { requestMs: 100 });
  const answer = await exchange(port, GET);
  t.match(answer, /^HTTP\/1\.1 504 /);
  t.match(answer, /upstream request timeout$/);
  t.same(outcomes, ['timeout']);
  const grpc = await exchange(port, GET.replace('Connection', 'Content-Type: application/grpc\r\nConnection'));
  t.match(grpc, /^HTTP\/1\.1 200 [\s\S]*\r\ngrpc-status: 14\r\n/);
});

t.test('the time of a request begins when it has come whole', async (t) => {
  const clock = new FakeClock();
  const fired: string[] = [];
  const timers = new RequestTimers(clock, { streamIdleMs: 0, requestMs: 5_000 }, (which) => fired.push(which));
  clock.advance(60_000);
  t.same(fired, []);
  timers.requestRead();
  clock.advance(4_999);
  t.same(fired, []);
  clock.advance(1);
  t.same(fired, ['request']);
});

t.test('an answer that stops in the middle is cut off when nothing moved for so long', async (t) => {
  const service = await startRaw(t, (socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'));
  });
  const { port } = await startBed(t, service, { streamIdleMs: 100 });
  const answer = await exchange(port, GET);
  t.match(answer, /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\nhalf$/);
});

t.test('a request may not live longer than so long, whatever moves', async (t) => {
  const service = await startRaw(t, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      const timer = setInterval(() => socket.write('1\r\nx\r\n'), 10);
      socket.once('close', () => clearInterval(timer));
    });
  });
  const { port } = await startBed(t, service, { maxStreamMs: 200 });
  t.notMatch(await exchange(port, GET), /0\r\n\r\n$/, 'it is not whole');
});

t.test('what moves puts the end of an idle request off; the first end is the only one', async (t) => {
  const clock = new FakeClock();
  const fired: string[] = [];
  const timers = new RequestTimers(clock, { streamIdleMs: 1_000, requestMs: 5_000 }, (which) => fired.push(which));
  timers.requestRead();
  for (let i = 0; i < 4; i++) {
    clock.advance(900);
    timers.moved();
  }
  t.same(fired, []);
  clock.advance(1_100);
  t.same(fired, ['stream-idle']);
  clock.advance(10_000);
  t.same(fired, ['stream-idle']);
});

t.test('Envoy answers a timeout by whose turn it was', async (t) => {
  t.match(timeoutReply('stream-idle', true), { status: 504, body: 'stream timeout' });
  t.match(timeoutReply('stream-idle', false), { status: 408, body: 'stream timeout' });
  t.match(timeoutReply('max-stream', true), { status: 504, body: 'upstream max stream duration reached' });
});

t.test('a paced body passes no more than its share in each piece of time, and its end after its bytes', async (t) => {
  const clock = new FakeClock();
  let sent = 0;
  let ended = false;
  let room = true;
  let drain = (): void => {};
  const body = pacedBody(
    {
      write(chunk) {
        sent += chunk.length;
        return room;
      },
      onDrain: (listener) => (drain = listener),
      end: () => (ended = true),
      reset: () => {},
    },
    20,
    clock,
  );
  t.equal(body.write(Buffer.alloc(3_000)), false);
  t.equal(sent, 1_024);
  clock.advance(50);
  t.equal(sent, 2_048);
  body.end([]);
  t.equal(ended, false);
  room = false;
  clock.advance(50);
  t.equal(sent, 3_000);
  t.equal(ended, true);
  drain();
  t.equal(clock.timers, 0, 'no timer is left');
});

t.test('the head of a request that does not come whole in the time of its route is answered 408', async (t) => {
  const front = new H1Front(systemClock(), 600_000);
  t.teardown(() => front.close());
  const refused: string[] = [];
  const connectionOf = (headTimeoutMs?: number) => ({
    closing: false,
    ...(headTimeoutMs === undefined ? {} : { headTimeoutMs }),
    onUnread: ({ why }: { readonly why: string }) => void refused.push(why),
    serve: async () => {},
  });
  const patient = await startRaw(t, (socket) => front.open(socket, connectionOf()));
  const hasty = await startRaw(t, (socket) => front.open(socket, connectionOf(50)));
  const waiting = connect(patient, '127.0.0.1');
  waiting.write('GET / HTTP/1.1\r\nHo');
  const answer = await exchange(hasty, 'GET / HTTP/1.1\r\nHo');
  t.match(answer, /^HTTP\/1\.1 408 [\s\S]*\r\n\r\nrequest header timeout$/);
  t.same(refused, ['the head was not complete after 50 ms']);
  t.notOk(waiting.destroyed, 'that of another route goes on');
  waiting.destroy();
});

t.test('what an answer, or the end of its connection, says of an endpoint', async (t) => {
  const answers: Readonly<Record<string, string>> = {
    good: 'HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n',
    bad: 'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n',
    gateway: 'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n',
    unavailable: 'HTTP/1.1 200 OK\r\ngrpc-status: 14\r\nContent-Length: 0\r\n\r\n',
    unimplemented: 'HTTP/1.1 200 OK\r\ngrpc-status: 12\r\nContent-Length: 0\r\n\r\n',
    denied: 'HTTP/1.1 200 OK\r\ngrpc-status: 7\r\nContent-Length: 0\r\n\r\n',
    cut: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf',
    none: '',
  };
  const service = await startRaw(t, (socket) => {
    socket.once('data', (chunk: Buffer) => {
      const path = /^\w+ \/(\w+)/.exec(chunk.toString())?.[1] ?? '';
      socket.end(answers[path] ?? '');
    });
  });
  for (const [path, type, outcome] of [
    ['good', 'text/plain', 'answered'],
    ['bad', 'text/plain', 'answered-5xx'],
    ['gateway', 'text/plain', 'answered-gateway-error'],
    ['unavailable', 'application/grpc', 'answered-gateway-error'],
    ['unimplemented', 'application/grpc', 'answered-5xx'],
    ['denied', 'application/grpc', 'answered'],
    ['unavailable', 'text/plain', 'answered'],
    ['cut', 'text/plain', 'answered connect-failed'],
    ['none', 'text/plain', 'connect-failed'],
  ] as const) {
    const { port, outcomes } = await startBed(t, service, {});
    await exchange(port, `GET /${path} HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nConnection: close\r\n\r\n`);
    t.equal(outcomes.join(' '), outcome, `${path} of ${type}`);
  }
});

t.test('a request that met the end of an idle connection is sent again, where the cluster may have one more such', async (t) => {
  for (const [retries, status] of [
    [1, 200],
    [0, 503],
  ] as const) {
    let connections = 0;
    const service = await startRaw(t, (socket) => {
      const isFirst = ++connections === 1;
      let requests = 0;
      socket.on('data', () => {
        if (isFirst && ++requests === 2) socket.destroy();
        else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      });
    });
    const { port } = await startBed(t, service, {}, retries);
    t.match(await exchange(port, GET), /^HTTP\/1\.1 200 /);
    t.match(await exchange(port, GET), new RegExp(`^HTTP/1\\.1 ${status} `), `${retries} may be sent again`);
  }
});
