// HTTP and gRPC checks, over real sockets and real TLS.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createSecureServer, createServer as createHttp2Server } from 'node:http2';
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createHttpsServer } from 'node:https';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import type { HealthCheck, HealthProbe, TlsOrigination } from '../../src/model/cluster.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { until } from '../egress/until.ts';
import { freePort } from '../free-ports.ts';
import { cluster, endpoint } from '../routing/endpoints.ts';
import { at, snapshot, startWatch } from './watching.ts';

type Probe<Kind> = Partial<Omit<Extract<HealthProbe, { kind: Kind }>, 'kind'>>;

function check(probe: HealthProbe, change: Partial<HealthCheck> = {}): HealthCheck {
  return {
    probe,
    intervalMs: 5_000,
    timeoutMs: 1_000,
    unhealthyThreshold: 2,
    healthyThreshold: 1,
    initialJitterMs: 0,
    intervalJitterMs: 0,
    intervalJitterPercent: 0,
    noTrafficIntervalMs: 5_000,
    reuseConnection: true,
    ...change,
  };
}

const http = (probe: Probe<'http'> = {}, change: Partial<HealthCheck> = {}): HealthCheck =>
  check({ kind: 'http', http2: false, path: '/up', expectedStatuses: [200], ...probe }, change);
const grpc = (probe: Probe<'grpc'> = {}, change: Partial<HealthCheck> = {}): HealthCheck =>
  check({ kind: 'grpc', serviceName: '', authority: '', ...probe }, change);

interface Service {
  readonly port: number;
  readonly connections: Set<Socket>;
  accepted: number;
}

async function listen(t: Test, server: Server | Http2Server | ReturnType<typeof createTcpServer>): Promise<Service> {
  const service = { port: 0, connections: new Set<Socket>(), accepted: 0 };
  server.on('connection', (socket: Socket) => {
    service.accepted++;
    service.connections.add(socket);
    socket.on('close', () => service.connections.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  service.port = (server.address() as AddressInfo).port;
  t.teardown(async () => {
    for (const socket of service.connections) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return service;
}

const startHttp = (t: Test, answer: RequestListener): Promise<Service> => listen(t, createServer(answer));

t.test('what a check by HTTP sends: path, method, host of the endpoint, headers; over one connection', async (t) => {
  const seen: IncomingMessage[] = [];
  const service = await startHttp(t, (request, response) => {
    seen.push(request);
    response.end('fine');
  });
  using watching = startWatch(t);
  watching.names.set('api.partner.test', { kind: 'resolved', addresses: ['127.0.0.1'] });
  const named = endpoint({ name: 'api.partner.test', port: service.port });
  const headers = ['x-a', '1', 'x-a', '2'];
  watching.watch.want(snapshot(cluster([named], { healthChecks: [http({ path: '/up?deep=1', headers })] })));
  await watching.after(0);
  await watching.after(5_000);
  t.same(watching.told, []);
  t.equal(service.accepted, 1, 'the connection is used again');
  const [first] = seen;
  t.match(first, { method: 'GET', url: '/up?deep=1', httpVersion: '1.1' });
  t.same(first?.headers, {
    host: 'api.partner.test',
    'user-agent': 'Envoy/HC',
    'x-a': '1, 2',
    connection: 'keep-alive',
  });
});

t.test(
  'a host of its own, another method and another user agent are sent instead; an endpoint by address is named by its cluster',
  async (t) => {
    const seen: IncomingMessage[] = [];
    const service = await startHttp(t, (request, response) => {
      seen.push(request);
      response.end();
    });
    using watching = startWatch(t);
    watching.watch.want(snapshot(cluster([at(service.port)], { name: 'mes_api', healthChecks: [http()] })));
    await watching.after(0);
    const own = http({ host: 'own.test', method: 'POST', headers: ['user-agent', 'mine'] });
    watching.watch.want(snapshot(cluster([at(service.port)], { name: 'mes_api', healthChecks: [own] })));
    await until('the second check', () => seen.length === 2);
    await until('its end', () => watching.checks === 2);
    t.same(
      seen.map(({ method, headers }) => [method, headers.host, headers['user-agent'], headers['content-length']]),
      [
        ['GET', 'mes_api', 'Envoy/HC', undefined],
        ['POST', 'own.test', 'mine', '0'],
      ],
    );
  },
);

t.test('a status that is not expected decides alone, one that may be retried counts, and the expected one is good', async (t) => {
  let status = 204;
  const service = await startHttp(t, (_, response) => void response.writeHead(status).end());
  using watching = startWatch(t);
  const checked = http({ expectedStatuses: [200, 204], retriableStatuses: [503] }, { unhealthyThreshold: 3 });
  watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [checked] })));
  await watching.after(0);
  status = 503;
  await watching.after(5_000);
  await watching.after(5_000);
  t.same(watching.told, [], 'two of three');
  status = 500;
  await watching.after(5_000);
  t.same(watching.told, ['unhealthy: status 500']);
  status = 200;
  await watching.after(5_000);
  t.same(watching.told.slice(1), ['healthy']);
});

t.test('a service that asks to be left alone is, at once', async (t) => {
  let leaving = false;
  const service = await startHttp(t, (_, response) => {
    response.end(leaving ? response.setHeader('x-envoy-immediate-health-check-fail', 'true') && '' : '');
  });
  using watching = startWatch(t);
  watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [http({}, { unhealthyThreshold: 9 })] })));
  await watching.after(0);
  leaving = true;
  await watching.after(5_000);
  t.same(watching.told, ['unhealthy: it asks to be left alone (x-envoy-immediate-health-check-fail)']);
});

