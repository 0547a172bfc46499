import type { Clock } from '../../base/clock.ts';
import type { HttpPool } from '../../model/cluster.ts';
import type { Target } from '../../routing/choose.ts';
import type { ResponseHead } from './exchange.ts';
import type { FloodWatch } from './flood-watch.ts';
import type { FlatHeaders, HeadFields } from '../../wire/flat-headers.ts';
import type { ResetReason } from './local-reply.ts';
import type { RequestBody } from './request-body.ts';

export interface UpstreamRequest {
  readonly method: string;
  readonly path: string;
  /** `host` comes first. */
  readonly headers: FlatHeaders;
  readonly body: RequestBody | null;
}

/** The head of an answer as the service sent it, with the headers that are looked at. */
export interface ServiceHead extends ResponseHead {
  readonly fields: HeadFields;
}

/**
 * Events of a request, in this order: a head, pieces, an end. A reset may come at any moment, and
 * nothing follows it.
 */
export interface UpstreamListener {
  /** Called with the number of bytes of the request's body that were sent. */
  onSent(bytes: number): void;
  onHead(head: ServiceHead): void;
  /** Returns false to hold the next piece back until `resume`. */
  onData(chunk: Buffer): boolean;
  onEnd(trailers: FlatHeaders): void;
  /** `code` is the error code of HTTP/2, where the service sent one. */
  onReset(reason: ResetReason, code: number, detail: string): void;
  /** Called instead of all others: the connection ended before a byte of the request was sent. */
  onUnsent(detail: string): void;
}

export interface UpstreamCall {
  resume(): void;
  /** Called when the client gave up. */
  cancel(): void;
}

/** A connection to a service. A place on it is reserved before it is used. */
export interface Connection {
  readonly target: Target;
  readonly isOpen: boolean;
  /** Number of requests that it could take now. */
  readonly room: number;
  /** Number of places ever taken on it. */
  readonly used: number;
  /** Number of places taken now. */
  readonly busy: number;
  /** True when the service announced that it takes no more requests. */
  readonly isLeaving: boolean;
  reserve(): void;
  /**
   * Gives the place back instead of `send`; a connection that was made for it and carried no
   * request ends.
   */
  drop(): void;
  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall;
  /** Takes no more requests, and ends after those in progress. */
  close(): void;
}

export interface ConnectionOptions {
  readonly target: Target;
  readonly pool: HttpPool;
  readonly clock: Clock;
  readonly watch: FloodWatch;
  onGone(): void;
  /** Called when a place is free again. */
  onRoom(): void;
}

/**
 * The time that an idle connection stays. Envoy's default is an hour; services end theirs sooner.
 */
const IDLE_MS = 60_000;
/** The longest delay of a Node timer. */
const NEVER_MS = 2 ** 31 - 1;

export function idleMsOf({ idleMs = IDLE_MS }: HttpPool): number {
  return idleMs === 0 ? NEVER_MS : Math.min(idleMs, NEVER_MS);
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
