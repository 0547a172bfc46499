import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import { createServer } from 'node:tls';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { boundPort } from '../base/bound-port.ts';
import type { Clock } from '../base/clock.ts';
import { connectTls } from '../base/connect-tls.ts';
import { readRest } from './adopt.ts';
import { handleOf } from './handle.ts';

/** As `onread` of `net.Socket`: `buffer` returns the memory of the next read. */
export interface OnRead {
  readonly buffer: () => Buffer;
  /** Called with the number of bytes that are in the memory now; false stops reading. */
  readonly callback: (bytes: number) => boolean;
}

/** The properties in which a socket keeps its `onread`. */
interface Keys {
  readonly current: symbol;
  readonly buffer: symbol;
  readonly callback: symbol;
}

/**
 * Reads the plain text of a TLS socket into memory of the caller, from now on. Node does this with
 * `onread` for sockets that it connects itself, but not for TLS over a stream, nor for a server:
 * there, since Node 24.22, it decrypts into slices of 64 KB that only the garbage collector frees
 * (docs/decisions/relay.md). Returns false, with nothing changed, where this Node keeps `onread`
 * elsewhere. Read what the socket holds already before. The callbacks stay until the socket has
 * ended. The memory is never empty, and the caller keeps it as long: Node holds no reference.
 */
export function readTlsInto(tls: Socket, { buffer, callback }: OnRead): boolean {
  const handle = handleOf(tls);
  if (KEYS === null || handle === null || handle.useUserBuffer === undefined) return false;
  const first = buffer();
  Reflect.set(tls, KEYS.buffer, buffer);
  Reflect.set(tls, KEYS.callback, callback);
  Reflect.set(tls, KEYS.current, first);
  handle.useUserBuffer(first);
  return true;
}

/** Finds them by comparing a socket that has an `onread` with one that has none. */
function findKeys(): Keys | null {
  const buffer = (): Buffer => Buffer.alloc(1);
  const callback = (): boolean => true;
  const options = { onread: { buffer, callback }, allowHalfOpen: false };
  const having = new Socket(options);
  const lacking = new Socket();
  const valueIn = (socket: Socket, key: symbol): unknown => Reflect.get(socket, key);
  const keys = Object.getOwnPropertySymbols(having).filter((key) => valueIn(having, key) !== (valueIn(lacking, key) ?? null));
  const [current, ...others] = keys.filter((key) => valueIn(having, key) === true);
  const ofBuffer = keys.find((key) => valueIn(having, key) === buffer);
  const ofCallback = keys.find((key) => valueIn(having, key) === callback);
  if (current === undefined || others.length > 0 || ofBuffer === undefined || ofCallback === undefined) return null;
  return { current, buffer: ofBuffer, callback: ofCallback };
}

const KEYS = findKeys();

const PROBED_BYTES = 96 * 1024;
const PROBED_BYTE = 7;
const PROBE_MS = 2_000;

let works = false;

/**
 * Tells whether `readTlsInto` works on this Node. It tries until it has seen it work, once for each
 * thread.
 */
export async function probeTlsReads(clock: Clock): Promise<boolean> {
  works ||= await readsProbed(clock);
  return works;
}

/**
 * Sends 96 KB through a real TLS connection on loopback, with a random key in place of
 * certificates, and expects all of them and their end. Takes some milliseconds.
 */
async function readsProbed(clock: Clock): Promise<boolean> {
  if (KEYS === null) return false;
  const psk = randomBytes(16);
  // Without `ca` Node would parse the certificates of all public authorities.
  const tls: SecureContextOptions = { ciphers: 'PSK-AES128-GCM-SHA256', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ca: [] };
  const server = createServer({ ...tls, pskCallback: () => psk });
  const { promise: late, resolve: isLate } = Promise.withResolvers<boolean>();
  const timer = clock.after(PROBE_MS, () => isLate(false));
  const reads = new Promise<boolean>((resolve, reject) => {
    server.on('tlsClientError', () => resolve(false));
    server.once('error', reject);
    server.once('secureConnection', (socket) => void readsAll(socket).then(resolve, reject));
    server.listen(0, '127.0.0.1', () => {
      const pskCallback = (): { psk: Buffer; identity: string } => ({ psk, identity: 'probe' });
      const to = { port: boundPort(server), host: '127.0.0.1' };
      const client = connectTls({ ...tls, ...to, pskCallback, checkServer: () => undefined });
      client.on('error', reject);
      client.end(Buffer.alloc(PROBED_BYTES, PROBED_BYTE));
    });
  });
  try {
    return await Promise.race([reads, late]);
  } catch {
    return false;
  } finally {
    timer.cancel();
    server.close();
  }
}

function readsAll(socket: TLSSocket): Promise<boolean> {
  return new Promise((resolve) => {
    const room = Buffer.alloc(16 * 1024);
    let received = 0;
    let isRight = true;
    const callback = (bytes: number): boolean => {
      isRight &&= room.subarray(0, bytes).every((byte) => byte === PROBED_BYTE);
      received += bytes;
      return true;
    };
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(isRight && received === PROBED_BYTES));
    socket.on('end', () => socket.end());
    received += readRest(socket)?.length ?? 0;
    if (!readTlsInto(socket, { buffer: () => room, callback })) resolve(false);
    socket.resume();
  });
}
