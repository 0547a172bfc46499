import type { Socket } from 'node:net';
import type { Client, Dispatcher } from 'undici';
import { Refused } from '../../base/refusal.ts';
import type { Target } from '../../routing/choose.ts';
import { answerFault } from '../../routing/check-head.ts';
import { fieldsOf } from '../../wire/flat-headers.ts';
import { freeWhatIsWritten } from '../free-memory.ts';
import { bytesOf, ControlBudget, FLOOD } from './control-budget.ts';
import { earlyHead } from './early-head.ts';
import type { EarlyHead } from './early-head.ts';
import { H2 } from './exchange.ts';
import { lowerNames } from './headers.ts';
import type { ResetReason } from './local-reply.ts';
import { clientErrors, Http1Client, takeContinue } from './undici-client.ts';
import { idleMsOf, textOf } from './upstream-connection.ts';
import type { Connection, ConnectionOptions, UpstreamCall, UpstreamListener, UpstreamRequest } from './upstream-connection.ts';

class UnsoundAnswer extends Error {}

const MAX_ANSWER_HEAD_BYTES = 128 * 1024;

/** The most bytes that may have been read of a body that is held back. */
const MOST_EXCESS_BYTES = 256 * 1024;

export class Http1Connection implements Connection {
  readonly target: Target;
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly isLeaving = false;
  readonly #budget: ControlBudget;
  #closed = false;
  busy = 0;
  used = 0;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.target = options.target;
    this.#options = options;
    this.#socket = socket;
    freeWhatIsWritten(socket);
    const idleMs = idleMsOf(options.pool);
    let given = false;
    this.#client = new Http1Client('http://service', {
      pipelining: 1,
      keepAliveTimeout: idleMs,
      keepAliveMaxTimeout: idleMs,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_ANSWER_HEAD_BYTES,
      connect: (_, callback) => {
        if (given) return callback(new Error('the connection is over'), null);
        given = true;
        queueMicrotask(() => callback(null, socket));
        return;
      },
    });
    this.#client.once('connect', () => takeContinue(socket));
    this.#budget = new ControlBudget(options.clock.now(), MOST_EXCESS_BYTES);
    const stop = options.watch.add(() => this.#look(false));
    socket.once('close', () => {
      stop();
      this.#closed = true;
      options.onGone();
      void this.#client.destroy();
    });
  }

  get isOpen(): boolean {
    return !this.#closed && !this.#socket.destroyed && this.#socket.readable && this.#socket.writable;
  }

  get room(): number {
    return 1 - this.busy;
  }

  reserve(): void {
    this.busy = 1;
    this.used++;
  }

  drop(): void {
    this.used--;
    this.#release();
    if (this.used === 0 && this.busy === 0) this.close();
  }

  #release(): void {
    this.busy = 0;
    if (this.#closed || this.used >= (this.#options.pool.maxRequests ?? Infinity)) this.close();
    else this.#options.onRoom();
  }

  close(): void {
    this.#closed = true;
    if (this.busy === 0) this.#socket.destroy();
  }

  #look(midRead: boolean): void {
    if (this.#socket.destroyed) return;
    if (!this.#budget.isSpent(this.#socket.bytesRead, this.#options.clock.now(), midRead)) return;
    this.#socket.destroy(new UnsoundAnswer(FLOOD));
  }

  /** Over 60 lines: the events of one request share whether it is over. */
  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall {
    let controller: Dispatcher.DispatchController | null = null;
    let begun = false;
    let over = false;
    let early: EarlyHead | null = null;
    const socket = this.#socket;
    const budget = this.#budget;
    const finish = (): boolean => {
      if (over) return false;
      over = true;
      early?.cancel();
      return true;
    };
    this.#client.dispatch(
      {
        method: request.method,
        path: request.path,
        headers: request.headers.filter((_, i) => request.headers[i - (i % 2)] !== 'transfer-encoding'),
        body: request.body?.stream() ?? null,
      },
      {
        onRequestStart(given) {
          controller = given;
          if (over) given.abort(new Error('the client is gone'));
          else if (request.body !== null) early = earlyHead(socket);
        },
        onBodySent(chunk: Buffer | string) {
          early?.cancel();
          listener.onSent(chunk.length);
        },
        // Runs before the end of the body is written.
        onRequestSent: () => early?.cancel(),
        onResponseStart: (given, status) => {
          // Interim answers such as 100 and 103 are not forwarded.
          if (status >= 100 && status < 200) return this.#look(true);
          const headers = rawTexts(given.rawHeaders);
          budget.begun(bytesOf(headers));
          const fields = fieldsOf(headers);
          const fault = answerFault(status, headers, fields);
          if (fault !== null) return given.abort(new UnsoundAnswer(fault));
          begun = true;
          listener.onHead({ status, headers, fields });
        },
        onResponseData(given, chunk) {
          budget.body(chunk.length);
          // A piece of what was read from the socket, which the parser does not touch again.
          if (!listener.onData(chunk)) given.pause();
        },
        onResponseEnd: (given) => {
          if (!finish()) return;
          const trailers = rawTexts(given.rawTrailers);
          budget.body(bytesOf(trailers));
          // The parser obeys such a trailer, and would read the next answer in another way.
          if (trailers.some((name, i) => i % 2 === 0 && OF_THE_CONNECTION.has(name))) this.#closed = true;
          listener.onEnd(trailers);
          // The library ends a connection that is not kept within this turn.
          queueMicrotask(() => this.#release());
        },
        onResponseError: (_, error) => {
          if (!finish()) return;
          if (this.isOpen) socket.destroy();
          if (controller === null) return listener.onUnsent(textOf(error));
          listener.onReset(reasonOf(error, begun), H2.internal, wordsOf(error));
        },
      },
    );
    return {
      resume: () => controller?.resume(),
      cancel: () => {
        if (!finish()) return;
        if (controller === null) socket.destroy();
        else controller.abort(new Error('the client is gone'));
      },
    };
  }
}

const OF_THE_CONNECTION: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'transfer-encoding',
  'content-length',
  'upgrade',
]);

/** The parser leaves white space at the end of values, which does not belong to them. */
function rawTexts(raw: unknown): string[] {
  if (!Array.isArray(raw)) return [];
  const texts = raw.map((each: unknown) => (Buffer.isBuffer(each) ? each.toString('latin1') : String(each)));
  return lowerNames(texts.map((text) => (text.endsWith(' ') || text.endsWith('\t') ? text.replace(/[ \t]+$/, '') : text)));
}

/** The library's own texts for these say what happened to it, not what the service did. */
function wordsOf(error: Error): string {
  if (error instanceof clientErrors.HeadersOverflowError) return `the head of the answer has over ${MAX_ANSWER_HEAD_BYTES} bytes`;
  return error.message === 'bad upgrade' ? 'the answer has status 101, which changes the protocol' : textOf(error);
}

function reasonOf(error: Error, begun: boolean): ResetReason {
  if (error instanceof UnsoundAnswer) return 'protocol error';
  if (error instanceof clientErrors.HTTPParserError || error instanceof clientErrors.HeadersOverflowError)
    return 'protocol error';
  if (error instanceof clientErrors.ResponseContentLengthMismatchError) return 'protocol error';
  if (!begun && /bad (response|upgrade)/.test(error.message)) return 'protocol error';
  if (error instanceof Refused) return 'remote connection failure';
  return 'connection termination';
}
