import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { readUntilGone, shopService, SHOP } from './http-zone.ts';
import { CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: string;
}

interface Service {
  readonly port: number;
  readonly seen: Seen[];
  readonly connections: () => number;
  close(): Promise<void>;
}

async function startService(
  answer?: (request: IncomingMessage, response: ServerResponse, body: string) => void,
): Promise<Service> {
  const seen: Seen[] = [];
  let connections = 0;
  const server: Server = createServer((request, response) => {
    let body = '';
    request.setEncoding('latin1');
    request.on('data', (text: string) => (body += text));
    request.on('end', () => {
      seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.rawHeaders, body });
      if (answer !== undefined) return answer(request, response, body);
      response.setHeader('X-Kept', 'Yes');
      response.end(`hello ${request.headers.host}`);
    });
  });
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    connections: () => connections,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function startHttpZone(t: Test, port: number, concurrency: 1 | 2 = 1): Promise<Zone> {
  return startZone(t, {
    concurrency,
    lookup: async () => ['127.0.0.1'],
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: () => `type: MeshExternalService
name: web
mesh: default
spec:
  match: { type: HostnameGenerator, port: 80, protocol: http }
  endpoints: [{ address: web.partner.test, port: ${port} }]
---
${shopService(`shop.partner.test:${port}`, { clients: ['frontend'] })}`,
  });
}

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('the service reads its own name in Host, and what Envoy adds', async (t) => {
      const service = await startService();
      t.teardown(() => service.close());
      await using zone = await startHttpZone(t, service.port, concurrency);
      const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
      const answer = await readUntilGone(
        socket,
        'GET /p?q=1 HTTP/1.1\r\nHost: shop.mesh\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: close, x-mine\r\nX-Mine: 1\r\n\r\n',
      );
      t.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
      t.match(answer, /hello shop\.partner\.test$/);
      t.match(answer, /\r\nserver: envoy\r\n/);
      t.match(answer, /\r\nx-kept: Yes\r\n/);
      t.match(answer, /\r\nx-envoy-upstream-service-time: \d+\r\n/);
      t.match(answer, /\r\nconnection: close\r\n/);
      t.match(service.seen, [{ method: 'GET', url: '/p?q=1' }]);
      const [first] = service.seen;
      t.same(first?.headers.slice(0, 2), ['host', 'shop.partner.test']);
      t.same(first?.headers.slice(4, 8), ['x-forwarded-for', '1.2.3.4', 'x-forwarded-proto', 'https']);
      t.ok(first?.headers.includes('x-envoy-original-host') && first.headers.includes('shop.mesh'));
      t.notOk(first?.headers.includes('x-mine'));
      t.match(await zone.record(({ destination }) => destination === 'shop'), { reason: 'closed', attempts: 1 });
    });

    t.test('a client that is denied reads 403, and the service hears nothing', async (t) => {
      const service = await startService();
      t.teardown(() => service.close());
      await using zone = await startHttpZone(t, service.port, concurrency);
      const socket = await zone.connect(SHOP, zone.mesh.client('batch'));
      const answer = await readUntilGone(socket, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      t.match(answer, /^HTTP\/1\.1 403 Forbidden\r\ncontent-length: 19\r\ncontent-type: text\/plain\r\n/);
      t.match(answer, /\r\n\r\nRBAC: access denied$/);
      t.equal(service.seen.length, 0);
      t.match(await zone.record(({ destination }) => destination === 'shop'), { reason: 'denied' });
    });

    t.test('requests of one connection share a connection to the service', async (t) => {
      const service = await startService();
      t.teardown(() => service.close());
      await using zone = await startHttpZone(t, service.port, concurrency);
      const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
      const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
      const post = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n';
      const answer = await readUntilGone(socket, `${get}${post}${get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')}`);
      t.equal(answer.match(/HTTP\/1\.1 200 OK/g)?.length, 3);
      t.same(
        service.seen.map(({ method, body }) => [method, body]),
        [
          ['GET', ''],
          ['POST', 'hello'],
          ['GET', ''],
        ],
      );
      t.equal(service.connections(), 1);
    });

    t.test('HTTP/2 from the client, HTTP/1.1 to the service', async (t) => {
      const service = await startService();
      t.teardown(() => service.close());
      await using zone = await startHttpZone(t, service.port, concurrency);
      const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
      const session = connectHttp2('https://shop.mesh', { createConnection: () => socket });
      const stream = session.request({ ':method': 'POST', ':path': '/h2' });
      const head = once(stream, 'response');
      stream.end('body');
      const [headers] = (await head) as [Record<string, unknown>];
      t.match(headers, { ':status': 200, server: 'envoy', 'x-kept': 'Yes' });
      stream.setEncoding('utf8');
      let text = '';
      for await (const chunk of stream) text += String(chunk);
      t.equal(text, 'hello shop.partner.test');
      t.match(service.seen, [{ method: 'POST', url: '/h2', body: 'body' }]);
      session.close();
      await gone(socket);
    });

    t.test('what is ambiguous is refused, and no byte of it arrives', async (t) => {
      const service = await startService();
      t.teardown(() => service.close());
      await using zone = await startHttpZone(t, service.port, concurrency);
      const cases = [
        ['GET / HTTP/1.1\r\n\r\n', 400],
        ['GET / HTTP/1.0\r\nHost: a\r\n\r\n', 426],
        ['hello\r\n\r\n', 400],
        ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
        ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc', 400],
        ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n', 501],
        ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
        ['GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n', 403],
        ['CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 404],
        [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, 431],
      ] as const;
      // Each connection stays for a second after its answer, so they wait together.
      const play = async ([bytes, status]: (typeof cases)[number]): Promise<void> => {
        const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
        const answer = await readUntilGone(socket, bytes);
        t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(bytes.slice(0, 90)));
        t.match(answer, /\r\nconnection: close\r\n/);
      };
      await Promise.all(cases.map(play));
      t.equal(service.seen.length, 0);
    });
  });
}
