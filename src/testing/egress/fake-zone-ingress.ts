import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { ignoreError } from '../../base/ignore-error.ts';
import { callback, name, options, port as portNumber, text } from '../../base/shape.ts';
import type { Check } from '../../base/shape.ts';
import { parseClientHello } from '../../wire/client-hello.ts';
import { BEHAVIOURS, behaviour, listen } from './fake-external-service.ts';
import type { Behaviour } from './fake-external-service.ts';

export interface FakeZoneIngressOptions {
  /** The destination's own mesh certificate: TLS goes through from the client to it. */
  readonly cert: string;
  readonly key: string;
  /** CA of the mesh: the destination verifies clients, the egress in between does not. */
  readonly trust: string;
  /** The destination's reaction to a connection. Default: `echo`. */
  readonly behaviour?: Behaviour;
  readonly onConnection?: (socket: TLSSocket) => void;
  readonly address?: string;
  readonly port?: number;
}

export interface IngressConnection {
  readonly sni: string | null;
  /** The first bytes as they arrived: the ClientHello, and the rest of the same read. */
  readonly firstBytes: Buffer;
}

/**
 * The zone ingress of another zone with one service behind it, on loopback. It keeps what arrived,
 * so that a test can compare it with what was sent.
 */
export interface FakeZoneIngress extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly connections: readonly IngressConnection[];
  /**
   * Sets another certificate for the destination, and other trust, after a rotation. Open
   * connections continue.
   */
  renew(of: Pick<FakeZoneIngressOptions, 'cert' | 'key' | 'trust'>): void;
  close(): Promise<void>;
}

const zoneIngressOptions: Check = options<FakeZoneIngressOptions>(
  { cert: text, key: text, trust: text, behaviour, onConnection: callback, address: name, port: portNumber },
  ['cert', 'key', 'trust'],
);

export async function createFakeZoneIngress(given: FakeZoneIngressOptions): Promise<FakeZoneIngress> {
  zoneIngressOptions(given, 'createFakeZoneIngress');
  const { cert, key, trust, address = '127.0.0.1' } = given;
  const onConnection = given.onConnection ?? BEHAVIOURS[given.behaviour ?? 'echo'];
  const connections: IngressConnection[] = [];
  const open = new Set<Socket>();
  const destination = createTlsServer({ cert, key, ca: trust, requestCert: true, rejectUnauthorized: true }, (socket) => {
    socket.allowHalfOpen = true;
    socket.on('error', ignoreError);
    onConnection(socket);
  });
  destination.on('tlsClientError', ignoreError);

  // Half-open only after the handshake: a client that ends during it would stay until close().
  const front = createServer((socket) => {
    open.add(socket);
    socket.unref();
    socket.on('error', ignoreError);
    socket.on('close', () => open.delete(socket));
    let firstBytes = Buffer.alloc(0);
    socket.on('data', function onData(chunk: Buffer) {
      firstBytes = Buffer.concat([firstBytes, chunk]);
      const result = parseClientHello(firstBytes);
      if (result.kind === 'incomplete') return;
      socket.pause();
      socket.removeListener('data', onData);
      connections.push({ sni: result.kind === 'hello' ? result.hello.serverName : null, firstBytes });
      if (result.kind !== 'hello') return void socket.destroy();
      socket.unshift(firstBytes);
      destination.emit('connection', socket);
    });
  });
  const port = await listen(front, { address, port: given.port ?? 0 });
  front.unref();
  const close = (): Promise<void> => {
    for (const socket of open) socket.destroy();
    return new Promise((resolve) => front.close(() => resolve()));
  };
  return {
    address,
    port,
    connections,
    renew: (of) => destination.setSecureContext({ cert: of.cert, key: of.key, ca: of.trust }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
