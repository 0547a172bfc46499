import type { EndReason } from '../base/refusal.ts';

/**
 * One frozen value per request of a service that speaks HTTP, made when its answer is whole or will
 * never be; refused ones too. It feeds the log line, the metrics and the recent decisions, and
 * nothing steers by it. Flat, so that it can be posted in batches. Texts that a client chose are
 * printable and bounded; the query of a path, headers and bodies are not in it.
 */
export interface RequestRecord {
  /** The id of the session, a dot, a counter. */
  readonly id: string;
  readonly session: string;
  /** `closed`: the answer of the service went out whole, whatever its status. */
  readonly reason: EndReason;
  /** One sentence; empty where nothing was wrong. */
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
  /** As the client speaks; empty where no codec could read the request. */
  readonly protocol: 'HTTP/1.1' | 'HTTP/2' | '';
  readonly method: string;
  /** Without its query. */
  readonly path: string;
  /** The authority as the client sent it, and the one that went to the service. */
  readonly authority: string;
  readonly host: string;
  /** `x-request-id`, where the client sent one. */
  readonly requestId: string;
  /** What the client was answered; 0 where it got no answer. */
  readonly status: number;
  /** Envoy's response flags, separated by commas; empty where there are none. */
  readonly flags: string;
  /** Envoy's response code details. */
  readonly details: string;
  /** `address:port`; empty where the request came to no endpoint. */
  readonly endpoint: string;
  /** Connections that were tried for it, and those that were made: 0 where it took a pooled one. */
  readonly attempts: number;
  readonly connections: number;
  /** Of the first connection that was made; -1 where none was. */
  readonly connectMs: number;
  /** The request went out to an endpoint. */
  readonly forwarded: boolean;
  /** Bytes of bodies. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** From the head of the request to the head of the service's answer; -1 where none came. */
  readonly serviceTimeMs: number;
  readonly totalMs: number;
}

/**
 * Those of Envoy that come up here: no endpoint, connection failed, connection ended, reset by the
 * service, limit of the cluster, request timeout, idle, duration, rate limit, abort and delay of a
 * fault, no route, the client went away, and bytes that are not HTTP of the client or the service.
 */
export type ResponseFlag =
  'UH' | 'UF' | 'UC' | 'UR' | 'UO' | 'UT' | 'SI' | 'UMSDR' | 'RL' | 'FI' | 'DI' | 'NR' | 'DC' | 'DPE' | 'UPE';
