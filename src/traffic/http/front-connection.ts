import type { Exchange, RequestHead } from './exchange.ts';
import type { LocalReply } from './local-reply.ts';

/** The side of a client connection that its codec uses. */
export interface FrontConnection {
  serve(exchange: Exchange): Promise<void>;
  /** True when the answers of this connection are the last. */
  readonly closing: boolean;
  /** The connection ends when a head takes longer than this. Absent uses the common limit. */
  readonly headTimeoutMs?: number;
  /** Called for a request that no codec could read. */
  onUnread(unread: UnreadRequest): void;
}

export interface UnreadRequest {
  /** Null where the connection just ends. */
  readonly reply: LocalReply | null;
  readonly why: string;
  /** Holds what is known of it; null for nothing. */
  readonly head: RequestHead | null;
  /** True when the client took too long; otherwise what it sent cannot be served. */
  readonly late?: true;
}

/** Envoy's `max_request_headers_kb` is 60. */
export const MAX_HEAD_BYTES: number = 60 * 1024;
/**
 * Envoy's `delayed_close_timeout`: the time that a client has to read the last answer before the
 * connection is cut.
 */
export const LINGER_MS = 1_000;
