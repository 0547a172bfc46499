/**
 * Reads requests of HTTP/2 from connections whose mesh TLS is terminated. Node's library does
 * framing, flow control and the defence against floods.
 */
import { constants, performServerHandshake } from 'node:http2';
import type { Http2Session, ServerHttp2Session, ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../base/clock.ts';
import { ignoreError } from '../../base/ignore-error.ts';
import { checkHttp2 } from '../../routing/check-head.ts';
import { bodyCame } from './body-memory.ts';
import { ControlBudget, FLOOD } from './control-budget.ts';
import { H2 } from './exchange.ts';
import type { Exchange, RequestHead, ResponseBody, ResponseHead } from './exchange.ts';
import { LINGER_MS, MAX_HEAD_BYTES } from './front-connection.ts';
import type { FrontConnection } from './front-connection.ts';
import type { FloodWatch } from './flood-watch.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import { fieldsOf } from '../../wire/flat-headers.ts';
import { RequestBody } from './request-body.ts';
import { SlowClient } from './slow-client.ts';
import { keepsOwnPieces } from './small-pieces.ts';
import { REPLIES, wireReply } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';

const MAX_STREAMS = 1_024;
/** Heads of HTTP/1.1 services may have 128 KB. */
export const MAX_SENT_HEAD_BYTES: number = 256 * 1024;
/**
 * Forwards fields that should occur once as often as they came. Node's types do not know the option
 * yet.
 */
export const REPEATABLE: Readonly<Record<'strictSingleValueFields', boolean>> = { strictSingleValueFields: false };
/** The most bytes of one stream that wait unread. */
export const WINDOW_BYTES: number = 256 * 1024;
/**
 * The library gives bytes back to this window as they come, whether they are read or not: it only
 * bounds how often that costs a frame.
 */
const SESSION_WINDOW_BYTES = 1024 * 1024;
const TOO_LARGE = { answer: 'headTooLarge', why: `the head of the request has over ${MAX_HEAD_BYTES} bytes` } as const;

export interface OpenH2 {
  /**
   * Sends GOAWAY with the number of the last request; requests in progress end by themselves. A
   * request that crosses it on the way is not begun, which its client knows by the number.
   */
  goAway(): void;
}

/** Serves the socket until it ends. */
export function openH2(
  socket: Socket,
  connection: FrontConnection,
  { clock, watch, setupMs }: { readonly clock: Clock; readonly watch: FloodWatch; readonly setupMs: number },
): OpenH2 {
  const budget = new ControlBudget(clock.now());
  const session: ServerHttp2Session = performServerHandshake(socket, {
    maxHeaderListPairs: 128,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    maxOutstandingPings: 10,
    maxSendHeaderBlockLength: MAX_SENT_HEAD_BYTES,
    ...REPEATABLE,
    settings: {
      maxConcurrentStreams: MAX_STREAMS,
      initialWindowSize: WINDOW_BYTES,
      maxHeaderListSize: MAX_HEAD_BYTES,
      enablePush: false,
    },
  });
  setWindow(session, SESSION_WINDOW_BYTES);
  session.on('error', ignoreError);
  session.on('frameError', ignoreError);
  const slow = watchClient(session, socket, { connection, clock, watch, setupMs, budget });
  // Envoy first sends a GOAWAY for any number. The library takes no stream after any GOAWAY, so
  // only the one with the last number is sent.
  const goAway = (): void => {
    if (!session.destroyed && !session.closed) session.close();
  };
  session.on('stream', (stream: ServerHttp2Stream, _headers: unknown, flags: number, raw: string[]) => {
    stream.on('error', ignoreError);
    slow.headIsOver(stream.id ?? 0);
    let headBytes = 0;
    for (const text of raw) headBytes += text.length;
    budget.begun(headBytes + 16 * raw.length);
    const head = headOf(raw);
    const exchange = new H2Exchange(stream, head, {
      hasBody: (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0,
      clock,
      budget,
      onAnswer: () => connection.closing && goAway(),
    });
    // The library announces the limit to the client but does not enforce it.
    const refused = headBytes > MAX_HEAD_BYTES ? TOO_LARGE : checkHttp2(head);
    if (refused !== null) {
      const reply = REPLIES[refused.answer];
      connection.onUnread({ reply, why: refused.why, head });
      exchange.reply(reply);
      return;
    }
    // The client may have reset the stream in the same read.
    const isOpen = !stream.destroyed && !stream.closed;
    if (isOpen && exchange.body !== null && head.fields.expects.some((each) => each.toLowerCase() === '100-continue'))
      stream.additionalHeaders({ ':status': 100 });
    void connection.serve(exchange);
  });
  return { goAway };
}

interface ClientWatch {
  readonly connection: FrontConnection;
  readonly clock: Clock;
  readonly watch: FloodWatch;
  readonly setupMs: number;
  readonly budget: ControlBudget;
}

/** Ends the connection of a client that floods it, or does not finish what it has begun. */
function watchClient(
  session: ServerHttp2Session,
  socket: Socket,
  { connection, clock, watch, setupMs, budget }: ClientWatch,
): SlowClient {
  const headMs = Math.min(connection.headTimeoutMs ?? Infinity, setupMs);
  const slow = new SlowClient(session, socket, { settingsMs: setupMs, headMs }, clock.now());
  const end = (why: string, code: number, late?: true): void => {
    connection.onUnread({ reply: null, why, head: null, ...(late === true ? { late } : {}) });
    session.destroy(new Error(why), code);
  };
  const stop = watch.add(() => {
    if (session.destroyed) return;
    const late = slow.look(clock.now());
    if (late !== null) return end(late.why, late.code, true);
    // The bytes of a head count when it is complete.
    if (!slow.readsHead && budget.isSpent(socket.bytesRead, clock.now())) end(FLOOD, H2.enhanceYourCalm);
  });
  socket.once('close', stop);
  return slow;
}

/** Sets the window of the whole connection. The library throws where its socket is gone already. */
export function setWindow(session: Http2Session, bytes: number): void {
  if (!session.destroyed && !session.connecting) session.setLocalWindowSize(bytes);
}

/**
 * Reads raw headers of HTTP/2: pseudo-headers come first. The parts of a split cookie become one
 * header again.
 */
function headOf(raw: readonly string[]): RequestHead {
  let [method, path, authority] = ['', '', ''];
  const headers: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    if (name === ':method') method = value;
    else if (name === ':path') path = value;
    else if (name === ':authority') authority = value;
    else if (!name.startsWith(':')) headers.push(name.toLowerCase(), value);
  }
  const fields = fieldsOf(headers);
  if (authority === '') authority = fields.hosts[0] ?? '';
  const isGrpc = fields.contentType.startsWith('application/grpc');
  return { protocol: 'HTTP/2', method, path, authority, headers, fields, isGrpc };
}

class H2Exchange implements Exchange {
  readonly head: RequestHead;
  readonly body: RequestBody | null;
  answered = false;
  readonly #stream: ServerHttp2Stream;
  readonly #clock: Clock;
  readonly #budget: ControlBudget;
  readonly #onAnswer: () => void;

  constructor(
    stream: ServerHttp2Stream,
    head: RequestHead,
    {
      hasBody,
      clock,
      budget,
      onAnswer,
    }: {
      readonly hasBody: boolean;
      readonly clock: Clock;
      readonly budget: ControlBudget;
      /** Called when the head of its answer is sent. */
      readonly onAnswer: () => void;
    },
  ) {
    this.#budget = budget;
    this.#onAnswer = onAnswer;
    this.#stream = stream;
    this.#clock = clock;
    this.head = head;
    this.body = hasBody ? new RequestBody(stream) : null;
    if (!hasBody) return;
    keepsOwnPieces(stream);
    const waiting = budget.enter(stream);
    stream.on('data', ({ length }: Buffer) => {
      budget.body(length);
      bodyCame(length);
    });
    stream.on('trailers', (headers: object) => budget.body(JSON.stringify(headers).length));
    stream.once('close', () => budget.leave(waiting));
  }

  get bodyIsRead(): boolean {
    return this.body === null || this.#stream.readableEnded;
  }

  get gone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  onGone(listener: () => void): void {
    this.#stream.once('close', () => {
      if (!this.#stream.writableFinished || this.#stream.rstCode !== H2.noError) listener();
    });
  }

  reply(reply: LocalReply): void {
    const { status, headers, body } = wireReply(reply, { isGrpc: this.head.isGrpc, wallMs: this.#clock.wall() });
    // For gRPC the head is the end: a gRPC client takes any bytes after it for an answer.
    const isBare = body === '' || this.head.method === 'HEAD';
    const sink = this.#begin({ status, headers }, { endStream: isBare });
    if (!isBare) sink.write(Buffer.from(body));
    sink.end([]);
  }

  respond(head: ResponseHead): ResponseBody {
    if (head.isComplete === true) return this.#begin(head, {});
    return this.#begin(head, head.isWhole === true ? { endStream: true } : { waitForTrailers: true });
  }

  /**
   * Waits for trailers in every answer that may stay incomplete, even one without trailers:
   * otherwise the library ends the stream as complete before it resets it.
   */
  #begin({ status, headers }: ResponseHead, options: ServerStreamResponseOptions): ResponseBody {
    const stream = this.#stream;
    let trailers: FlatHeaders = [];
    if (!stream.destroyed && !stream.closed) {
      stream.respond([':status', String(status), ...headers], { ...options, sendDate: false } as ServerStreamResponseOptions);
      // Without trailers the library sends an empty piece that ends the stream. Closing it here
      // would reset it, and a strict client takes a reset answer for an incomplete one.
      if (options.waitForTrailers === true) stream.on('wantTrailers', () => sendTrailers(stream, trailers));
    }
    this.answered = true;
    this.#onAnswer();
    return {
      write: (chunk) => {
        this.#budget.written(chunk.length);
        return stream.destroyed || stream.write(chunk);
      },
      onDrain: (listener) => void stream.on('drain', listener),
      end: (last) => {
        trailers = last;
        if (stream.destroyed) return;
        stream.end();
        if (!this.bodyIsRead) this.#throwAwayRest();
      },
      reset: (code) => this.#cut(code),
    };
  }

  /**
   * Drops the rest of the request. The reset comes later, because some clients lose an answer that
   * is followed directly by a reset.
   */
  #throwAwayRest(): void {
    const stream = this.#stream;
    let timer: Timer | null = null;
    stream.once('finish', () => (timer = this.#clock.after(LINGER_MS, () => this.#cut(H2.noError))));
    stream.once('close', () => timer?.cancel());
    this.body?.drop();
  }

  #cut(code: number): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    if (!this.bodyIsRead) this.#budget.cutOff();
    stream.close(code);
  }
}

/**
 * Leaves an answer incomplete whose trailers the library refuses: in this event its error would end
 * the process.
 */
function sendTrailers(stream: ServerHttp2Stream, trailers: FlatHeaders): void {
  try {
    stream.sendTrailers(grouped(trailers));
  } catch {
    stream.close(H2.internal);
  }
}

/** Groups headers as `node:http2` takes them: a header that occurs more than once is a list. */
function grouped(headers: FlatHeaders): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    const before = out[name];
    if (before === undefined) out[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else out[name] = [before, value];
  }
  return out;
}
