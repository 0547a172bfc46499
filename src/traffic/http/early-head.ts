/**
 * Sends the head of a request that has a body before the first byte of the body. The client of
 * undici holds the head back until that byte, and a service that has to answer first, or that a
 * client waits for, would never see it.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** What undici announces in the same turn in which it gets ready to send a request. */
interface Announced {
  readonly request: { readonly contentLength: number | null };
  /** The request line and the headers, without those of the framing and without the empty line. */
  readonly headers: string;
  readonly socket: Socket;
}

type Write = (chunk: string | Uint8Array, encoding?: BufferEncoding) => boolean;

const waiting = new WeakMap<Socket, (announced: Announced) => void>();

subscribe('undici:client:sendHeaders', (message) => {
  const announced = message as Announced;
  waiting.get(announced.socket)?.(announced);
});

export interface EarlyHead {
  /** The client of undici writes by itself now, or the request is over. */
  cancel(): void;
}

/**
 * For the request that undici is about to send on this socket. A body that is there already goes
 * out together with its head.
 */
export function earlyHead(socket: Socket): EarlyHead {
  let timer: NodeJS.Immediate | null = null;
  waiting.set(socket, ({ request, headers }) => {
    waiting.delete(socket);
    timer = setImmediate(() => {
      if (!socket.destroyed) sendHead(socket, headers, request.contentLength);
    });
  });
  return {
    cancel() {
      waiting.delete(socket);
      if (timer !== null) clearImmediate(timer);
    },
  };
}

/**
 * Undici writes the same head with the first byte or at the end of the body: what went out already
 * is left out there. Anything else than that throws, which ends the request and its connection.
 */
function sendHead(socket: Socket, head: string, length: number | null): void {
  const framing = length === null ? 'transfer-encoding: chunked\r\n' : `content-length: ${length}\r\n\r\n`;
  const usual = Reflect.get(socket, 'write') as Write;
  const write = (text: string): boolean => usual.call(socket, text, 'latin1');
  const onWrite = (next: Write): void => void (socket.write = next as Socket['write']);
  write(head + framing + (length === null ? '\r\n' : ''));
  // The empty line behind the head is the beginning of the line of the first chunk.
  const firstSize: Write = (chunk) => {
    onWrite(usual);
    if (typeof chunk !== 'string' || !chunk.startsWith('\r\n')) throw new Error('undici frames a chunk in another way');
    return write(chunk.slice(2));
  };
  onWrite((chunk) => {
    onWrite(usual);
    const rest = typeof chunk === 'string' && chunk.startsWith(head) ? chunk.slice(head.length) : null;
    if (rest === framing) {
      if (length === null) onWrite(firstSize);
      return true;
    }
    // So ends a body without a byte.
    const isEnd = rest === 'content-length: 0\r\n\r\n' || rest === '\r\n';
    if (isEnd && length === null) return write('0\r\n\r\n');
    if (isEnd && length === 0) return true;
    throw new Error('the body of the request does not go with its head');
  });
}
