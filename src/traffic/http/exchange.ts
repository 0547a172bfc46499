import type { FlatHeaders, HeadFields } from '../../wire/flat-headers.ts';
import type { LocalReply } from './local-reply.ts';
import type { RequestBody } from './request-body.ts';

export interface RequestHead {
  /** The protocol of the client's connection. */
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  readonly method: string;
  /** Begins with a slash, or is `*`. */
  readonly path: string;
  /** As the client sent it; empty where HTTP/2 had none. */
  readonly authority: string;
  /** Names in lower case; without pseudo-headers. */
  readonly headers: FlatHeaders;
  /** The result of `fieldsOf` for them. */
  readonly fields: HeadFields;
  readonly isGrpc: boolean;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: FlatHeaders;
  /**
   * On HTTP/2, true when the head was the whole answer, as for a failed gRPC call: bytes after it
   * would be read as a second, invalid answer.
   */
  readonly isWhole?: boolean;
  /**
   * On HTTP/2, true when the whole answer has come, without trailers: its pieces and its end follow
   * in this turn, and nothing can cut it off any more.
   */
  readonly isComplete?: boolean;
}

/**
 * One request of a client and its answer, for every codec. It is answered exactly once, by `reply`
 * or by `respond`.
 */
export interface Exchange {
  readonly head: RequestHead;
  /** Null for a request without a body. */
  readonly body: RequestBody | null;
  /** True when the whole request was read. */
  readonly bodyIsRead: boolean;
  readonly answered: boolean;
  /** True when the client no longer waits for an answer. */
  readonly gone: boolean;
  /**
   * Calls the listener when the client has gone, or has reset the request; at most once, and never
   * after the answer is complete.
   */
  onGone(listener: () => void): void;
  reply(reply: LocalReply): void;
  /**
   * Sends the head of an answer. Throws, without having answered, where the client's codec cannot
   * carry it.
   */
  respond(head: ResponseHead): ResponseBody;
}

/** The body of an answer that has begun. */
export interface ResponseBody {
  /** Returns false when the caller has to wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  /** Calls the listener each time that a full buffer is empty again. */
  onDrain(listener: () => void): void;
  end(trailers: FlatHeaders): void;
  /** Leaves the answer incomplete; `code` is an error code of HTTP/2. */
  reset(code: number): void;
}

/** Error codes of RFC 9113, section 7. */
export const H2 = {
  noError: 0,
  protocol: 1,
  internal: 2,
  settingsTimeout: 4,
  refusedStream: 7,
  cancel: 8,
  enhanceYourCalm: 11,
  http11Required: 13,
} as const;
