/**
 * Connects to one address of an endpoint step by step, with the TLS settings of a session, and
 * where that fails looks at what the server shows when nothing is verified.
 */
import { connect as connectTcp } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { connectTls } from '../base/connect-tls.ts';
import type { TlsTarget } from '../base/connect-tls.ts';
import type { SocketError } from '../base/tls-words.ts';

export interface ProbedTls {
  readonly protocol: string;
  readonly cipher: string;
  /** Empty where none was agreed. */
  readonly alpn: string;
  /** The leaf first, as the server sent them. */
  readonly chain: readonly X509Certificate[];
}

/** One attempt; times in milliseconds, -1 where the step was not reached. */
export interface Attempt {
  readonly connectMs: number;
  readonly tlsMs: number;
  /** Null where every step went well. */
  readonly error: SocketError | null;
  /** The step that the error came at. */
  readonly at: 'connect' | 'tls' | 'after';
  readonly tls: ProbedTls | null;
}

interface To {
  readonly host: string;
  readonly port: number;
}

const MAX_CHAIN = 20;

/** The bounds of one attempt. */
export interface AttemptBounds {
  readonly clock: Clock;
  /** For the connection with its TLS. */
  readonly timeoutMs: number;
  /** In TLS 1.3 a server refuses the certificate of its client after the handshake. */
  readonly waitMs: number;
  /** Ends it at once. */
  readonly signal?: AbortSignal;
}

/** Without `tls` it only connects. */
export function attempt(to: To, tls: TlsTarget | null, bounds: AttemptBounds): Promise<Attempt> {
  const { clock, timeoutMs, waitMs, signal } = bounds;
  return new Promise((resolve) => {
    const startedAt = clock.now();
    let [connectedAt, securedAt] = [-1, -1];
    let seen: ProbedTls | null = null;
    const socket = tls === null ? connectTcp({ ...to, autoSelectFamily: false }) : connectTls({ ...tls, ...to });
    const took = (from: number, until: number): number => (from < 0 || until < 0 ? -1 : Math.round(until - from));
    let isOver = false;
    const end = (error: SocketError | null): void => {
      if (isOver) return;
      isOver = true;
      deadline.cancel();
      alert?.cancel();
      signal?.removeEventListener('abort', giveUp);
      socket.destroy();
      const at = connectedAt < 0 ? 'connect' : tls !== null && securedAt < 0 ? 'tls' : 'after';
      resolve({ connectMs: took(startedAt, connectedAt), tlsMs: took(connectedAt, securedAt), error, at, tls: seen });
    };
    const deadline = clock.after(timeoutMs, () => end(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })));
    const giveUp = (): void => end(STOPPED());
    let alert: { cancel(): void } | null = null;
    signal?.addEventListener('abort', giveUp);
    if (signal?.aborted === true) return giveUp();
    const listen = (): void => {
      deadline.cancel();
      alert = clock.after(waitMs, () => end(null));
    };
    socket.on('connect', () => {
      connectedAt = clock.now();
      if (tls === null) end(null);
    });
    if (tls !== null) {
      socket.on('secureConnect', () => {
        securedAt = clock.now();
        seen = tlsOf(socket as TLSSocket);
        listen();
      });
    }
    socket.on('data', () => end(null));
    socket.on('error', (error: SocketError) => end(error));
    socket.on('close', () => end(CLOSED()));
  });
}

const STOPPED = (): SocketError => Object.assign(new Error('the probe was ended'), { code: 'ECANCELED' });
const CLOSED = (): SocketError => Object.assign(new Error('the server closed the connection'), { code: 'ECONNRESET' });

function tlsOf(socket: TLSSocket): ProbedTls {
  const chain: X509Certificate[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && chain.length < MAX_CHAIN && !chain.some((each) => each.raw.equals(next?.raw ?? each.raw))) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return {
    protocol: socket.getProtocol() ?? '',
    cipher: socket.getCipher().name,
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : '',
    chain,
  };
}

/** Shakes hands with any server: every version and cipher, no verification, no certificate. */
export function looseTls(serverName: string | null): TlsTarget {
  return {
    secureContext: createSecureContext({ minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ...(serverName === null ? {} : { servername: serverName }),
    rejectUnauthorized: false,
    checkServer: () => undefined,
  };
}
