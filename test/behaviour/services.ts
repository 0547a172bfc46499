// The external services of the recording with Envoy, each on its own port on loopback.
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createFakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import type { FakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';

export interface Services extends AsyncDisposable {
  /** Keyed by the recorded port. */
  readonly ports: ReadonlyMap<number, number>;
  readonly zone2: FakeZoneIngress;
  readonly zone3: FakeZoneIngress;
  /** Returns how the last connection to the service that only reads ended. */
  readonly sink: () => string;
  /** Returns the number of bytes that it has read. */
  readonly sinkRead: () => number;
  /** Returns the number of bytes read by the service that had ended its half. */
  readonly bannerRead: () => number;
}

export async function startServices(mesh: TestMesh, external: TestMesh): Promise<Services> {
  const tls = external.issue({ uris: [], dns: ['tls.ext.test', 'alt.ext.test'] });
  const destination = { ...mesh.client('backend'), trust: mesh.ca.cert };
  let sunk = '';
  let length = 0;
  function sink(socket: Socket): void {
    sunk = '';
    length = 0;
    socket.on('data', (chunk: Buffer) => (length += chunk.length));
    socket.on('end', () => {
      sunk = `the service read ${length} bytes and an end`;
      socket.end();
    });
    socket.on('error', () => (sunk ||= `the service read ${length} bytes and a reset`));
  }
  let afterBanner = 0;
  function saysAndEnds(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => (afterBanner += chunk.length));
    socket.end('banner\n');
  }
  const answersHttp = createHttpServer((request, response) => {
    let bodyBytes = 0;
    request.on('data', (chunk: Buffer) => (bodyBytes += chunk.length));
    request.on('end', () => {
      const headers = request.rawHeaders.flatMap((name, i, all) => (i % 2 === 0 ? [[name, all[i + 1]]] : []));
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ request: `${request.method} ${request.url} HTTP/1.1`, headers, body_bytes: bodyBytes }));
    });
  });
  answersHttp.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n'));
  const http = (socket: Socket): void => void answersHttp.emit('connection', socket);
  const hole = await createBlackhole();
  const [zone2, zone3, echo, ...others] = await Promise.all([
    createFakeZoneIngress(destination),
    createFakeZoneIngress(destination),
    createFakeExternalService(),
    createFakeExternalService({ onConnection: http }),
    createFakeExternalService({ onConnection: countsUntilTheEnd }),
    createFakeExternalService({ onConnection: saysAndEnds }),
    createFakeExternalService({ onConnection: (socket) => void socket.once('data', () => socket.resetAndDestroy()) }),
    createFakeExternalService({ onConnection: sink }),
    createFakeExternalService({ tls }),
    createFakeExternalService({ tls, onConnection: http }),
    createFakeExternalService({ tls: { ...tls, clientCa: external.ca.cert } }),
  ]);
  const recorded = [18_080, 18_082, 18_083, 18_084, 18_086, 18_443, 18_444, 18_445];
  return {
    ports: new Map([
      [20_001, zone2.port],
      [10_001, zone3.port],
      [18_081, echo.port],
      [18_087, echo.port],
      ...recorded.map((port, i): [number, number] => [port, others[i]!.port]),
      [18_098, hole.port],
      [18_085, await freePort()],
      [18_099, await freePort()],
    ]),
    zone2,
    zone3,
    sink: () => sunk,
    sinkRead: () => length,
    bannerRead: () => afterBanner,
    async [Symbol.asyncDispose]() {
      answersHttp.close();
      await Promise.all([hole, zone2, zone3, echo, ...others].map((service) => service[Symbol.asyncDispose]()));
    },
  };
}

function countsUntilTheEnd(socket: Socket): void {
  let length = 0;
  socket.on('data', (chunk: Buffer) => (length += chunk.length));
  socket.on('end', () => socket.end(`got ${length} bytes\n`));
}

/**
 * Makes a listener with a full accept queue: the kernel drops further connections, as a firewall
 * does.
 */
async function createBlackhole(): Promise<AsyncDisposable & { readonly port: number }> {
  const worker = new Worker(
    `const { createServer } = require('node:net');
     const { parentPort } = require('node:worker_threads');
     const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
     });`,
    { eval: true, execArgv: [] },
  );
  const [port] = (await once(worker, 'message')) as [number];
  const fillers = [0, 1].map(() => connect({ port, host: '127.0.0.1' }).on('error', () => {}));
  await Promise.all(fillers.map((socket) => once(socket, 'connect')));
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of fillers) socket.destroy();
      await worker.terminate();
    },
  };
}