t.test('an answer that does not come, ends early or is no HTTP counts, and its connection is not used again', async (t) => {
  for (const [what, bytes, why] of [
    ['nothing', '', 'nothing after 1000 ms'],
    ['half an answer', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf', 'nothing after 1000 ms'],
    ['no HTTP', 'SSH-2.0-x\r\n\r\n', 'its answer is no HTTP/1.1 (HPE_INVALID_CONSTANT: Expected HTTP/, RTSP/ or ICE/)'],
    [
      'another protocol',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
      'the answer has status 101, which changes the protocol',
    ],
  ] as const) {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => void socket.write(bytes));
    });
    const service = await listen(t, server);
    using watching = startWatch(t);
    watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [http()] })));
    for (const round of [1, 2]) {
      if (round === 2) watching.clock.advance(5_000);
      await until(`${what}: a connection`, () => service.accepted === round);
      if (why.startsWith('nothing')) watching.clock.advance(1_000);
      await until(`${what}: check ${round}`, () => watching.checks === round);
      await until(`${what}: the connection to be gone`, () => service.connections.size === 0);
    }
    t.same(watching.told, [`unhealthy: ${why}`], what);
  }
});

t.test('a service that cuts its answer off counts', async (t) => {
  const service = await startHttp(t, (_, response) => {
    response.writeHead(200, { 'content-length': '9' });
    response.write('half', () => response.socket?.destroy());
  });
  using watching = startWatch(t);
  watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [http({}, { unhealthyThreshold: 1 })] })));
  await watching.after(0);
  t.match(watching.told, [/^unhealthy: (ECONNRESET|its answer ended early)$/]);
});

t.test('a redirect is not followed, and a long answer is read to its end without being kept', async (t) => {
  let asked = 0;
  const service = await startHttp(t, (request, response) => {
    asked++;
    if (request.url === '/up') response.writeHead(302, { location: '/other' }).end('x'.repeat(4_000_000));
    else response.end();
  });
  using watching = startWatch(t);
  watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [http({ expectedStatuses: [302] })] })));
  await watching.after(0);
  await watching.after(5_000);
  t.same([watching.told, asked, service.accepted], [[], 2, 1]);
});

t.test(
  'without reuse each check has a connection of its own; one that the service ends between two checks is no failure',
  async (t) => {
    for (const [reuseConnection, closes, accepted] of [
      [false, false, 3],
      [true, true, 3],
      [true, false, 1],
    ] as const) {
      const service = await startHttp(t, (_, response) => {
        if (closes) response.setHeader('connection', 'close');
        response.end();
      });
      using watching = startWatch(t);
      const checked = http({}, { reuseConnection, unhealthyThreshold: 1 });
      watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [checked] })));
      await watching.after(0);
      await watching.after(5_000);
      await watching.after(5_000);
      t.same([service.accepted, watching.told], [accepted, []], JSON.stringify({ reuseConnection, closes }));
      watching.watch.close();
      await until('no connection to be left', () => service.connections.size === 0);
    }
  },
);

