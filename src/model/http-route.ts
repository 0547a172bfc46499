import type { Principal } from './permission.ts';

/**
 * How a terminated route is served whose service speaks HTTP. Plain data; what is absent is not
 * done.
 */
export interface HttpRoute {
  /** `Host` becomes the name of the endpoint that is chosen, where it has one. */
  readonly autoHostRewrite: boolean;
  /**
   * A client that the permission denies is answered 403 for each request; otherwise its connection
   * is closed.
   */
  readonly answersDenied: boolean;
  readonly timeouts?: HttpTimeouts;
  /** The first whose clients sent the request is the one that counts. */
  readonly rateLimits?: readonly RequestRateLimit[];
  /** In this order, each by itself. A request that they let through is limited then. */
  readonly faults?: readonly HttpFault[];
  /** A request is limited first, and what the limit lets through meets the faults. */
  readonly limitsFirst?: true;
  /** What a balancer that hashes goes by. */
  readonly hashPolicies?: readonly HashPolicy[];
}

/**
 * In milliseconds; 0 and what is absent never end anything, but for the two that have a default.
 */
export interface HttpTimeouts {
  /** From the end of a request to the end of its answer. */
  readonly requestMs?: number;
  /** A request on which nothing moves. Absent: five minutes, as in Envoy; 0: never. */
  readonly streamIdleMs?: number;
  /** From the head of a request to the end of its answer. */
  readonly maxStreamMs?: number;
  /**
   * A connection of a client without a request. Absent: an hour; 0: as long as any session may be
   * idle.
   */
  readonly idleMs?: number;
  /** A connection of a client takes no new requests after so long. */
  readonly maxConnectionMs?: number;
  /**
   * From the first byte of the head of a request to its last, of HTTP/1.1; at most as long as a
   * connection may take to be set up.
   */
  readonly headersMs?: number;
}

export const HTTP_TIMEOUT_DEFAULTS = { streamIdleMs: 300_000, idleMs: 3_600_000 } as const;

/**
 * Requests of one route, of the whole process: so many at once, refilled evenly over the interval.
 */
export interface RequestRateLimit {
  /** Of so many percent of requests a token is taken. Absent: of all. */
  readonly percent?: number;
  /** Of those for whom there is none, so many percent are refused. Absent: all. */
  readonly enforcedPercent?: number;
  /** Absent: all. */
  readonly clients?: readonly SenderRule[];
  readonly requests: number;
  readonly intervalMs: number;
  /** Absent: 429. */
  readonly status?: number;
  /** Of the answer: names and values in turns. */
  readonly headers?: readonly string[];
  /** Status of gRPC; absent: 14. */
  readonly grpcStatus?: number;
}

/** A delay first, then an abort; a bandwidth is of the answer. */
export interface HttpFault {
  /** Absent: all. */
  readonly clients?: readonly SenderRule[];
  readonly delay?: { readonly ms: number; readonly percent: number };
  readonly abort?: { readonly status: number; readonly grpcStatus?: number; readonly percent: number };
  /** In KiB a second, as Envoy counts what Kuma calls kbps. */
  readonly bandwidth?: { readonly kibPerSecond: number; readonly percent: number };
}

/** Requests by who sends them; all rules of a list have to hold. */
export type SenderRule =
  /**
   * One of these sets of tags is among those that a sidecar writes into `x-kuma-tags`. A value is
   * the end of one there, as Kuma's pattern has it.
   */
  | { readonly kind: 'tags'; readonly any: readonly Readonly<Record<string, string>>[]; readonly not?: boolean }
  | { readonly kind: 'header'; readonly name: string; readonly match: HeaderMatch; readonly not?: boolean }
  /** By the certificate of the client. */
  | { readonly kind: 'client'; readonly principal: Principal; readonly not?: boolean };

export type HeaderMatch =
  | { readonly kind: 'present' }
  | { readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains'; readonly value: string; readonly ignoreCase?: boolean };

/** `terminal`: where it gives a hash, those behind it do not count. */
export type HashPolicy = { readonly terminal?: boolean } & (
  | { readonly kind: 'header'; readonly name: string }
  /** With a lifetime, a client without the cookie is given one. */
  | { readonly kind: 'cookie'; readonly name: string; readonly lifetimeMs?: number; readonly path?: string }
  | { readonly kind: 'query'; readonly name: string }
  | { readonly kind: 'source-ip' }
);
