/**
 * The one TLS port of a DP server with its certificate: ALPN chooses gRPC with ADS, or HTTP/1.1
 * with the bootstrap.
 */
import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ConnectionInjector, ServerDuplexStream, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { systemClock } from '../../base/clock.ts';
import { ignoreError } from '../../base/ignore-error.ts';
import { generateKey, issueCertificate, selfSigned } from '../../identity/issue.ts';
import type { CertificateAndKey } from '../../identity/issue.ts';
import type { AdsProtocol } from '../../xds/messages/ads-state.ts';
import type { FakeBootstrapAnswer, FakeBootstrapRequest } from './fake-bootstrap.ts';
import { listen } from '../egress/fake-external-service.ts';

const ADS_SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const METHODS = { StreamAggregatedResources: 'sotw', DeltaAggregatedResources: 'delta' } as const;
/** The time in which ended streams may send their status, in real time. */
const GRACE_MS = 500;
const DAY_MS = 24 * 3_600_000;

export type AdsCall = ServerDuplexStream<Uint8Array, Uint8Array>;

export interface ControlPlanePort {
  readonly port: number;
  /** Cuts the connections and keeps listening. */
  drop(): void;
  /** Waits until ended streams have sent their status. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

/** The fake encodes messages itself, so that it can send bytes that are no message. */
const STREAM_OF_BYTES = {
  requestStream: true,
  responseStream: true,
  requestSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
  requestDeserialize: (bytes: Buffer) => bytes,
  responseSerialize: (response: Uint8Array) => Buffer.from(response),
  responseDeserialize: (bytes: Buffer) => bytes,
};

export async function openPort(options: {
  readonly address: string;
  readonly port: number;
  readonly certificate: CertificateAndKey;
  readonly onStream: (call: AdsCall, protocol: AdsProtocol) => void;
  readonly onBootstrap: (request: FakeBootstrapRequest) => FakeBootstrapAnswer;
}): Promise<ControlPlanePort> {
  const { address, certificate, onStream, onBootstrap } = options;
  const open = new Set<Socket>();
  const grpc = new Server();
  const methods = Object.keys(METHODS).map((name) => [name, { ...STREAM_OF_BYTES, path: `${ADS_SERVICE}/${name}` }]);
  const handlers = Object.entries(METHODS).map(([name, protocol]) => [name, (call: AdsCall) => onStream(call, protocol)]);
  grpc.addService(Object.fromEntries(methods) as ServiceDefinition, Object.fromEntries(handlers) as UntypedServiceImplementation);
  const injector: ConnectionInjector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const http: HttpServer = createHttpServer((request, response) => void answerHttp(request, response, onBootstrap));
  const front: TlsServer = createTlsServer(
    { cert: certificate.cert, key: certificate.key, minVersion: 'TLSv1.2', ALPNProtocols: ['h2', 'http/1.1'] },
    (socket: TLSSocket) => {
      socket.on('error', ignoreError);
      if (socket.alpnProtocol === 'h2') injector.injectConnection(socket);
      else http.emit('connection', socket);
    },
  );
  front.on('tlsClientError', ignoreError);
  front.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', ignoreError);
    socket.on('close', () => open.delete(socket));
  });
  const port = await listen(front, { address, port: options.port });

  function drop(): void {
    for (const socket of open) socket.destroy();
  }
  async function close(): Promise<void> {
    const closed = new Promise<void>((resolve) => front.close(() => resolve()));
    drop();
    grpc.forceShutdown();
    await closed;
  }
  return {
    port,
    drop,
    async stop() {
      const ended = [...open].map((socket) => once(socket, 'close'));
      grpc.tryShutdown(ignoreError);
      http.closeAllConnections();
      const grace = new Promise<void>((resolve) => void systemClock({ keepAlive: false }).after(GRACE_MS, resolve));
      await Promise.race([Promise.allSettled(ended), grace]);
      await close();
    },
    close,
  };
}

async function answerHttp(
  request: IncomingMessage,
  response: ServerResponse,
  onBootstrap: (request: FakeBootstrapRequest) => FakeBootstrapAnswer,
): Promise<void> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    // The client went away during its request.
    return;
  }
  const { status, contentType, body } = onBootstrap({
    method: request.method ?? '',
    path: (request.url ?? '').replace(/\?.*$/, ''),
    headers: request.headers,
    body: Buffer.concat(chunks).toString(),
  });
  response.writeHead(status, contentType === undefined ? {} : { 'content-type': contentType });
  response.end(body);
}

export interface ServerTls {
  readonly caCert: string;
  readonly server: CertificateAndKey;
}

export async function serverCertificate(address: string, kind: 'issued' | 'self-signed'): Promise<ServerTls> {
  const nowMs = Date.now();
  const names = { dns: ['localhost'], ips: [...new Set([address, '127.0.0.1'])] };
  const dates = { notBefore: nowMs - 10_000, notAfter: nowMs + 30 * DAY_MS };
  const ca = { pathLength: null };
  if (kind === 'self-signed') {
    const server = selfSigned({
      key: await generateKey('ec'),
      ...names,
      ...dates,
      ca,
      keyUsage: ['digitalSignature', 'keyEncipherment', 'keyCertSign'],
      eku: ['serverAuth'],
    });
    return { caCert: server.cert, server };
  }
  const subject = [['CN', 'throw-away control plane CA']] as const;
  const authority = selfSigned({ key: await generateKey('ec'), subject, ...dates, ca, keyUsage: ['keyCertSign', 'cRLSign'] });
  const key = await generateKey('ec');
  const cert = issueCertificate({
    caCert: authority.cert,
    caKey: authority.key,
    publicKey: key,
    ...names,
    ...dates,
    keyUsage: ['digitalSignature', 'keyEncipherment'],
    eku: ['serverAuth'],
  });
  return { caCert: authority.cert, server: { cert, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() } };
}
