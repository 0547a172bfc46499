import type { CertificateCheck, EndReason } from '../base/refusal.ts';

/**
 * One frozen value per accepted connection, made when it ends; refused connections have one too. It
 * feeds one log line, one set of metric updates and one entry of the recent decisions; no other
 * code reports. Flat, so that it can be posted in batches.
 */
export interface SessionRecord {
  /** Unique in the process: worker number, a dot, a counter. */
  readonly id: string;
  readonly reason: EndReason;
  /** One sentence; empty for the normal ends. */
  readonly detail: string;
  /** When the connection was accepted, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly snapshotVersion: string;
  readonly clientAddress: string;
  readonly clientPort: number;
  /** As the client sent it, printable, at most 255 characters; empty without an SNI. */
  readonly sni: string;
  readonly alpn: readonly string[];
  /** The highest version that the ClientHello offers, e.g. `TLSv1.3`; empty without a hello. */
  readonly tlsOffered: string;
  /** From the route that was found; all four are empty without one. */
  readonly mode: 'passthrough' | 'terminate' | '';
  readonly mesh: string;
  readonly destination: string;
  readonly cluster: string;
  /**
   * For a terminated session: the negotiated version, and the client's SPIFFE ids as far as
   * verification got.
   */
  readonly tlsVersion: string;
  readonly spiffeIds: readonly string[];
  /** All URI SANs of the verified client, so that the decision can be made again. */
  readonly uris: readonly string[];
  readonly certificateIssuer: string;
  /** ISO 8601; empty without a certificate. */
  readonly certificateExpiry: string;
  /** Name of the permission that decided; empty where none was evaluated. */
  readonly permission: string;
  readonly shadowDenied: boolean;
  /**
   * The sentence with which a permission would have refused it; it passed because its mesh is in
   * report-only mode. Absent otherwise.
   */
  readonly wouldRefuse?: string;
  /** `address:port` of the endpoint that carried the session, or the last one tried. */
  readonly endpoint: string;
  readonly endpointTls: boolean;
  readonly attempts: number;
  /**
   * Payload bytes from the client to the endpoint; includes the ClientHello of a passthrough
   * session.
   */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Milliseconds; -1 where the phase was not reached. */
  readonly helloMs: number;
  readonly handshakeMs: number;
  readonly connectMs: number;
  readonly totalMs: number;
  /**
   * The limit of a cluster or route that refused, where the reason is `over-limit`; absent
   * otherwise.
   */
  readonly limit?: BreakerLimit;
  /**
   * For an HTTP service, the number of requests, including refused ones; absent where bytes pass
   * unchanged. `attempts` then counts the connections that were tried for them, and `connectMs` is
   * that of the first, or 0 where a connection existed already.
   */
  readonly requests?: number;
  /**
   * The check that a refused certificate failed, the client's or the service's; absent otherwise.
   */
  readonly check?: CertificateCheck;
  /**
   * Milliseconds that it waited for the first answers of names, before it connected; absent where
   * they were known.
   */
  readonly waitedMs?: number;
  /** True where the client resumed an earlier session by a ticket; absent otherwise. */
  readonly resumed?: true;
}

/** Connections of a cluster, connections being made, new connections of a route. */
export type BreakerLimit = 'max-connections' | 'max-pending' | 'rate' | 'request-rate';
