import type { Exchange, RequestHead } from './exchange.ts';
import type { LocalReply } from './local-reply.ts';

/** What a connection of a client offers its codec. */
export interface FrontConnection {
  serve(exchange: Exchange): Promise<void>;
  /** The answers of this connection are the last. */
  readonly closing: boolean;
  /** A head that is not complete after so long ends the connection. Absent: as for all. */
  readonly headTimeoutMs?: number;
  /**
   * A request that no codec could read got this answer, or the end of its connection. `head` is
   * what is known of it.
   */
  onRefused(reply: LocalReply | null, detail: string, head: RequestHead | null): void;
}

/** Envoy's `max_request_headers_kb` is 60. */
export const MAX_HEAD_BYTES: number = 60 * 1024;
/**
 * Envoy's `delayed_close_timeout`: a client may read the last answer for so long before the
 * connection is cut.
 */
export const LINGER_MS = 1_000;
