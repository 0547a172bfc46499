import type { Trace } from './trace.ts';

/**
 * What a running egress may be asked: about a session that it remembers, or about a connection that
 * somebody thinks of.
 */
export type Question =
  | { readonly id: string }
  | {
      /** Null: a hello that names no server. */
      readonly sni: string | null;
      /**
       * URI names of the client's certificate, taken at their word: a SPIFFE id at least. Absent:
       * the client has no certificate.
       */
      readonly from?: readonly string[];
    };

/** A connection that somebody thinks of, with its endpoints dialled. */
export type ProbeQuestion = Extract<Question, { readonly sni: string | null }>;

export type Answer =
  | { readonly kind: 'trace'; readonly trace: Trace }
  /** Names that cannot be those of a client. */
  | { readonly kind: 'bad-question'; readonly why: string }
  /** As many endpoints are dialled for others as may be at a time. */
  | { readonly kind: 'busy'; readonly why: string }
  /** The session is not among those that are remembered. */
  | { readonly kind: 'no-record'; readonly why: string };
