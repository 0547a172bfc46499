import type { EndReason } from '../base/refusal.ts';

/**
 * One frozen value per request of an HTTP service, made when its answer is complete or never will
 * be; refused requests have one too. It feeds the log line, the metrics and the recent decisions,
 * and controls nothing. Plain, so that it can be posted in batches. Texts of a client are printable
 * and bounded; it has no query of a path, no bodies, and of the headers those that a rule reads.
 */
export interface RequestRecord {
  /** The id of the session, a dot, a counter. */
  readonly id: string;
  readonly session: string;
  /** `closed`: the whole answer of the service was sent, with any status. */
  readonly reason: EndReason;
  /** One sentence; empty without a problem. */
  readonly detail: string;
  /** When its head was read, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly snapshotVersion: string;
  readonly clientAddress: string;
  readonly sni: string;
  readonly mesh: string;
  readonly destination: string;
  readonly cluster: string;
  /** As in the record of the session. */
  readonly spiffeIds: readonly string[];
  readonly uris: readonly string[];
  /** The protocol of the client; empty where no codec could read the request. */
  readonly protocol: 'HTTP/1.1' | 'HTTP/2' | '';
  readonly method: string;
  /** Without its query. */
  readonly path: string;
  /** The authority as the client sent it, and the one that was sent to the service. */
  readonly authority: string;
  readonly host: string;
  /** `x-request-id` as it was sent to the service, else that of the client. */
  readonly requestId: string;
  /** The status of the answer to the client; 0 without an answer. */
  readonly status: number;
  /** Envoy's response flags, separated by commas; empty without any. */
  readonly flags: string;
  /** Envoy's response code details. */
  readonly details: string;
  /** `address:port`; empty where the request reached no endpoint. */
  readonly endpoint: string;
  /** True when TLS is used to it. */
  readonly endpointTls: boolean;
  /** Connections that were tried for it, and those that were made: 0 with a pooled one. */
  readonly attempts: number;
  readonly connections: number;
  /** Time of the first connection that was made; -1 without one. */
  readonly connectMs: number;
  /** True when the request was sent to an endpoint. */
  readonly forwarded: boolean;
  /** Bytes of bodies. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** From the head of the request to the head of the service's answer; -1 without an answer. */
  readonly serviceTimeMs: number;
  readonly totalMs: number;
  /** The headers by which a simulation judges it again. */
  readonly headers: RecordedHeaders;
  /**
   * The sentence with which a permission would have refused it; it passed because its mesh is in
   * report-only mode. Absent otherwise.
   */
  readonly wouldRefuse?: string;
  /** The header `traceparent` as the client sent it; absent without a well-formed one. */
  readonly traceparent?: string;
  /** The rate limit of the route that counted it; empty without one. */
  readonly rateLimit: string;
}

/**
 * The headers that a rule of the route reads, and `x-kuma-tags`: all values by name, none where the
 * client sent none. A missing name is unknown.
 */
export type RecordedHeaders = Readonly<Record<string, readonly string[]>>;

/**
 * Envoy's flags that occur here: no endpoint, connection failed, connection ended, reset by the
 * service, limit of the cluster, request timeout, idle, duration, rate limit, abort and delay of a
 * fault, no route, the client went away, and bytes that are not HTTP from the client or the
 * service.
 */
export type ResponseFlag =
  'UH' | 'UF' | 'UC' | 'UR' | 'UO' | 'UT' | 'SI' | 'UMSDR' | 'RL' | 'FI' | 'DI' | 'NR' | 'DC' | 'DPE' | 'UPE';
