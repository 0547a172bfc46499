// A client that records one connection: the handshake, alerts, bytes, close_notify, and how TCP
// ended. TLS runs over a stream of ours, so that the end of TLS and the end of TCP can be told
// apart, and sent separately.
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';

/** How long a connection is watched that stays open. */
const OPEN_MS = 150;
/** Number of pieces of a slow hello. */
const PIECES = 10;
/** Bounds everything else. */
const BOUND_MS = 120_000;

export interface Seen {
  /** The port of the client, which identifies the record. */
  readonly port: number;
  /** `TLSv1.3`; null for an unfinished handshake; undefined without TLS. */
  readonly tls?: string | null;
  readonly cipher?: string;
  readonly reused?: boolean;
  readonly alpn?: string | null;
  /** The text of TLS libraries. */
  readonly alert: string | null;
  readonly got: Buffer;
  readonly closeNotify: boolean;
  readonly end: 'FIN' | 'RST' | 'open';
  /** From connect to the end; undefined for a connection that stays open. */
  readonly ms: number;
}

export interface At {
  readonly host: string;
  readonly port: number;
}

interface Ended {
  readonly end: 'FIN' | 'RST';
  readonly ms: number;
}

/**
 * Speaks only TCP. `play` gets the connected socket; `stays` means that the connection is not ended
 * after the answer, `quiet` that no answer is expected either.
 */
export async function speakTcp(
  at: At,
  play: (socket: Socket) => unknown,
  options: { readonly stays?: boolean; readonly quiet?: boolean } = {},
): Promise<Seen> {
  const socket = connectTcp({ ...at, allowHalfOpen: true, noDelay: true });
  const ending = endOf(socket);
  const read: Buffer[] = [];
  const answered = new Promise<null>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      read.push(chunk);
      resolve(null);
    });
  });
  await once(socket, 'connect');
  const port = socket.localPort ?? 0;
  await play(socket);
  if (options.stays === true) await within(Promise.race([ending, answered]), BOUND_MS);
  const isWatched = options.stays === true || options.quiet === true;
  const ended = await within(ending, isWatched ? OPEN_MS : BOUND_MS);
  await turn();
  socket.destroy();
  const got = Buffer.concat(read);
  const alert = got[0] === 21 && got.length === 7 ? (ALERTS[got[6] ?? 0] ?? `alert ${got[6]}`) : null;
  return { port, alert, got, closeNotify: false, end: ended?.end ?? 'open', ms: ended?.ms ?? 0 };
}

export interface Play {
  readonly tls: TLSSocket;
  readonly raw: Socket;
  /** After this call the end of TLS is not the end of TCP. */
  readonly keepTcp: () => void;
}

export interface TlsPlay {
  /** Called after the handshake. Default: nothing. */
  readonly play?: (play: Play) => unknown;
  /** The client is done as soon as it has read this much. */
  readonly wants?: string | number;
  /** True for a connection that stays open. */
  readonly stays?: boolean;
  /** The duration of the first flight; 0 sends it byte by byte. */
  readonly helloOverMs?: number;
}

export async function speakTls(
  at: At,
  options: ConnectionOptions,
  { play, wants, stays = false, helloOverMs }: TlsPlay,
): Promise<Seen> {
  const raw = connectTcp({ ...at, allowHalfOpen: true, noDelay: true });
  const ending = endOf(raw);
  await once(raw, 'connect');
  const port = raw.localPort ?? 0;
  let tcpStays = false;
  let dripping = helloOverMs;
  const wire = new Duplex({
    allowHalfOpen: true,
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      if (dripping === undefined) return void raw.write(chunk, () => done());
      const overMs = dripping;
      dripping = undefined;
      void drip(raw, chunk, overMs).then(() => done());
    },
    final(done) {
      if (!tcpStays) raw.end();
      done();
    },
  });
  wire.on('error', () => {});
  raw.on('data', (chunk: Buffer) => wire.push(chunk));
  const tls = connectTls({ rejectUnauthorized: false, allowHalfOpen: true, ...options, socket: wire } as ConnectionOptions);
  const read: Buffer[] = [];
  let length = 0;
  let secured: Pick<Seen, 'tls' | 'cipher' | 'reused' | 'alpn'> = { tls: null };
  let over = false;
  let closeNotify = false;
  let alert: string | null = null;
  const satisfied = Promise.withResolvers<null>();
  tls.on('data', (chunk: Buffer) => {
    read.push(chunk);
    length += chunk.length;
    if (wants === undefined) return;
    if (typeof wants === 'number' ? length >= wants : Buffer.concat(read).toString('latin1') === wants) satisfied.resolve(null);
  });
  tls.on('end', () => (closeNotify = !over));
  const failed = new Promise<null>((resolve) => {
    tls.on('error', (error: Error & { reason?: string }) => {
      alert ??= /alert (.+)$/.exec(error.reason ?? '')?.[1] ?? null;
      if (alert !== null) resolve(null);
    });
  });
  const secure = new Promise<void>((resolve) => tls.once('secureConnect', () => resolve()));
  const first = await Promise.race([secure.then(() => 'secure' as const), failed, ending]);
  if (first === 'secure') {
    secured = {
      tls: tls.getProtocol() ?? '',
      cipher: tls.getCipher().name,
      reused: tls.isSessionReused(),
      alpn: tls.alpnProtocol === false ? null : tls.alpnProtocol,
    };
    await play?.({ tls, raw, keepTcp: () => (tcpStays = true) });
    // A half-open connection is watched for its own time; others end, or read what they want.
    if (stays && wants !== undefined) await within(satisfied.promise, BOUND_MS);
    await within(
      Promise.race([ending, failed, ...(wants === undefined || stays ? [] : [satisfied.promise])]),
      stays ? OPEN_MS : BOUND_MS,
    );
  }
  // The last bytes are still on their way through TLS.
  for (let i = 0; i < 5; i++) await turn();
  over = true;
  const ended = await within(ending, 0);
  const seen: Seen = {
    port,
    ...secured,
    alert,
    got: Buffer.concat(read),
    closeNotify,
    end: ended?.end ?? 'open',
    ms: ended?.ms ?? 0,
  };
  tls.destroy();
  wire.destroy();
  raw.destroy();
  return seen;
}

function endOf(socket: Socket): Promise<Ended> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const ended = (end: 'FIN' | 'RST') => (): void => resolve({ end, ms: performance.now() - startedAt });
    socket.once('end', ended('FIN'));
    socket.on('error', ended('RST'));
  });
}

/** Sends byte by byte, each in a turn of its own; with a duration, in a few pieces. */
export async function drip(socket: Socket, bytes: Buffer, overMs: number): Promise<void> {
  const size = overMs === 0 ? 1 : Math.ceil(bytes.length / PIECES);
  for (let at = 0; at < bytes.length && !socket.destroyed && !socket.readableEnded; at += size) {
    socket.write(bytes.subarray(at, at + size));
    await (overMs === 0 ? turn() : pause(overMs / PIECES));
  }
}

async function within<T>(what: Promise<T>, ms: number): Promise<T | null> {
  const stop = new AbortController();
  const late = pause(ms, null, { signal: stop.signal }).catch(() => null);
  const first = await Promise.race([what, late]);
  stop.abort();
  return first;
}

const ALERTS: Readonly<Record<number, string>> = {
  40: 'handshake failure',
  50: 'decode error',
  70: 'protocol version',
  80: 'internal error',
  112: 'unrecognized name',
};
