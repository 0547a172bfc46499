// HTTP and gRPC checks, from an operator's policy to what a client sees.
import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import type { Http2SecureServer } from 'node:http2';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { connect as connectHttp2 } from 'node:http2';
import t from 'tap';
import type { Test } from 'tap';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { readUntilGone } from './http-zone.ts';
import { until } from './until.ts';
import { startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const HOST = 'api.partner.test';
const WEB = encodeHashSni({ kind: 'mes', name: 'web', mesh: 'default', port: 80 });
const partner = await createTestMesh('partner', { keyType: 'ec' });
const certificate = partner.issue({ uris: [], dns: [HOST] });

async function listen(t: Test, server: Server | Http2SecureServer): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

function startWeb(t: Test, protocol: string, ports: readonly number[], check: string): Promise<Zone> {
  const pace = 'interval: 50ms, noTrafficInterval: 50ms, timeout: 60s';
  return startZone(t, {
    concurrency: 2,
    lookup: async () => ['127.0.0.1'],
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: () => `type: MeshExternalService
name: web
mesh: default
spec:
  match: { type: HostnameGenerator, port: 80, protocol: ${protocol} }
  endpoints: [${ports.map((port) => `{ address: ${HOST}, port: ${port} }`).join(', ')}]
  tls: { enabled: true, verification: { mode: Secured, caCert: { inlineString: ${JSON.stringify(partner.ca.cert)} } } }
---
type: MeshHealthCheck
name: web
mesh: default
spec: { to: [{ targetRef: { kind: MeshExternalService, name: web }, default: { ${pace}, ${check} } }] }
`,
  });
}

async function hasEndpoints(zone: Zone, health: string, count: number): Promise<boolean> {
  return (await zone.egress.metrics()).split('\n').includes(`zone_egress_endpoints{health="${health}"} ${count}`);
}

t.test('requests go to no endpoint that answers its check badly, over the TLS and with the host of requests', async (t) => {
  const seen = new Set<string>();
  const well = [true, true];
  const ports = await Promise.all(
    well.map((_, i) =>
      listen(
        t,
        createServer(certificate, (request, response) => {
          const { host, authorization } = request.headers;
          if (request.url === '/up') seen.add(`${host} ${authorization}`);
          const isBad = request.url === '/up' && well[i] === false;
          response.writeHead(isBad ? 503 : 204, { 'x-endpoint': String(i) }).end();
        }),
      ),
    ),
  );
  const headers = 'requestHeadersToAdd: { set: [{ name: Authorization, value: Bearer x }] }';
  await using zone = await startWeb(t, 'http', ports, `http: { path: /up, expectedStatuses: [204], ${headers} }`);
  t.same(zone.egress.problems(), [], 'nothing is said not to be supported');
  const answering = async (): Promise<string[]> => {
    const endpoints = new Set<string>();
    for (let i = 0; i < 6; i++) {
      const socket = await zone.connect(WEB, zone.mesh.client('frontend'));
      const answer = await readUntilGone(socket, 'GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
      endpoints.add(/x-endpoint: (\d)/.exec(answer)?.[1] ?? answer);
    }
    return [...endpoints].sort();
  };
  await until('a check of each', async () => seen.size > 0 && (await hasEndpoints(zone, 'healthy', 2)));
  t.same(await answering(), ['0', '1']);
  well[1] = false;
  await until('one to be unhealthy', () => hasEndpoints(zone, 'unhealthy', 1));
  t.same(await answering(), ['0']);
  well[1] = true;
  await until('both to be healthy', () => hasEndpoints(zone, 'healthy', 2));
  t.same(await answering(), ['0', '1']);
  t.same([...seen], [`${HOST} Bearer x`]);
});

t.test('a service of gRPC that is not serving is left alone', async (t) => {
  let state = 1;
  const seen = new Set<string>();
  const server = createSecureServer(certificate);
  server.on('stream', (stream, headers) => {
    const isCheck = headers[':path'] === '/grpc.health.v1.Health/Check';
    if (isCheck) seen.add(headers[':authority'] ?? '');
    stream.resume();
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(isCheck ? Buffer.from([0, 0, 0, 0, 2, 8, state]) : '');
  });
  const port = await listen(t, server);
  await using zone = await startWeb(t, 'grpc', [port], 'failTrafficOnPanic: true, grpc: { serviceName: api }');
  const call = async (): Promise<Record<string, unknown>> => {
    const socket = await zone.connect(WEB, zone.mesh.client('frontend'));
    const session = connectHttp2('http://web', { createConnection: () => socket });
    const stream = session.request({ ':method': 'POST', ':path': '/api/Do', 'content-type': 'application/grpc' });
    let all: Record<string, unknown> = {};
    // Both may come in one turn of the loop.
    for (const event of ['response', 'trailers'])
      stream.on(event, (headers: Record<string, unknown>) => (all = { ...all, ...headers }));
    stream.end().resume();
    await once(stream, 'close');
    session.destroy();
    return all;
  };
  await until('a check', async () => seen.size > 0 && (await hasEndpoints(zone, 'healthy', 1)));
  t.match(await call(), { ':status': 200, 'grpc-status': '0' });
  state = 2;
  await until('it to be unhealthy', () => hasEndpoints(zone, 'unhealthy', 1));
  t.match(await call(), { ':status': 200, 'grpc-status': '14', 'grpc-message': 'no healthy upstream' });
  t.same([...seen], [HOST]);
});
