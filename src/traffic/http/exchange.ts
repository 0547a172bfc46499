import type { Readable } from 'node:stream';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import type { LocalReply } from './local-reply.ts';

export interface RequestHead {
  /** Of the connection of the client. */
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  readonly method: string;
  /** Begins with a slash, or is `*`. */
  readonly path: string;
  /** As the client sent it; empty where HTTP/2 had none. */
  readonly authority: string;
  /** Names in lower case; without pseudo-headers. */
  readonly headers: FlatHeaders;
  readonly isGrpc: boolean;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: FlatHeaders;
  /**
   * On HTTP/2 the head was the whole answer, as that of a gRPC call that failed: what comes behind
   * it would be read as an answer that does not fit.
   */
  readonly isWhole?: boolean;
}

/**
 * One request of a client and its answer, whichever codec carries them. Answered exactly once: by
 * `reply` or by `respond`.
 */
export interface Exchange {
  readonly head: RequestHead;
  /** null where the request has no body. */
  readonly body: Readable | null;
  /** The whole request was read. */
  readonly bodyIsRead: boolean;
  readonly answered: boolean;
  /** The client does not wait for an answer any more. */
  readonly gone: boolean;
  /**
   * The client is gone, or has reset the request. Called at most once, never after the answer is
   * whole.
   */
  onGone(listener: () => void): void;
  reply(reply: LocalReply): void;
  /** Throws, and has answered nothing, where the codec of the client cannot carry the head. */
  respond(head: ResponseHead): ResponseBody;
}

/** The body of an answer that has begun. */
export interface ResponseBody {
  /** False: wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  /** Called each time that a full buffer is empty again. */
  onDrain(listener: () => void): void;
  end(trailers: FlatHeaders): void;
  /** The answer stays incomplete; `code` is an error code of HTTP/2. */
  reset(code: number): void;
}

/** Error codes of RFC 9113, section 7. */
export const H2 = { noError: 0, protocol: 1, internal: 2, refusedStream: 7, cancel: 8, http11Required: 13 } as const;
