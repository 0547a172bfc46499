import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

export interface FakeExternalServiceOptions {
  /** Absent: plain TCP. With `clientCa` a client certificate under it is demanded. */
  readonly tls?: {
    readonly cert: string;
    readonly key: string;
    readonly clientCa?: string;
    readonly alpn?: readonly string[];
    readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
  };
  /** What it does with a connection; default: echoes, and ends when the client ends. */
  readonly onConnection?: (socket: Socket) => void;
  readonly address?: string;
  readonly port?: number;
}

/** Something outside of the mesh, on loopback. */
export interface FakeExternalService extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** Connections accepted so far; with TLS, handshakes done. */
  readonly connections: () => number;
  close(): Promise<void>;
}

export async function createFakeExternalService(options: FakeExternalServiceOptions = {}): Promise<FakeExternalService> {
  const { tls, onConnection = echo, address = '127.0.0.1' } = options;
  let connections = 0;
  const open = new Set<Socket>();
  function onSocket(socket: Socket): void {
    connections++;
    // With TLS only from here on: a client that ends amid its handshake would stay until close().
    socket.allowHalfOpen = true;
    socket.on('error', ignoreError);
    onConnection(socket);
  }
  const server: Server =
    tls === undefined
      ? createTcpServer({ allowHalfOpen: true }, onSocket)
      : createTlsServer(
          {
            cert: tls.cert,
            key: tls.key,
            ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
            ...(tls.alpn === undefined ? {} : { ALPNProtocols: [...tls.alpn] }),
            ...(tls.maxVersion === undefined ? {} : { maxVersion: tls.maxVersion }),
          },
          onSocket,
        );
  server.on('tlsClientError', ignoreError);
  // With TLS too these are the TCP connections: one that ends amid its handshake is never heard of again.
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', ignoreError);
    socket.on('close', () => open.delete(socket));
  });
  const port = await listen(server, { address, port: options.port ?? 0 });
  const close = (): Promise<void> => {
    for (const socket of open) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return { address, port, connections: () => connections, close, [Symbol.asyncDispose]: close };
}

export function listen(server: Server, at: { readonly address: string; readonly port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: at.address, port: at.port, backlog: 4_096 }, () => {
      server.removeListener('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Sends back what comes, with back-pressure. */
export function echo(socket: Socket): void {
  socket.on('data', (chunk: Buffer) => {
    if (!socket.write(chunk)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  socket.on('end', () => socket.end());
}

function ignoreError(): void {
  // A fake outlives whatever its clients do.
}
