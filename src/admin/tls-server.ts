/**
 * HTTP pages over TLS for the admin listener. Each client finishes its handshake, also one without
 * a certificate or with a bad one: pages may be read, and the guard of changes says what is wrong.
 */
import { constants } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { certificateNow, shownCertificate } from './client-certificate.ts';
import type { CertificateNow, ShownCertificate } from './client-certificate.ts';
import { listenByFirstByte } from './first-byte.ts';
import { handleHttp } from './http.ts';
import type { HandleOptions, HttpServer } from './http.ts';
import type { ListenOn } from './listen-on.ts';
import type { TlsFiles, TlsMaterial } from './tls-files.ts';

export interface TlsHttpOptions extends ListenOn {
  readonly clock: Clock;
  readonly files: TlsFiles;
  /** `certificate` judges the client of a request at the moment of the call. */
  readonly handle: (certificate: (request: IncomingMessage) => Promise<CertificateNow>) => HandleOptions;
}

const SPEAKS_TLS = 'this port speaks TLS: use https://\n';
const PLAIN_ANSWER = [
  'HTTP/1.1 400 Bad Request',
  'content-type: text/plain; charset=utf-8',
  `content-length: ${SPEAKS_TLS.length}`,
  'connection: close',
  '',
  SPEAKS_TLS,
].join('\r\n');

export async function serveHttpWithTls(options: TlsHttpOptions): Promise<HttpServer> {
  const { clock, files } = options;
  const shown = new WeakMap<Socket, ShownCertificate>();
  const handle = options.handle(async ({ socket }) =>
    certificateNow(shown.get(socket) ?? { kind: 'none' }, await files.current(), clock.wall()),
  );
  const http = handleHttp(handle, clock);
  const servers = new WeakMap<TlsMaterial, TlsServer>();

  function serverFor(material: TlsMaterial): TlsServer {
    const known = servers.get(material);
    if (known !== undefined) return known;
    const made = tlsServer(material, (socket) => secured(socket, material));
    servers.set(material, made);
    return made;
  }

  function secured(socket: TLSSocket, material: TlsMaterial): void {
    socket.on('error', ignoreError);
    if (!listener.settle(socket)) return void socket.destroy();
    shown.set(socket, shownCertificate(socket, material));
    http.take(socket);
  }

  const listener = await listenByFirstByte({
    ...options,
    fault: handle.fault,
    // It stays among those that are waited for, so that it ends in time.
    plain: (socket) => void socket.resume().end(PLAIN_ANSWER),
    async tls() {
      const material = await files.current();
      return material === null ? null : serverFor(material);
    },
  });
  return {
    address: listener.address,
    port: listener.port,
    async close() {
      await Promise.all([http.close(), listener.close()]);
    },
  };
}

/** The server never listens. No session is resumed: each connection shows its certificate. */
function tlsServer({ cert, key, clientCa }: TlsMaterial, secured: (socket: TLSSocket) => void): TlsServer {
  const server = createTlsServer({
    cert,
    key,
    ca: clientCa,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });
  server.on('secureConnection', secured);
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}
