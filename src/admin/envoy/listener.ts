/**
 * The admin listener that a control plane asks for: one port, on which some paths are open and all
 * others need a certificate that the control plane names. The first byte of a connection decides,
 * as in Envoy's tls_inspector. Connections are many and short: the control plane opens one for each
 * request and leaves it open.
 */
import { constants } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { ignoreError } from '../../base/ignore-error.ts';
import { readCertificate } from '../../identity/der.ts';
import type { AdminChanges } from '../changes/changes.ts';
import { handleHttp } from '../http.ts';
import type { HandleOptions, HttpHandler } from '../http.ts';
import { listenOn } from '../listen-on.ts';
import type { EnvoyPage } from './pages.ts';

export interface EnvoyListenerOptions {
  readonly clock: Clock;
  readonly address: string;
  readonly port: number;
  readonly page: EnvoyPage;
  /** Takes changes of clients with the certificate; absent takes none. */
  readonly changes?: AdminChanges;
  readonly fault: (error: unknown) => void;
}

/** The settings that may change while it is open; open connections keep what they began with. */
export interface EnvoyAccess {
  readonly plaintextPaths: readonly string[];
  /** PEM texts; null refuses every TLS client. */
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa: string; readonly clientName: string } | null;
}

export interface EnvoyListener {
  readonly address: string;
  readonly port: number;
  /** Throws where OpenSSL refuses the certificate; the previous one then stays. */
  allow(access: EnvoyAccess): void;
  /** Accepts no new connections, ends waiting ones, and finishes answers in progress. */
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

export async function createEnvoyListener(options: EnvoyListenerOptions): Promise<EnvoyListener> {
  const { clock, page, changes, fault } = options;
  const pending = new Map<string, Pending>();
  let plaintextPaths: readonly string[] = [];
  let tls: TlsServer | null = null;
  const clientNames = new WeakMap<Socket, string>();

  const isPlaintext = (path: string): boolean => plaintextPaths.some((prefix) => path.startsWith(prefix));
  const openPage: EnvoyPage = (path, search, method, accept) => (isPlaintext(path) ? page(path, search, method, accept) : null);
  const open: HttpHandler = handleHttp({ fault, anyMethod: true, page: openPage }, clock);
  const trusted: HttpHandler = handleHttp({ fault, anyMethod: true, page, change: changesOf(changes, clientNames) }, clock);

  function accept(socket: Socket): void {
    socket.on('error', ignoreError);
    const done = addPending(pending, socket, clock);
    socket.once('data', (first) => {
      socket.pause();
      socket.unshift(first);
      if (first[0] !== TLS_HANDSHAKE) {
        done();
        open.take(socket);
        socket.resume();
      } else if (tls === null) socket.destroy();
      else tls.emit('connection', socket);
    });
  }

  const server = createServer({ noDelay: true }, accept);
  server.maxConnections = MAX_CONNECTIONS;

  function secured(socket: TLSSocket, clientName: string): void {
    socket.on('error', ignoreError);
    const waiting = pending.get(peerOf(socket));
    waiting?.done();
    if (waiting === undefined || !socket.authorized || !isNamed(socket, clientName)) {
      socket.destroy();
      return;
    }
    clientNames.set(socket, clientName);
    trusted.take(socket);
  }

  await listenOn(server, { ...options, name: 'the control plane' });
  server.on('error', fault);
  const bound = server.address() as AddressInfo;

  return {
    address: bound.address,
    port: bound.port,
    allow(access) {
      tls = access.tls === null ? null : tlsServer(access.tls, secured);
      plaintextPaths = access.plaintextPaths;
    },
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      for (const { socket } of pending.values()) socket.destroy();
      await Promise.all([open.close(), trusted.close(), closed]);
    },
  };
}

function changesOf(changes: AdminChanges | undefined, names: WeakMap<Socket, string>): NonNullable<HandleOptions['change']> {
  return (request, target) =>
    changes?.handle(request, target, { kind: 'certificate', name: names.get(request.socket) ?? '' }) ?? null;
}

/** The server never listens. No session is resumed: each connection shows its certificate. */
function tlsServer(access: NonNullable<EnvoyAccess['tls']>, secured: (socket: TLSSocket, clientName: string) => void): TlsServer {
  const { cert, key, clientCa, clientName } = access;
  const server = createTlsServer({
    cert,
    key,
    ca: clientCa,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  server.on('secureConnection', (socket) => secured(socket, clientName));
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

function isNamed(socket: TLSSocket, name: string): boolean {
  const certificate = socket.getPeerX509Certificate();
  const read = certificate === undefined ? null : readCertificate(certificate.raw);
  if (read?.kind !== 'certificate') return false;
  return read.certificate.altNames.some(({ kind, bytes }) => kind === 'dns' && bytes.toString('latin1') === name);
}

/** Returns the function to call when the connection has shown its protocol or certificate. */
function addPending(pending: Map<string, Pending>, socket: Socket, clock: Clock): () => void {
  makeRoom(pending);
  const timer = clock.after(SETUP_MS, () => socket.destroy());
  const key = peerOf(socket);
  const done = (): void => {
    timer.cancel();
    if (pending.get(key)?.socket === socket) pending.delete(key);
  };
  pending.set(key, { socket, done });
  socket.on('close', done);
  return done;
}

function makeRoom(pending: Map<string, Pending>): void {
  if (pending.size < MAX_PENDING) return;
  const [oldest] = pending.values();
  oldest?.done();
  oldest?.socket.destroy();
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''}|${socket.remotePort ?? 0}`;
}
