import type { CertificateCheck, EndReason } from '../base/refusal.ts';

/**
 * One frozen value per accepted connection, made when it ends, refused ones too. It feeds one log
 * line, one set of metric updates and one entry of the recent decisions; nothing else reports.
 * Flat, so that it can be posted in batches.
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
  /** As the client sent it, printable, at most 255 characters; empty where there was none. */
  readonly sni: string;
  readonly alpn: readonly string[];
  /**
   * The highest version that the ClientHello offers, e.g. `TLSv1.3`; empty where there was no
   * hello.
   */
  readonly tlsOffered: string;
  /** The route that was found; all four empty where none was. */
  readonly mode: 'passthrough' | 'terminate' | '';
  readonly mesh: string;
  readonly destination: string;
  readonly cluster: string;
  /**
   * Of a terminated session: negotiated version, and the client's SPIFFE ids as far as verification
   * got.
   */
  readonly tlsVersion: string;
  readonly spiffeIds: readonly string[];
  /** All URI SANs of the verified client, so that the decision can be made again. */
  readonly uris: readonly string[];
  readonly certificateIssuer: string;
  /** ISO 8601; empty where there was no certificate. */
  readonly certificateExpiry: string;
  /** What decided: the permission's name; empty where none was asked. */
  readonly permission: string;
  readonly shadowDenied: boolean;
  /** `address:port` of the endpoint that carried the session, or the last one tried. */
  readonly endpoint: string;
  readonly endpointTls: boolean;
  readonly attempts: number;
  /**
   * Payload bytes from the client to the endpoint; the ClientHello counts where it is passed
   * through.
   */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Milliseconds; -1 where the phase was not reached. */
  readonly helloMs: number;
  readonly handshakeMs: number;
  readonly connectMs: number;
  readonly totalMs: number;
  /**
   * Of a cluster's or route's limits the one that refused, where the reason is `over-limit`; absent
   * otherwise.
   */
  readonly limit?: BreakerLimit;
  /**
   * Of a service that speaks HTTP: how many requests came, refused ones too; absent where bytes
   * pass as they are. Then `attempts` are the connections that were tried for them, `connectMs` is
   * of the first, and 0 where one was there already.
   */
  readonly requests?: number;
  /**
   * Where a certificate was refused, the client's or the service's: which check it failed; absent
   * otherwise.
   */
  readonly check?: CertificateCheck;
}

/** Connections of a cluster, those of them being made, new connections of a route. */
export type BreakerLimit = 'max-connections' | 'max-pending' | 'rate' | 'request-rate';
