/**
 * The admin listener that a control plane asks for: one port, on which some paths are open and all
 * others need a certificate that the control plane names. Connections are many and short: the
 * control plane opens one for each request and leaves it open.
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { ignoreError } from '../../base/ignore-error.ts';
import { readCertificate } from '../../identity/der.ts';
import type { AdminChanges } from '../changes/changes.ts';
import { handleHttp } from '../http.ts';
import type { HandleOptions, HttpHandler } from '../http.ts';
import { listenByFirstByte } from '../first-byte.ts';
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

export async function createEnvoyListener(options: EnvoyListenerOptions): Promise<EnvoyListener> {
  const { clock, page, changes, fault } = options;
  let plaintextPaths: readonly string[] = [];
  let tls: TlsServer | null = null;
  const clientNames = new WeakMap<Socket, string>();

  const isPlaintext = (path: string): boolean => plaintextPaths.some((prefix) => path.startsWith(prefix));
  const openPage: EnvoyPage = (path, search, method, accept) => (isPlaintext(path) ? page(path, search, method, accept) : null);
  const open: HttpHandler = handleHttp({ fault, anyMethod: true, page: openPage }, clock);
  const trusted: HttpHandler = handleHttp({ fault, anyMethod: true, page, change: changesOf(changes, clientNames) }, clock);
  const listener = await listenByFirstByte({
    ...options,
    name: 'the control plane',
    plain(socket) {
      listener.settle(socket);
      open.take(socket);
      socket.resume();
    },
    tls: () => tls,
  });

  function secured(socket: TLSSocket, clientName: string): void {
    socket.on('error', ignoreError);
    if (!listener.settle(socket) || !socket.authorized || !isNamed(socket, clientName)) {
      socket.destroy();
      return;
    }
    clientNames.set(socket, clientName);
    trusted.take(socket);
  }

  return {
    address: listener.address,
    port: listener.port,
    allow(access) {
      tls = access.tls === null ? null : tlsServer(access.tls, secured);
      plaintextPaths = access.plaintextPaths;
    },
    async close() {
      await Promise.all([open.close(), trusted.close(), listener.close()]);
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
