import type { Principal } from './permission.ts';

/**
 * How a terminated route is served whose service speaks HTTP. Plain data; an absent field has no
 * effect.
 */
export interface HttpRoute {
  /**
   * True sets `Host` to the name of the chosen endpoint, where it has one, as Kuma's egress does
   * since kumahq/kuma#8403.
   */
  readonly autoHostRewrite: boolean;
  /** True answers each request of a denied client with 403; otherwise its connection is closed. */
  readonly answersDenied: boolean;
  readonly timeouts?: HttpTimeouts;
  /** The first whose clients include the sender replaces those of `timeouts`. */
  readonly clientTimeouts?: readonly ClientTimeouts[];
  /** The first limit whose clients include the sender counts. */
  readonly rateLimits?: readonly RequestRateLimit[];
  /** Applied in this order, each on its own. Requests that pass them are limited afterwards. */
  readonly faults?: readonly HttpFault[];
  /** True limits a request first; requests within the limit meet the faults. */
  readonly limitsFirst?: true;
  /** The input of a balancer that hashes. */
  readonly hashPolicies?: readonly HashPolicy[];
}

/** Milliseconds; 0 and absent fields never end anything, except the two that have a default. */
export interface HttpTimeouts {
  /** From the end of a request to the end of its answer. */
  readonly requestMs?: number;
  /**
   * Ends a request on which no byte moves. Absent means five minutes, as in Envoy; 0 never ends it.
   */
  readonly streamIdleMs?: number;
  /** From the head of a request to the end of its answer. */
  readonly maxStreamMs?: number;
  /**
   * Ends a client connection without a request. Absent means an hour; 0 means the idle timeout of
   * every session.
   */
  readonly idleMs?: number;
  /** A client connection takes no new requests after this time. */
  readonly maxConnectionMs?: number;
  /**
   * From the first byte of the head of a request to its last; at most the time in which a
   * connection must be set up.
   */
  readonly headersMs?: number;
}

/** Timeouts of requests of certain clients; those of `timeouts` count for an absent field. */
export interface ClientTimeouts extends Pick<HttpTimeouts, 'requestMs' | 'streamIdleMs'> {
  readonly clients: readonly SenderRule[];
}

export const HTTP_TIMEOUT_DEFAULTS = { streamIdleMs: 300_000, idleMs: 3_600_000 } as const;

/**
 * Limits requests of one route, for the whole process: this many at once, refilled evenly over the
 * interval.
 */
export interface RequestRateLimit {
  /** The percentage of requests that take a token. Absent means all. */
  readonly percent?: number;
  /** The percentage of requests without a token that are refused. Absent means all. */
  readonly enforcedPercent?: number;
  /** Absent means all clients. */
  readonly clients?: readonly SenderRule[];
  readonly requests: number;
  readonly intervalMs: number;
  /** Absent means 429. */
  readonly status?: number;
  /** Headers of the answer; names and values alternate. */
  readonly headers?: readonly string[];
  /** Status of gRPC; absent means 14. */
  readonly grpcStatus?: number;
}

/** A delay comes first, then an abort; a bandwidth limits the answer. */
export interface HttpFault {
  /** Absent means all clients. */
  readonly clients?: readonly SenderRule[];
  readonly delay?: { readonly ms: number; readonly percent: number };
  readonly abort?: { readonly status: number; readonly grpcStatus?: number; readonly percent: number };
  /** In KiB a second: Envoy counts so what Kuma calls kbps. */
  readonly bandwidth?: { readonly kibPerSecond: number; readonly percent: number };
}

/** A condition on the sender of a request; all rules of a list must hold. */
export type SenderRule =
  /**
   * One of these sets of tags is among those that a sidecar writes into `x-kuma-tags`. A value may
   * also be the end of a longer one there, as in Kuma's pattern.
   */
  | { readonly kind: 'tags'; readonly any: readonly Readonly<Record<string, string>>[]; readonly not?: boolean }
  | { readonly kind: 'header'; readonly name: string; readonly match: HeaderMatch; readonly not?: boolean }
  /** A condition on the certificate of the client. */
  | { readonly kind: 'client'; readonly principal: Principal; readonly not?: boolean };

export type HeaderMatch =
  | { readonly kind: 'present' }
  | { readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains'; readonly value: string; readonly ignoreCase?: boolean };

/** `terminal`: when it gives a hash, later policies are skipped. */
export type HashPolicy = { readonly terminal?: boolean } & (
  | { readonly kind: 'header'; readonly name: string }
  /** With a lifetime, a client without the cookie gets one. */
  | { readonly kind: 'cookie'; readonly name: string; readonly lifetimeMs?: number; readonly path?: string }
  | { readonly kind: 'query'; readonly name: string }
  | { readonly kind: 'source-ip' }
);
