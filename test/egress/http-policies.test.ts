// What policies do to requests, through a whole zone, one promise each.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { answerOf, SHOP, shopService, startRawService } from './http-zone.ts';
import { CONCURRENCIES, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const WEB = encodeHashSni({ kind: 'mes', name: 'web', mesh: 'default', port: 80 });

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function startService(t: Test, answer: Answer): Promise<number> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

interface ShopOptions {
  readonly policies?: readonly string[];
  readonly endpoints?: readonly number[];
  readonly concurrency?: 1 | 2;
  readonly protocol?: string;
}

/** `shop` is an ExternalService, `web` a MeshExternalService, both with these endpoints. */
function startShop(t: Test, port: number, options: ShopOptions = {}): Promise<Zone> {
  const { policies = [], endpoints = [port], concurrency = 1, protocol = 'http' } = options;
  return startZone(t, {
    concurrency,
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: () =>
      [
        shopService(`127.0.0.1:${port}`, { protocol }),
        `type: MeshExternalService
name: web
mesh: default
spec:
  match: { type: HostnameGenerator, port: 80, protocol: ${protocol} }
  endpoints: [${endpoints.map((each) => `{ address: 127.0.0.1, port: ${each} }`).join(', ')}]
`,
        ...policies,
      ].join('---\n'),
  });
}

const meshPolicy = (kind: string, spec: string): string => `type: ${kind}\nname: p\nmesh: default\nspec: ${spec}\n`;
const fromMesh = (conf: string, from = '{ kind: Mesh }'): string =>
  `{ targetRef: { kind: MeshService, name: shop }, from: [{ targetRef: ${from}, default: ${conf} }] }`;
const toMesh = (conf: string): string => `{ to: [{ targetRef: { kind: MeshExternalService, name: web }, default: ${conf} }] }`;

interface Response {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Reads complete answers of one connection, one after another. */
class Client {
  readonly socket: TLSSocket;
  #text = '';
  #arrived: () => void = () => {};
  ended = false;

  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('data', (text: string) => {
      this.#text += text;
      this.#arrived();
    });
    socket.on('close', () => {
      this.ended = true;
      this.#arrived();
    });
  }

  async get(path = '/', headers = ''): Promise<Response> {
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
    return this.next();
  }

  async next(): Promise<Response> {
    for (;;) {
      const at = this.#text.indexOf('\r\n\r\n');
      const head = this.#text.slice(0, at);
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (at >= 0 && this.#text.length >= at + 4 + length) {
        const body = this.#text.slice(at + 4, at + 4 + length);
        this.#text = this.#text.slice(at + 4 + length);
        return { status: Number(head.split(' ')[1]), head, body };
      }
      if (this.ended) throw new Error(`the connection ended after ${JSON.stringify(this.#text)}`);
      await new Promise<void>((resolve) => (this.#arrived = resolve));
    }
  }
}

async function clientOf(zone: Zone, sni = SHOP): Promise<Client> {
  return new Client(await zone.connect(sni, zone.mesh.client('frontend')));
}

const ok: Answer = (_, response) => response.end('ok');

for (const concurrency of CONCURRENCIES) {
  t.test(
    `a limit of requests holds for ${concurrency} data sides together, with the status and headers that are written`,
    async (t) => {
      const conf =
        '{ local: { http: { requestRate: { num: 3, interval: 1h }, onRateLimit: { status: 420, headers: { add: [{ name: X-Wait, value: "1" }] } } } } }';
      const port = await startService(t, ok);
      await using zone = await startShop(t, port, { concurrency, policies: [meshPolicy('MeshRateLimit', fromMesh(conf))] });
      const answers: Response[] = [];
      for (let i = 0; i < 6; i++) {
        const client = await clientOf(zone);
        answers.push(await client.get());
        client.socket.destroy();
      }
      t.same(
        answers.map(({ status }) => status),
        [200, 200, 200, 420, 420, 420],
      );
      t.equal(answers.at(-1)?.body, 'local_rate_limited');
      t.match(answers.at(-1)?.head, /\r\nx-wait: 1\r\n/);
      t.notMatch(answers.at(-1)?.head, /connection: close/, 'the connection stays');
    },
  );
}

t.test('a RateLimit is for the clients whose tags it names, and the first that names them counts', async (t) => {
  const older = (name: string, service: string, requests: number): string => `type: RateLimit
name: ${name}
mesh: default
sources: [{ match: { kuma.io/service: '${service}' } }]
destinations: [{ match: { kuma.io/service: shop } }]
conf: { http: { requests: ${requests}, interval: 1h } }
`;
  const port = await startService(t, ok);
  await using zone = await startShop(t, port, { policies: [older('all', '*', 2), older('one', 'frontend', 1)] });
  const client = await clientOf(zone);
  const statuses = async (headers: string, count: number): Promise<number[]> => {
    const all: number[] = [];
    for (let i = 0; i < count; i++) all.push((await client.get('/', headers)).status);
    return all;
  };
  t.same(await statuses('x-kuma-tags: &kuma.io/service=frontend&&version=1&\r\n', 3), [200, 429, 429]);
  t.same(await statuses('x-kuma-tags: &kuma.io/service=other&\r\n', 3), [200, 200, 429]);
  t.same(await statuses('', 3), [200, 200, 200], 'a client that sends no tags is none of them');
  client.socket.destroy();
});

t.test('a client of gRPC over the limit reads status 14 in the head of its answer', async (t) => {
  const conf = '{ local: { http: { requestRate: { num: 1, interval: 1h } } } }';
  const port = await startService(t, ok);
  await using zone = await startShop(t, port, { policies: [meshPolicy('MeshRateLimit', fromMesh(conf))] });
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const session = connectHttp2('http://shop', { createConnection: () => socket });
  const call = async () => {
    const stream = session.request({ ':method': 'POST', 'content-type': 'application/grpc' });
    stream.end();
    const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
    stream.resume();
    await once(stream, 'close');
    return head;
  };
  await call();
  t.match(await call(), { ':status': 200, 'grpc-status': '14', 'grpc-message': 'local_rate_limited' });
  session.close();
  await once(session, 'close');
});

t.test('a fault aborts requests of the clients that it names, and no request of others', async (t) => {
  let asked = 0;
  const port = await startService(t, (request, response) => {
    asked++;
    ok(request, response);
  });
  const conf = '{ http: [{ abort: { httpStatus: 418, percentage: 100 } }] }';
  const policies = [meshPolicy('MeshFaultInjection', fromMesh(conf, '{ kind: MeshService, name: frontend }'))];
  await using zone = await startShop(t, port, { policies });
  const client = await clientOf(zone);
  const aborted = await client.get('/', 'x-kuma-tags: &kuma.io/service=frontend&\r\n');
  t.match(aborted, { status: 418, body: 'fault filter abort' });
  t.equal(asked, 0, 'the service is not asked');
  t.equal((await client.get('/', 'x-kuma-tags: &kuma.io/service=backend&\r\n')).status, 200);
  client.socket.destroy();
});

t.test('a fault of no percent does nothing, and a delay comes before the abort', async (t) => {
  const port = await startService(t, ok);
  const conf =
    '{ http: [{ abort: { httpStatus: 418, percentage: 0 } }, { delay: { value: 300ms, percentage: 100 }, abort: { httpStatus: 503, percentage: "100" } }] }';
  await using zone = await startShop(t, port, { policies: [meshPolicy('MeshFaultInjection', fromMesh(conf))] });
  const client = await clientOf(zone);
  const startedAt = performance.now();
  t.match(await client.get(), { status: 503, body: 'fault filter abort' });
  t.ok(performance.now() - startedAt >= 299);
  client.socket.destroy();
});

t.test('a request that a fault aborts takes no token of a limit, as Kuma has their order', async (t) => {
  const port = await startService(t, ok);
  const limit = '{ local: { http: { requestRate: { num: 2, interval: 1h } } } }';
  const fault = '{ http: [{ abort: { httpStatus: 418, percentage: 100 } }] }';
  const policies = [
    meshPolicy('MeshRateLimit', fromMesh(limit)),
    meshPolicy('MeshFaultInjection', fromMesh(fault, '{ kind: MeshService, name: frontend }')),
  ];
  await using zone = await startShop(t, port, { policies });
  const client = await clientOf(zone);
  const statuses: number[] = [];
  for (const service of ['frontend', 'frontend', 'frontend', 'other', 'other', 'other']) {
    statuses.push((await client.get('/', `x-kuma-tags: &kuma.io/service=${service}&\r\n`)).status);
  }
  t.same(statuses, [418, 418, 418, 200, 200, 429]);
  client.socket.destroy();
});

t.test('a bandwidth lets an answer through as fast as it says, and whole', async (t) => {
  const port = await startService(t, (_, response) => void response.end('x'.repeat(20_480)));
  const conf = '{ http: [{ responseBandwidth: { limit: 40kbps, percentage: 100 } }] }';
  await using zone = await startShop(t, port, { policies: [meshPolicy('MeshFaultInjection', fromMesh(conf))] });
  const client = await clientOf(zone);
  const startedAt = performance.now();
  t.equal((await client.get()).body, 'x'.repeat(20_480));
  // 20 KiB at 40 KiB a second; the first piece is sent at once.
  t.ok(performance.now() - startedAt >= 400, `${performance.now() - startedAt} ms`);
  client.socket.destroy();
});

t.test('more requests at once than maxRequests are answered 503 overflow, and a place that is left can be taken', async (t) => {
  const waiting: ServerResponse[] = [];
  let arrived = (): void => {};
  const port = await startService(t, (_, response) => {
    waiting.push(response);
    arrived();
  });
  const policies = [
    meshPolicy('MeshCircuitBreaker', toMesh('{ connectionLimits: { maxRequests: 1 } }')).replace('name: p', 'name: a'),
  ];
  await using zone = await startShop(t, port, { policies });
  const [first, second] = [await clientOf(zone, WEB), await clientOf(zone, WEB)];
  const came = new Promise<void>((resolve) => (arrived = resolve));
  const answer = first.get();
  await came;
  const refused = await second.get();
  t.equal(refused.status, 503);
  t.match(refused.body, /reset reason: overflow$/);
  t.match(refused.head, /\r\nx-envoy-overloaded: true\r\n/);
  waiting.pop()?.end('done');
  t.equal((await answer).status, 200);
  const again = new Promise<void>((resolve) => (arrived = resolve));
  const next = second.get();
  await again;
  waiting.pop()?.end('done');
  t.equal((await next).status, 200);
  for (const each of [first, second]) each.socket.destroy();
});

t.test('an endpoint that answers 5xx again and again is ejected, and the others take its requests', async (t) => {
  const bad = await startRawService(t, () => 'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n');
  const good = await startRawService(t, () => answerOf('fine'));
  const conf =
    '{ outlierDetection: { interval: 1h, baseEjectionTime: 1h, maxEjectionPercent: 100, detectors: { totalFailures: { consecutive: 2 } } } }';
  const policies = [meshPolicy('MeshCircuitBreaker', toMesh(conf))];
  await using zone = await startShop(t, bad.port, { policies, endpoints: [bad.port, good.port] });
  const client = await clientOf(zone, WEB);
  // The control side learns of an answer afterwards: one request above the threshold may still go
  // there.
  let failures = 0;
  let inARow = 0;
  for (let i = 0; i < 400 && inARow < 20; i++) {
    const { status } = await client.get();
    if (status === 500) failures++;
    inARow = status === 200 ? inARow + 1 : 0;
  }
  t.ok(failures >= 2, `${failures} failures`);
  t.equal(inARow, 20, 'twenty answers in a row are of the other');
  client.socket.destroy();
});

t.test('requests with the same header go to the same endpoint, where a policy hashes by it', async (t) => {
  const services = await Promise.all(['a', 'b', 'c'].map((name) => startService(t, (_, response) => void response.end(name))));
  const conf = '{ loadBalancer: { type: RingHash, ringHash: { hashPolicies: [{ type: Header, header: { name: X-User } }] } } }';
  const policies = [meshPolicy('MeshLoadBalancingStrategy', '{ to: [{ targetRef: { kind: Mesh }, default: ' + conf + ' }] }')];
  await using zone = await startShop(t, services[0] ?? 0, { policies, endpoints: services });
  const client = await clientOf(zone, WEB);
  const seen = new Set<string>();
  for (let user = 0; user < 40; user++) {
    const picked = new Set<string>();
    for (let i = 0; i < 3; i++) picked.add((await client.get('/', `X-User: u${user}\r\n`)).body);
    t.equal(picked.size, 1, `user ${user} stays`);
    for (const each of picked) seen.add(each);
  }
  t.equal(seen.size, 3, 'users are spread');
  client.socket.destroy();
});

t.test('where no more connections may be made, a request waits for one, and too many that wait are answered 503', async (t) => {
  const waiting: ServerResponse[] = [];
  let arrived = (): void => {};
  let connections = 0;
  const server = createServer((_, response) => {
    waiting.push(response);
    arrived();
  });
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  const conf = '{ connectionLimits: { maxConnections: 1, maxPendingRequests: 1 } }';
  const policies = [meshPolicy('MeshCircuitBreaker', toMesh(conf)).replace('name: p', 'name: a')];
  await using zone = await startShop(t, port, { policies });
  const clients = await Promise.all([0, 1, 2].map(() => clientOf(zone, WEB)));
  const [first, second, third] = clients as [Client, Client, Client];
  let came = new Promise<void>((resolve) => (arrived = resolve));
  const one = first.get('/1');
  await came;
  came = new Promise<void>((resolve) => (arrived = resolve));
  // One of the two waits; the process decides which.
  const others = [second.get('/2'), third.get('/3')];
  const refused = await Promise.race(others);
  t.equal(refused.status, 503);
  t.match(refused.body, /reset reason: overflow$/);
  waiting.pop()?.end('done');
  t.equal((await one).status, 200);
  await came;
  waiting.pop()?.end('done');
  const statuses = (await Promise.all(others)).map(({ status }) => status);
  t.same(statuses.sort(), [200, 503]);
  t.equal(connections, 1);
  for (const each of clients) each.socket.destroy();
});

t.test('requests at once to a service that speaks HTTP/2 share a connection from the start', async (t) => {
  let connections = 0;
  const server = createHttp2Server((request, response) => {
    request.resume();
    response.end('ok');
  });
  server.on('session', (session) => {
    connections++;
    t.teardown(() => session.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  await using zone = await startShop(t, port, { protocol: 'http2' });
  const socket = await zone.connect(WEB, zone.mesh.client('frontend'));
  const session = connectHttp2('http://web', { createConnection: () => socket });
  const statuses = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const stream = session.request({ ':path': '/' });
      const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
      stream.resume();
      await once(stream, 'close');
      return head[':status'];
    }),
  );
  t.same(new Set(statuses), new Set([200]));
  t.equal(connections, 1);
  session.close();
  await once(session, 'close');
});
