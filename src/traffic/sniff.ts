import type { Socket } from 'node:net';
import { Refused, refuse } from '../base/refusal.ts';
import type { RefusalCode } from '../base/refusal.ts';
import { parseClientHello } from '../wire/client-hello.ts';
import type { ClientHello } from '../wire/client-hello.ts';
import type { SessionSteps } from './session-steps.ts';

export interface Sniffed {
  readonly hello: ClientHello;
  /** Everything read so far: the hello and what followed it, to be passed on or put back. */
  readonly bytes: Buffer;
}

/** Room for one segment of a hello; most fit. */
const FIRST_ROOM = 2_048;

/**
 * Reads the ClientHello, over any split into segments and records. It consumes nothing: the caller
 * passes the bytes on. The socket is paused afterwards.
 */
export function readHello(
  steps: SessionSteps,
  socket: Socket,
  options: { readonly maxHelloBytes: number; readonly from: string },
): Promise<Sniffed> {
  const { maxHelloBytes, from } = options;
  return steps.step<Sniffed>((done, fail) => {
    let room: Buffer | null = null;
    let length = 0;
    let needed = 0;

    const refused = (code: RefusalCode, detail: string): void =>
      fail(new Refused(refuse(code, `read hello from ${from}: ${detail}`)));

    function onData(chunk: Buffer): void {
      if (room === null) {
        room = chunk;
        length = chunk.length;
      } else {
        room = append(room, length, chunk);
        length += chunk.length;
      }
      if (length < needed) return;
      const bytes = room.subarray(0, length);
      const result = parseClientHello(bytes, maxHelloBytes);
      switch (result.kind) {
        case 'hello':
          return done({ hello: result.hello, bytes });
        case 'incomplete':
          needed = result.needed;
          return length >= maxHelloBytes
            ? refused('hello-too-large', `${length} bytes and still incomplete (limit ${maxHelloBytes})`)
            : undefined;
        case 'too-large':
          return refused('hello-too-large', result.detail);
        case 'not-tls':
          return refused('not-tls', result.detail);
        case 'malformed':
          return refused('malformed-hello', result.detail);
        default:
          return result satisfies never;
      }
    }

    function onGone(): void {
      refused('client-gone', `closed by the client after ${length} bytes`);
    }

    socket.on('data', onData);
    socket.on('end', onGone);
    socket.on('close', onGone);
    socket.resume();
    return () => {
      socket.pause();
      socket.removeListener('data', onData);
      socket.removeListener('end', onGone);
      socket.removeListener('close', onGone);
    };
  });
}

/** Doubles the room, so that a hello that arrives byte by byte is not copied once for each byte. */
function append(room: Buffer, length: number, chunk: Buffer): Buffer {
  const total = length + chunk.length;
  let target = room;
  if (room.length < total) {
    target = Buffer.allocUnsafe(Math.max(total, FIRST_ROOM, room.length * 2));
    room.copy(target, 0, 0, length);
  }
  chunk.copy(target, length);
  return target;
}