t.test('a check that runs when it is taken away ends with its connection', async (t) => {
  for (const http2 of [false, true]) {
    const service = http2
      ? await listen(
          t,
          createHttp2Server(() => {}),
        )
      : await startHttp(t, () => {});
    using watching = startWatch(t);
    watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [http({ http2 })] })));
    await until('a connection', () => service.connections.size === 1);
    watching.watch.want(snapshot());
    await until('it to be gone', () => service.connections.size === 0);
    t.same([watching.checks, watching.clock.timers], [0, 0]);
  }
});

t.test('a check of HTTP/2 keeps its connection too, and gets another one after a GOAWAY', async (t) => {
  const seen: unknown[] = [];
  const server = createHttp2Server((request, response) => {
    seen.push([request.method, request.url, request.authority, request.headers['user-agent'], request.headers['x-a']]);
    if (seen.length === 2) request.stream.session?.goaway();
    response.end('fine');
  });
  const service = await listen(t, server);
  const dialled: Socket[] = [];
  using watching = startWatch(t, {
    dial({ endpoint: { port } }) {
      const socket = connect({ host: '127.0.0.1', port });
      dialled.push(socket);
      return { socket, ready: 'connect' };
    },
  });
  const checked = http({ http2: true, headers: ['x-a', '1'] }, { unhealthyThreshold: 1 });
  watching.watch.want(snapshot(cluster([at(service.port)], { name: 'api', healthChecks: [checked] })));
  await watching.after(0);
  await watching.after(5_000);
  t.equal(service.accepted, 1);
  await until('the first connection to be gone', () => dialled[0]?.destroyed === true);
  await watching.after(5_000);
  t.equal(service.accepted, 2);
  t.same(
    seen,
    Array.from({ length: 3 }, () => ['GET', '/up', 'api', 'Envoy/HC', '1']),
  );
  t.same(watching.told, []);
});

const HOST = 'api.partner.test';
const partner = await createTestMesh('partner', { keyType: 'ec' });
const stranger = await createTestMesh('stranger', { keyType: 'ec' });
const certificate = partner.issue({ uris: [], dns: [HOST] });

