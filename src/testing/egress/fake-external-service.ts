import { createServer as createTcpServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { ignoreError } from '../../base/ignore-error.ts';
import { callback, listOf, name, oneOf, options, port as portNumber, text } from '../../base/shape.ts';
import type { Check } from '../../base/shape.ts';
import { boundPort } from '../../base/bound-port.ts';
import { HttpService } from './served-requests.ts';
import type { ServedRequest } from './served-requests.ts';
import type { History } from './session-history.ts';

export interface FakeExternalServiceOptions {
  /** Absent means plain TCP. With `clientCa` it demands a client certificate under that CA. */
  readonly tls?: {
    readonly cert: string;
    readonly key: string;
    readonly clientCa?: string;
    readonly alpn?: readonly string[];
    readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
  };
  /** Its reaction to a connection. Default: `echo`. */
  readonly behaviour?: Behaviour;
  /** The same as a function; it overrides `behaviour`. */
  readonly onConnection?: (socket: Socket) => void;
  readonly address?: string;
  readonly port?: number;
}

/**
 * `echo` returns all bytes and ends when the client ends; `discard` reads and sends nothing;
 * `silent` does not even read; `http` answers every request with 200 and its method, path and
 * headers as JSON, and keeps it in `requests`.
 */
export type Behaviour = 'echo' | 'discard' | 'silent' | 'close' | 'reset' | 'http';

/** A service outside of the mesh, on loopback. It does not hold the process open. */
export interface FakeExternalService extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** Counts accepted connections; with TLS, finished handshakes. */
  readonly connections: () => number;
  /** Requests that were read completely; empty for behaviours other than `http`. */
  readonly requests: History<ServedRequest>;
  close(): Promise<void>;
}

export async function createFakeExternalService(given: FakeExternalServiceOptions = {}): Promise<FakeExternalService> {
  externalServiceOptions(given, 'createFakeExternalService');
  const { tls, address = '127.0.0.1' } = given;
  const http = new HttpService();
  const behaves = given.behaviour ?? 'echo';
  const onConnection = given.onConnection ?? (behaves === 'http' ? (socket: Socket) => http.take(socket) : BEHAVIOURS[behaves]);
  let connections = 0;
  const open = new Set<Socket>();
  function onSocket(socket: Socket): void {
    connections++;
    // With TLS only from here on: a client that ends during its handshake would stay until close().
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
  // With TLS too these are the TCP connections: the TLS server emits nothing for one that ends
  // during its handshake.
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.unref();
    socket.on('error', ignoreError);
    socket.on('close', () => open.delete(socket));
  });
  const port = await listen(server, { address, port: given.port ?? 0 });
  server.unref();
  const close = (): Promise<void> => {
    http.close();
    for (const socket of open) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return { address, port, connections: () => connections, requests: http.requests, close, [Symbol.asyncDispose]: close };
}

export function listen(server: Server, at: { readonly address: string; readonly port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: at.address, port: at.port, backlog: 4_096 }, () => {
      server.removeListener('error', reject);
      resolve(boundPort(server));
    });
  });
}

/** The behaviours of a service by name. */
export const BEHAVIOURS: Readonly<Record<Behaviour, (socket: Socket) => void>> = {
  echo,
  discard: (socket) => {
    socket.on('end', () => socket.end());
    socket.resume();
  },
  silent: (socket) => void socket.pause(),
  close: (socket) => {
    socket.resume();
    socket.end();
  },
  reset: (socket) => void socket.resetAndDestroy(),
  http: (socket) => new HttpService().take(socket),
};

export const behaviour: Check = oneOf(Object.keys(BEHAVIOURS));

const serverTls = options<NonNullable<FakeExternalServiceOptions['tls']>>(
  { cert: text, key: text, clientCa: text, alpn: listOf(text), maxVersion: oneOf(['TLSv1.2', 'TLSv1.3']) },
  ['cert', 'key'],
);

const externalServiceOptions: Check = options<FakeExternalServiceOptions>({
  tls: serverTls,
  behaviour,
  onConnection: callback,
  address: name,
  port: portNumber,
});

/** Returns all bytes, with back-pressure. */
export function echo(socket: Socket): void {
  socket.on('data', (chunk: Buffer) => {
    if (!socket.write(chunk)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  socket.on('end', () => socket.end());
}
