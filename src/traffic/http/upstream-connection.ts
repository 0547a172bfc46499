import type { Readable } from 'node:stream';
import type { HttpPool } from '../../model/cluster.ts';
import type { Target } from '../../routing/choose.ts';
import type { ResponseHead } from './exchange.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import type { ResetReason } from './local-reply.ts';

export interface UpstreamRequest {
  readonly method: string;
  readonly path: string;
  /** `host` is the first. */
  readonly headers: FlatHeaders;
  readonly body: Readable | null;
}

/**
 * What comes of a request, in this order: a head, pieces, an end; or at any moment a reset, and
 * nothing after it.
 */
export interface UpstreamListener {
  /** Bytes of the request's body that went out. */
  onSent(bytes: number): void;
  onHead(head: ResponseHead): void;
  /** False: the next piece waits until `resume`. */
  onData(chunk: Buffer): boolean;
  onEnd(trailers: FlatHeaders): void;
  /** `code` is that of HTTP/2, where the service gave one. */
  onReset(reason: ResetReason, code: number, detail: string): void;
  /** In place of all these: the connection was over before a byte of the request went out. */
  onUnsent(detail: string): void;
}

export interface UpstreamCall {
  resume(): void;
  /** The client gave up. */
  cancel(): void;
}

/** A connection to a service. A place on it is reserved before it is used. */
export interface Connection {
  readonly target: Target;
  readonly isOpen: boolean;
  /** Requests that it could take now. */
  readonly room: number;
  /** Places that were taken on it, ever. */
  readonly used: number;
  /** Places that are taken. */
  readonly busy: number;
  /** The service announced that it takes no more requests. */
  readonly isLeaving: boolean;
  reserve(): void;
  /** In place of `send`; one that was made for it and carried nothing ends. */
  drop(): void;
  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall;
  /** It takes no more requests, and ends with those that it carries. */
  close(): void;
}

export interface ConnectionOptions {
  readonly target: Target;
  readonly pool: HttpPool;
  onGone(): void;
  /** A place is free again. */
  onRoom(): void;
}

/**
 * An idle connection stays for so long; Envoy's default is an hour, and services end theirs sooner.
 */
const IDLE_MS = 60_000;
/** What timers of Node take. */
const NEVER_MS = 2 ** 31 - 1;

export function idleMsOf({ idleMs = IDLE_MS }: HttpPool): number {
  return idleMs === 0 ? NEVER_MS : Math.min(idleMs, NEVER_MS);
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
