import { constants } from 'node:http2';
import type { ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { ChainEntry, Linked } from '../../base/chain.ts';
import { fieldsOf } from '../../wire/flat-headers.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import { bodyCame } from './body-memory.ts';
import { bytesOf } from './control-budget.ts';
import type { ControlBudget } from './control-budget.ts';
import { H2 } from './exchange.ts';
import type { ResetReason } from './local-reply.ts';
import type { RequestBody } from './request-body.ts';
import { keepsOwnPieces, ownPiece } from './small-pieces.ts';
import { textOf } from './upstream-connection.ts';
import type { ServiceHead, UpstreamCall, UpstreamListener } from './upstream-connection.ts';

/** The most bytes of an answer that wait for the end of the turn in which they came. */
const MOST_GATHERED_BYTES = 32 * 1024;

/** The side of a connection that its calls use. */
export interface CallHost {
  readonly budget: ControlBudget;
  readonly socket: Socket;
  /** Call it for each interim answer: it costs as much as a request. */
  look(): void;
  /** Calls `passOn` of the call at the end of this turn. */
  atTurnEnd(call: H2Call): void;
  /** Call it once, when nothing more comes for the call. */
  over(call: H2Call): void;
}

/** Thrown when the service breaks the rules of the whole connection, or floods it. */
export class BrokenConnection extends Error {}

/**
 * One request on a connection of HTTP/2, and its answer. The answer is passed on at the end of the
 * turn in which it began, so that one that is small is known to be complete when its head is
 * passed on, and needs no frame of its own for its end.
 */
export class H2Call implements UpstreamCall, Linked<H2Call> {
  chain: object | null = null;
  before: H2Call | null = null;
  after: H2Call | null = null;
  readonly #host: CallHost;
  readonly #listener: UpstreamListener;
  #stream: ClientHttp2Stream | null = null;
  #waiting: ChainEntry<Readable> | null = null;
  #head: ServiceHead | null = null;
  /** Pieces of the answer that wait for the end of the turn. */
  #pieces: Buffer[] = [];
  #gatheredBytes = 0;
  #isPassedOn = false;
  #trailers: FlatHeaders = [];
  #failure: Error | null = null;
  #body: RequestBody | null = null;
  #over = false;
  #isCancelled = false;
  #keepsOwn = false;

  constructor(host: CallHost, listener: UpstreamListener) {
    this.#host = host;
    this.#listener = listener;
  }

  begin(stream: ClientHttp2Stream, body: RequestBody | null): void {
    const { budget } = this.#host;
    this.#stream = stream;
    budget.begun(0);
    this.#waiting = budget.enter(stream);
    stream.on('error', (error: Error) => (this.#failure = error));
    stream.on('headers', () => this.#host.look());
    stream.on('response', (_headers, flags, raw?: unknown) => this.#onHead(flags, rawTexts(raw)));
    stream.on('trailers', (_headers, _flags, raw?: unknown) => {
      this.#trailers = rawTexts(raw);
      budget.body(bytesOf(this.#trailers));
    });
    stream.on('data', (chunk: Buffer) => this.#onData(stream, chunk));
    stream.on('close', () => this.#onClose(stream));
    if (body !== null) this.#send(stream, body);
  }

  /** Sends the body of the request; a body that is cut off resets the stream. */
  #send(stream: ClientHttp2Stream, body: RequestBody): void {
    this.#body = body;
    stream.on('drain', () => body.resume());
    body.pour({
      write: (piece) => {
        if (stream.destroyed || stream.writableEnded) return true;
        this.#host.budget.written(piece.length);
        this.#listener.onSent(piece.length);
        return stream.write(piece);
      },
      end: () => stream.end(),
      cut: () => {
        if (!stream.destroyed) stream.close(H2.cancel);
      },
    });
  }

  resume(): void {
    this.#stream?.resume();
  }

  cancel(): void {
    this.#isCancelled = true;
    if (!this.#finish()) return;
    this.#host.budget.cutOff();
    this.#stream?.close(H2.cancel);
  }

  /** The service has ended its side: an answer that is not complete fails. */
  connectionEnded(): void {
    const stream = this.#stream;
    if (stream === null || stream.closed || stream.state?.remoteClose === 1 || !this.#finish()) return;
    this.#passOn(false);
    this.#listener.onReset('connection termination', H2.internal, 'the service ended the connection');
    stream.destroy();
  }

  passOn(): void {
    if (!this.#over) this.#passOn(false);
  }

  #onHead(flags: number, flat: readonly string[]): void {
    this.#host.budget.body(bytesOf(flat));
    let status = 0;
    const headers: string[] = [];
    for (let i = 0; i < flat.length; i += 2) {
      const name = flat[i] ?? '';
      const value = flat[i + 1] ?? '';
      if (!name.startsWith(':')) headers.push(name, value);
      else if (name === ':status') status = Number(value);
    }
    const isWhole = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    this.#head = { status, headers, fields: fieldsOf(headers), isWhole };
    if (isWhole || this.#gatheredBytes > MOST_GATHERED_BYTES) this.#passOn(false);
    else this.#host.atTurnEnd(this);
  }

  #onData(stream: ClientHttp2Stream, chunk: Buffer): void {
    this.#host.budget.body(chunk.length);
    bodyCame(chunk.length);
    const own = ownPiece(chunk);
    if (this.#isPassedOn) {
      if (!this.#listener.onData(own)) this.#pause(stream);
      return;
    }
    this.#pieces.push(own);
    this.#gatheredBytes += own.length;
    if (this.#gatheredBytes > MOST_GATHERED_BYTES) this.#passOn(false);
  }

  /** Does nothing before the head of the answer has come. */
  #passOn(isComplete: boolean): void {
    const stream = this.#stream;
    if (this.#isPassedOn || this.#head === null || stream === null) return;
    this.#isPassedOn = true;
    this.#listener.onHead(isComplete ? { ...this.#head, isComplete } : this.#head);
    const pieces = this.#pieces;
    this.#pieces = [];
    let isHeld = false;
    for (const piece of pieces) {
      if (this.#isCancelled) return;
      if (!this.#listener.onData(piece)) isHeld = true;
    }
    if (isHeld) this.#pause(stream);
  }

  /** Holds later pieces in the stream until it is resumed. */
  #pause(stream: ClientHttp2Stream): void {
    if (!this.#keepsOwn) keepsOwnPieces(stream);
    this.#keepsOwn = true;
    stream.pause();
  }

  #onClose(stream: ClientHttp2Stream): void {
    if (this.#waiting !== null) this.#host.budget.leave(this.#waiting);
    this.#body?.resume();
    if (!this.#finish()) return;
    const { rstCode = H2.internal } = stream;
    const isWhole = rstCode === H2.noError && stream.readableEnded;
    this.#passOn(isWhole && this.#trailers.length === 0);
    if (this.#isCancelled) return;
    if (isWhole) return this.#listener.onEnd(this.#trailers);
    const failure = this.#failure;
    const reason = this.#host.socket.destroyed && failure === null ? 'connection termination' : reasonOf(rstCode, failure);
    this.#listener.onReset(reason, rstCode, failure === null ? '' : textOf(failure));
  }

  /** Returns false where it was over already. */
  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#host.over(this);
    return true;
  }
}

function rawTexts(raw: unknown): readonly string[] {
  return Array.isArray(raw) ? (raw as string[]) : [];
}

function reasonOf(code: number, failure: NodeJS.ErrnoException | null): ResetReason {
  if (failure instanceof BrokenConnection || BROKEN.has(failure?.code ?? '')) return 'protocol error';
  if (code === H2.refusedStream) return 'remote refused stream reset';
  if (code === H2.noError) return 'connection termination';
  return code === H2.protocol ? 'protocol error' : 'remote reset';
}

/** The library's error codes for a connection that breaks the rules. */
const BROKEN: ReadonlySet<string> = new Set(['ERR_HTTP2_ERROR', 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES']);
