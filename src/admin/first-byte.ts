/**
 * A listener whose connections show by their first byte whether they speak TLS, as in Envoy's
 * tls_inspector. Few may be without a finished handshake, each for a short time.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { listenOn } from './listen-on.ts';
import type { ListenOn } from './listen-on.ts';

export interface FirstByteOptions extends ListenOn {
  readonly clock: Clock;
  /** Gets a connection that does not speak TLS, paused, with its first bytes. */
  readonly plain: (socket: Socket) => void;
  /** Returns the server that makes the handshake; null ends the connection. */
  readonly tls: () => TlsServer | null | Promise<TlsServer | null>;
  readonly fault: (error: unknown) => void;
}

export interface FirstByteListener {
  readonly address: string;
  readonly port: number;
  /**
   * Takes a connection out of those that are waited for, once its protocol or its handshake is
   * known. False for one that was given up.
   */
  settle(socket: Socket): boolean;
  /** Accepts no new connections, and ends those that are waited for. */
  close(): Promise<void>;
}

interface Pending {
  readonly socket: Socket;
  done(): void;
}

/** Bounds the time from accept to the first byte, and from there to the end of the handshake. */
const SETUP_MS = 5_000;
/** The most connections without a finished handshake; a new one ends the oldest. */
const MAX_PENDING = 64;
const MAX_CONNECTIONS = 512;
const TLS_HANDSHAKE = 0x16;

export async function listenByFirstByte(options: FirstByteOptions): Promise<FirstByteListener> {
  const { clock, plain, tls, fault } = options;
  const pending = new Map<string, Pending>();

  function accept(socket: Socket): void {
    socket.on('error', ignoreError);
    addPending(pending, socket, clock);
    socket.once('data', (first) => {
      socket.pause();
      socket.unshift(first);
      if (first[0] === TLS_HANDSHAKE) handshake(socket);
      else plain(socket);
    });
  }

  function handshake(socket: Socket): void {
    const begin = (server: TlsServer | null): void => {
      if (server === null) socket.destroy();
      else if (!socket.destroyed) server.emit('connection', socket);
    };
    const server = tls();
    if (!(server instanceof Promise)) return begin(server);
    server.then(begin, (error: unknown) => {
      socket.destroy();
      fault(error);
    });
  }

  const server = createServer({ noDelay: true }, accept);
  server.maxConnections = MAX_CONNECTIONS;
  await listenOn(server, options);
  server.on('error', fault);
  const { address, port } = server.address() as AddressInfo;
  return {
    address,
    port,
    settle(socket) {
      const waiting = pending.get(peerOf(socket));
      waiting?.done();
      return waiting !== undefined;
    },
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      for (const { socket } of pending.values()) socket.destroy();
      await closed;
    },
  };
}

function addPending(pending: Map<string, Pending>, socket: Socket, clock: Clock): void {
  makeRoom(pending);
  const timer = clock.after(SETUP_MS, () => socket.destroy());
  const key = peerOf(socket);
  const done = (): void => {
    timer.cancel();
    if (pending.get(key)?.socket === socket) pending.delete(key);
  };
  pending.set(key, { socket, done });
  socket.on('close', done);
}

function makeRoom(pending: Map<string, Pending>): void {
  if (pending.size < MAX_PENDING) return;
  const [oldest] = pending.values();
  oldest?.done();
  oldest?.socket.destroy();
}

/** A TLS socket has the addresses of the connection below it. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''}|${socket.remotePort ?? 0}`;
}
