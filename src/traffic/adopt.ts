import { Socket, connect, createServer } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { BufferPool } from './buffers.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { boundPort } from '../base/bound-port.ts';
import { PlainReader } from './plain-reader.ts';
import { readWithoutStacks } from './without-stacks.ts';

/**
 * The part of libuv's handle that this file uses. Node does not document it, so `probeAdoption`
 * tries it at start.
 */
interface Handle {
  reading: boolean;
  readStop(): number;
}

interface HandleOwner {
  _handle: Handle | null;
}

/**
 * Moves the connection of an accepted socket into a new socket that reads into buffers of `reader`.
 * The old object is dead afterwards: it has no handle, emits nothing and needs no close. `rest` has
 * the bytes that it had read already. Returns null, with nothing changed, where this Node keeps its
 * handle elsewhere. The server that accepted the connection does not learn of its end: its
 * `getConnections` and `maxConnections` become useless.
 */
export function adopt(
  accepted: Socket,
  reader: Pick<PlainReader, 'onread'>,
): { readonly socket: Socket; readonly rest: Buffer | null } | null {
  const owner = accepted as unknown as HandleOwner;
  const handle = owner._handle;
  if (handle === null || typeof handle !== 'object' || typeof handle.readStop !== 'function') return null;
  accepted.pause();
  handle.readStop();
  handle.reading = false;
  const rest = readRest(accepted);
  owner._handle = null;
  const options = { handle, allowHalfOpen: true, pauseOnCreate: true, onread: reader.onread };
  const socket = new Socket(options);
  readWithoutStacks(socket);
  return { socket, rest };
}

/**
 * Reads everything that a socket holds. One `read()` returns all of it on Node 24, but only the
 * first chunk on Node 26.
 */
export function readRest(accepted: Socket): Buffer | null {
  const chunks: Buffer[] = [];
  for (let chunk = accepted.read() as Buffer | null; chunk !== null; chunk = accepted.read() as Buffer | null) chunks.push(chunk);
  return chunks.length === 0 ? null : Buffer.concat(chunks);
}

/**
 * Tells whether adoption works on this Node: it sends 256 KB through a real loopback connection and
 * expects them in order, with their end. Takes some milliseconds.
 */
export async function probeAdoption(clock: Clock): Promise<boolean> {
  const total = 256 * 1024;
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const client = connect({ port: boundPort(server), host: '127.0.0.1', allowHalfOpen: true });
    client.on('error', ignoreError);
    client.end(Buffer.alloc(total, 7));
    const works = await echoes(clock, { accepted: await accepted, client, total });
    client.destroy();
    return works;
  } catch {
    return false;
  } finally {
    // The server's one connection was adopted, so the callback of close would never run.
    server.close();
    server.unref();
  }
}

async function echoes(
  clock: Clock,
  pair: { readonly accepted: Socket; readonly client: Socket; readonly total: number },
): Promise<boolean> {
  const { accepted, client, total } = pair;
  accepted.on('error', ignoreError);
  const pool = new BufferPool();
  const reader = new PlainReader(pool);
  const adopted = adopt(accepted, reader);
  if (adopted === null) {
    accepted.destroy();
    return false;
  }
  const { socket } = adopted;
  return new Promise((resolve) => {
    let received = 0;
    const timer = clock.after(2_000, () => done(false));
    function done(works: boolean): void {
      timer.cancel();
      reader.close();
      socket.destroy();
      resolve(works && pool.lent === 0);
    }
    socket.on('error', () => done(false));
    socket.on('end', () => socket.end());
    client.on('data', (chunk: Buffer) => {
      received += chunk.every((byte) => byte === 7) ? chunk.length : NaN;
    });
    client.on('end', () => done(received === total));
    reader.start(socket, socket, { intoTls: false, meter: { add: () => {} } });
  });
}