t.test(
  'where the endpoint is spoken to in TLS the check is too, and nothing is sent to a server that is not the one',
  async (t) => {
    const tls: TlsOrigination = {
      serverName: HOST,
      trust: { kind: 'system' },
      names: null,
      clientCertificate: null,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      alpn: [],
      allowRenegotiation: false,
    };
    for (const http2 of [false, true]) {
      const seen: unknown[] = [];
      const answer = (request: { readonly url?: string | undefined }, response: { end(): unknown }): void => {
        seen.push(request.url);
        response.end();
      };
      const service = await listen(
        t,
        http2 ? createSecureServer(certificate, answer) : createHttpsServer(certificate, answer as RequestListener),
      );
      for (const [ca, told] of [
        [partner.ca.cert, []],
        [stranger.ca.cert, [/^unhealthy: (UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/]],
      ] as const) {
        using watching = startWatch(t, {
          dial: ({ endpoint: { port } }) => ({
            socket: connectTls({ host: '127.0.0.1', port, servername: HOST, ca, ALPNProtocols: http2 ? ['h2'] : ['http/1.1'] }),
            ready: 'secureConnect',
          }),
        });
        const checked = http({ http2, headers: ['authorization', 'Bearer x'] }, { unhealthyThreshold: 1 });
        watching.watch.want(snapshot(cluster([at(service.port, { tls })], { healthChecks: [checked] })));
        await watching.after(0);
        t.match(watching.told, told);
      }
      t.same(seen, ['/up'], 'only the one that was verified was asked');
    }
  },
);

/** The answer of a gRPC service; `message` is a HealthCheckResponse. */
interface GrpcAnswer {
  readonly status?: number;
  readonly type?: string;
  readonly message?: readonly number[];
  readonly trailers?: Readonly<Record<string, string>>;
  /** In the head, without a body. */
  readonly trailersOnly?: boolean;
}

function answerGrpc(stream: ServerHttp2Stream, given: GrpcAnswer): void {
  const { status = 200, type = 'application/grpc', message = [8, 1], trailers = { 'grpc-status': '0' } } = given;
  const head = { ':status': status, 'content-type': type };
  if (given.trailersOnly === true) return stream.respond({ ...head, ...trailers }, { endStream: true });
  stream.respond(head, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
}

t.test('a check by gRPC asks grpc.health.v1 for a service, and only SERVING is good', async (t) => {
  let answer: GrpcAnswer = {};
  const seen: unknown[] = [];
  const server = createHttp2Server();
  server.on('stream', (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      seen.push([headers[':method'], headers[':path'], headers[':authority'], headers['content-type'], headers.te]);
      seen.push(Buffer.concat(chunks).toString('hex'));
      answerGrpc(stream, answer);
    });
  });
  const service = await listen(t, server);
  const name = 'x'.repeat(130);
  using watching = startWatch(t);
  const checked = grpc({ serviceName: name, authority: 'grpc.test' }, { unhealthyThreshold: 9 });
  watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [checked] })));
  await watching.after(0);
  t.same(seen, [
    ['POST', '/grpc.health.v1.Health/Check', 'grpc.test', 'application/grpc', 'trailers'],
    `00000000850a8201${Buffer.from(name).toString('hex')}`,
  ]);
  const cases: readonly (readonly [GrpcAnswer, string])[] = [
    [{ message: [8, 2] }, 'NOT_SERVING'],
    [{ message: [8, 0] }, 'UNKNOWN'],
    [{ message: [] }, 'UNKNOWN'],
    [{ message: [8, 3] }, 'SERVICE_UNKNOWN'],
    [{ message: [8, 9] }, 'state 9'],
    [{ message: [9, 1] }, 'its answer is no HealthCheckResponse'],
    [{ status: 503 }, 'status 503'],
    [{ type: 'text/html' }, 'its answer is text/html'],
    [
      { trailers: { 'grpc-status': '12', 'grpc-message': 'no such method' }, trailersOnly: true },
      'grpc-status 12 no such method',
    ],
    [{ trailers: { 'grpc-status': '14' } }, 'grpc-status 14'],
    [{ trailers: {} }, 'grpc-status missing'],
    [{ message: Array.from({ length: 9 }, () => 8) }, 'its answer is no HealthCheckResponse'],
  ];
  for (const [bad, why] of cases) {
    answer = bad;
    await watching.after(5_000);
    t.equal(watching.told.at(-1), `unhealthy: ${why}`, why);
    answer = {};
    await watching.after(5_000);
    t.equal(watching.told.at(-1), 'healthy');
  }
  t.equal(service.accepted, 1, 'all over one connection');
});

t.test('a stream that is reset, or an endless answer, is a failure of several', async (t) => {
  let answers: 'well' | 'reset' | 'endless' = 'well';
  const server = createHttp2Server();
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    if (answers === 'well') return answerGrpc(stream, {});
    if (answers === 'reset') return stream.close(2);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.write(Buffer.alloc(65_536));
  });
  const service = await listen(t, server);
  using watching = startWatch(t);
  watching.watch.want(snapshot(cluster([at(service.port)], { healthChecks: [grpc()] })));
  await watching.after(0);
  answers = 'reset';
  await watching.after(5_000);
  t.same(watching.told, []);
  answers = 'endless';
  await watching.after(5_000);
  t.same(watching.told, ['unhealthy: its answer is longer than 4096 bytes']);
  await until('the connection to be gone', () => service.connections.size === 0);
});

t.test('a port without a listener is a failure, for every kind of request', async (t) => {
  const closed = await startHttp(t, (_, response: ServerResponse) => void response.end());
  const port = await freePort();
  for (const each of [http(), http({ http2: true }), grpc()]) {
    using watching = startWatch(t);
    watching.watch.want(snapshot(cluster([at(port)], { healthChecks: [each] })));
    await watching.after(0);
    t.same(watching.told, ['unhealthy: ECONNREFUSED']);
  }
  t.equal(closed.accepted, 0);
});
