// A client that keeps what it sees of one connection: the handshake, alerts, bytes, close_notify,
// and how TCP ended. TLS runs over a stream of ours, so that an end of TLS and an end of TCP can be
// told apart, and each can be sent alone.
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';

/** What nobody ends is looked at for this long. */
const OPEN_MS = 150;
/** Of a hello that takes its time. */
const PIECES = 10;
/** Anything else has to come within this time. */
const BOUND_MS = 120_000;

export interface Seen {
  /** The port of the client, by which the record is found. */
  readonly port: number;
  /** `TLSv1.3`, or null where none came to its end; undefined: no TLS was spoken. */
  readonly tls?: string | null;
  readonly cipher?: string;
  readonly reused?: boolean;
  readonly alpn?: string | null;
  /** In words, as TLS libraries say it. */
  readonly alert: string | null;
  readonly got: Buffer;
  readonly closeNotify: boolean;
  readonly end: 'FIN' | 'RST' | 'open';
  /** From connect to the end; of what stays open nothing is said. */
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
 * TCP alone. `play` gets the connected socket; where it is answered and nobody is to end it,
 * `stays` says so.
 */
export async function speakTcp(
  at: At,
  play: (socket: Socket) => unknown,
  options: { readonly stays?: boolean } = {},
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
  const ended = await within(ending, options.stays === true ? OPEN_MS : BOUND_MS);
  await turn();
  socket.destroy();
  const got = Buffer.concat(read);
  const alert = got[0] === 21 && got.length === 7 ? (ALERTS[got[6] ?? 0] ?? `alert ${got[6]}`) : null;
  return { port, alert, got, closeNotify: false, end: ended?.end ?? 'open', ms: ended?.ms ?? 0 };
}

export interface Play {
  readonly tls: TLSSocket;
  readonly raw: Socket;
  /** From now on an end of TLS is no end of TCP. */
  readonly keepTcp: () => void;
}

export interface TlsPlay {
  /** After the handshake. Default: nothing. */
  readonly play?: (play: Play) => unknown;
  /** The client has what it wanted as soon as it read this much. */
  readonly wants?: string | number;
  /** Nobody is to end it. */
  readonly stays?: boolean;
  /** The first flight takes this long; 0: byte by byte. */
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
    // Half a connection that nobody ends is watched for its own time; the rest ends, or reads what
    // it wants.
    if (stays && wants !== undefined) await within(satisfied.promise, BOUND_MS);
    await within(
      Promise.race([ending, failed, ...(wants === undefined || stays ? [] : [satisfied.promise])]),
      stays ? OPEN_MS : BOUND_MS,
    );
  }
  // What was read last is still on its way through TLS.
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

/** Byte by byte, each in a turn of its own; or, where it is to take time, in a few pieces. */
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
