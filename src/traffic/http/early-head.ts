/**
 * Sends the head of a request that has a body before the first byte of the body. The client of
 * undici holds the head back until that byte. A service that has to answer first, or for whose
 * answer the client waits, would never see the head.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** The event that undici publishes in the turn in which it prepares a request. */
interface Announced {
  readonly request: { readonly contentLength: number | null };
  /**
   * The request line and the headers, without the headers of the framing and without the empty
   * line.
   */
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
  /** Stops: undici's client writes by itself now, or the request is over. */
  cancel(): void;
}

/**
 * Prepares the request that undici is about to send on this socket. A body that is there already is
 * sent together with its head.
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
 * Undici writes the same head with the first byte or at the end of the body; the bytes that were
 * sent already are removed there. Any other write throws, which ends the request and its
 * connection.
 */
function sendHead(socket: Socket, head: string, length: number | null): void {
  const framing = length === null ? 'transfer-encoding: chunked\r\n' : `content-length: ${length}\r\n\r\n`;
  const usual = Reflect.get(socket, 'write') as Write;
  const write = (text: string): boolean => usual.call(socket, text, 'latin1');
  const onWrite = (next: Write): void => void (socket.write = next as Socket['write']);
  write(head + framing + (length === null ? '\r\n' : ''));
  // Undici's line for the first chunk begins with the empty line after the head.
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
    // An empty body ends this way.
    const isEnd = rest === 'content-length: 0\r\n\r\n' || rest === '\r\n';
    if (isEnd && length === null) return write('0\r\n\r\n');
    if (isEnd && length === 0) return true;
    throw new Error('the body of the request does not match its head');
  });
}
