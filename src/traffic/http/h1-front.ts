/**
 * Requests of HTTP/1.1 from connections whose mesh TLS has ended. The parser is Node's own, strict:
 * what it refuses is answered as Envoy does, and the connection ends. Requests of one connection
 * are served one after another.
 */
import { createServer, STATUS_CODES } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { Clock, Timer } from '../../base/clock.ts';
import { checkHttp1 } from './check-head.ts';
import type { Exchange, RequestHead, ResponseBody, ResponseHead } from './exchange.ts';
import { lowerNames } from './headers.ts';
import { valuesOf } from '../../wire/flat-headers.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import { requestBody } from './request-body.ts';
import { rawReply, REPLIES, wireReply } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';

/** What a connection of a client offers its codec. */
export interface FrontConnection {
  serve(exchange: Exchange): Promise<void>;
  /** The answers of this connection are the last: the egress is draining. */
  readonly closing: boolean;
  /** A head that is not complete after so long ends the connection. Absent: as for all. */
  readonly headTimeoutMs?: number;
  /**
   * A request that no codec could read got this answer, or the end of its connection. `head` is
   * what is known of it.
   */
  onRefused(reply: LocalReply | null, detail: string, head: RequestHead | null): void;
}

/** Envoy's `max_request_headers_kb` is 60. */
export const MAX_HEAD_BYTES: number = 60 * 1024;
/**
 * Requests of one connection that wait for the one before: with so many it is not read any more,
 * and it is again with the few.
 */
const MANY_WAITING = 64;
const FEW_WAITING = 16;
/**
 * What was read before the connection stopped is parsed to its end: more than fit there are cut
 * off.
 */
const MOST_WAITING = 4_096;
/**
 * Envoy's `delayed_close_timeout`: a client may read the last answer for so long before the
 * connection is cut.
 */
const LINGER_MS = 1_000;

interface Served {
  readonly connection: FrontConnection;
  readonly socket: Duplex;
  tail: Promise<void>;
  waiting: number;
  /** The connection is not read because of those that wait. */
  held: boolean;
  /** The connection ends with the answer that is under way. */
  ending: boolean;
  /**
   * The request that was read last; nothing behind it is served where it asked for another
   * protocol.
   */
  last: IncomingMessage | null;
  lastOfAll: boolean;
  /** The parser has given up on what came behind the last request, or within it. */
  failed: LocalReply | null;
  /** The request whose turn it is, and how it is told that its answer is given in its place. */
  running: IncomingMessage | null;
  cut: (() => void) | null;
  /** The running request has the head of its answer. */
  answering: boolean;
  /** Since the head that is being read is late while others wait. */
  late: Timer | null;
}

export class H1Front {
  readonly #clock: Clock;
  readonly #headTimeoutMs: number;
  /** By the time that a head may take, which is Node's to watch. */
  readonly #servers = new Map<number, Server>();
  readonly #served = new Map<Duplex, Served>();

  /** A head that is not complete after so long ends its connection. */
  constructor(clock: Clock, headTimeoutMs: number) {
    this.#clock = clock;
    this.#headTimeoutMs = headTimeoutMs;
  }

  #serverOf(headTimeoutMs: number): Server {
    const known = this.#servers.get(headTimeoutMs);
    if (known !== undefined) return known;
    const server = createServer({
      insecureHTTPParser: false,
      maxHeaderSize: MAX_HEAD_BYTES,
      // A missing Host is answered here, in Envoy's words.
      requireHostHeader: false,
      // Idle connections are for the sweep of the data side, which knows the timeout of the route.
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: Math.max(20, headTimeoutMs / 4),
    });
    // It listens nowhere: its connections are handed to it. Its watch over slow heads begins with
    // this event.
    server.emit('listening');
    // Node drops headers above its count without a word: they are counted by checkHttp1 instead.
    server.maxHeadersCount = 0;
    server.on('request', (request, response) => this.#take(request, response));
    // The Expect header is answered by Node with 100, and does not go further.
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => this.#take(request, response));
    server.on('connect', (request: IncomingMessage, socket: Duplex) => this.#connect(request, socket));
    server.on('clientError', (error: ParserError, socket) => this.#failed(error, socket));
    this.#servers.set(headTimeoutMs, server);
    return server;
  }

  close(): void {
    for (const server of this.#servers.values()) server.close();
  }

  /** The socket is the front's from now on; it ends when the client or a last answer ends it. */
  open(socket: Duplex, connection: FrontConnection): void {
    const served: Served = {
      connection,
      socket,
      tail: Promise.resolve(),
      waiting: 0,
      held: false,
      ending: false,
      last: null,
      lastOfAll: false,
      failed: null,
      running: null,
      cut: null,
      answering: false,
      late: null,
    };
    this.#served.set(socket, served);
    socket.once('close', () => {
      served.late?.cancel();
      this.#served.delete(socket);
    });
    this.#serverOf(this.#headTimeoutOf(connection)).emit('connection', socket);
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const served = this.#served.get(request.socket);
    // What comes behind the last answer of a connection is not answered; the connection ends as
    // soon as that answer is out.
    if (served?.ending === true || served?.lastOfAll === true) return;
    if (served === undefined || served.waiting >= MOST_WAITING) {
      request.socket.destroy();
      return;
    }
    served.late?.cancel();
    served.last = request;
    // Node leaves out what stands in the same read behind a request that asks for another protocol.
    served.lastOfAll = request.headers.upgrade !== undefined;
    served.waiting++;
    if (served.waiting >= MANY_WAITING) {
      served.held = true;
      served.socket.pause();
    }
    // The body waits in the socket until its turn; a client that goes away is seen by each exchange
    // itself.
    this.#inTurn(served, async () => {
      if (!served.ending) await this.#serve(served, request, response);
      served.waiting--;
      if (!served.held || served.waiting > FEW_WAITING) return;
      served.held = false;
      served.socket.resume();
    });
  }

  /** The parser has left the connection: what comes next on it is thrown away. */
  #connect(request: IncomingMessage, socket: Duplex): void {
    const served = this.#served.get(socket);
    if (served === undefined) return void socket.destroy();
    socket.resume();
    served.lastOfAll = true;
    served.last = null;
    this.#inTurn(served, () => {
      const head = unreadHead('CONNECT', request.url ?? '', lowerNames(request.rawHeaders));
      served.connection.onRefused(REPLIES.notFound, 'CONNECT request', head);
      this.#end(served, REPLIES.notFound);
    });
  }

  #inTurn(served: Served, act: () => Promise<void> | void): void {
    served.tail = served.tail.then(act, act);
  }

  async #serve(served: Served, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const headers = lowerNames(request.rawHeaders);
    const method = request.method ?? '';
    const checked = checkHttp1({ version: request.httpVersion, method, target: request.url ?? '', headers });
    if (checked.kind === 'refused') {
      const unread = unreadHead(method, request.url ?? '', headers);
      served.connection.onRefused(checked.reply, `${unread.method} request`, unread);
      return this.#end(served, checked.reply);
    }
    // The parser gave up within the body while the requests before it were served.
    if (served.failed !== null && !request.complete) return this.#end(served, served.failed);
    const type = valuesOf(headers, 'content-type')[0] ?? '';
    const head: RequestHead = {
      protocol: 'HTTP/1.1',
      method,
      path: checked.path,
      authority: checked.authority,
      headers: checked.headers,
      isGrpc: type.startsWith('application/grpc'),
    };
    const exchange = new H1Exchange(head, request, response, {
      served,
      wallMs: () => this.#clock.wall(),
      finish: () => this.#finish(served, false),
      end: (reply) => this.#end(served, reply),
    });
    served.running = request;
    await served.connection.serve(exchange);
    // The next answer may be written past the codec, so that this one has to be out.
    await written(response);
    served.running = served.cut = null;
    served.answering = false;
  }

  #failed(error: ParserError, socket: Duplex): void {
    const served = this.#served.get(socket);
    const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
    if (served === undefined || !(isLate || error.code?.startsWith('HPE_') === true) || !socket.writable) {
      socket.destroy();
      return;
    }
    // The parser says it again with all that comes later.
    if (served.ending || served.failed !== null) return;
    if (isLate && served.waiting > 0) return this.#whenAlone(served);
    const reply = replyToParser(error);
    served.failed = reply;
    served.connection.onRefused(reply, `${error.code}`, null);
    const { last } = served;
    // The requests before it get their answers first. The one that it stands in cannot go on.
    if (last === null || last.complete) this.#inTurn(served, () => this.#end(served, reply));
    else if (last === served.running) this.#end(served, reply);
  }

  /**
   * A head came late while the connection was perhaps not read: it gets the whole time again once
   * it is the only one.
   */
  #whenAlone(served: Served): void {
    this.#inTurn(served, () => {
      served.late = this.#clock.after(this.#headTimeoutOf(served.connection), () => {
        if (served.waiting === 0) this.#end(served, REPLIES.requestTimeout);
      });
    });
  }

  #headTimeoutOf({ headTimeoutMs = Infinity }: FrontConnection): number {
    return Math.min(headTimeoutMs, this.#headTimeoutMs);
  }

  /**
   * Answers in place of the codec and ends the connection; a request that is being answered is cut
   * off without it.
   */
  #end(served: Served, reply: LocalReply): void {
    const { socket } = served;
    if (served.ending || served.answering) {
      served.ending = true;
      socket.destroy();
      return;
    }
    served.ending = true;
    socket.write(rawReply(reply, this.#clock.wall()));
    served.cut?.();
    this.#finish(served, reply.lingers === true);
  }

  /**
   * The client may read the last answer; what it still sends is thrown away. A connection that
   * lingers ends after a second, or with the client.
   */
  #finish({ socket }: Served, lingers: boolean): void {
    if (socket.destroyed) return;
    socket.resume();
    if (!lingers) socket.end();
    const timer = this.#clock.after(LINGER_MS, () => (lingers ? socket.end(() => socket.destroy()) : socket.destroy()));
    socket.once('close', () => timer.cancel());
  }
}

/** As it stands in a head that is refused. */
function unreadHead(method: string, path: string, headers: FlatHeaders): RequestHead {
  const [authority = ''] = valuesOf(headers, 'host');
  return { protocol: 'HTTP/1.1', method, path, authority, headers, isGrpc: false };
}

/** An answer that has ended is with the kernel, or its connection is over. */
function written(response: ServerResponse): Promise<void> | undefined {
  if (!response.writableEnded || response.writableFinished || response.destroyed) return;
  return new Promise((resolve) => {
    response.once('finish', resolve);
    response.once('close', resolve);
  });
}

/**
 * What Envoy answers to what the parser refuses. One code of the parser stands for an unknown
 * encoding and for a length beside an encoding.
 */
function replyToParser({ code, reason }: ParserError): LocalReply {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return REPLIES.headTooLarge;
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return REPLIES.requestTimeout;
    case 'HPE_INVALID_VERSION':
      return reason === 'Invalid HTTP version' ? REPLIES.upgradeRequired : REPLIES.badRequest;
    case 'HPE_INVALID_TRANSFER_ENCODING':
      return reason?.includes('Content-Length') === true ? REPLIES.badRequest : REPLIES.notImplemented;
    default:
      return REPLIES.badRequest;
  }
}

type ParserError = Error & { readonly code?: string; readonly reason?: string };

interface H1Owner {
  readonly served: Served;
  readonly wallMs: () => number;
  readonly finish: () => void;
  /** Answers in place of the codec, which would end the connection at once. */
  readonly end: (reply: LocalReply) => void;
}

class H1Exchange implements Exchange {
  readonly head: RequestHead;
  readonly body: Readable | null;
  answered = false;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #owner: H1Owner;

  constructor(head: RequestHead, request: IncomingMessage, response: ServerResponse, owner: H1Owner) {
    this.head = head;
    this.#request = request;
    this.#response = response;
    this.#owner = owner;
    const [length] = valuesOf(head.headers, 'content-length');
    const hasBody = (length !== undefined && /[1-9]/.test(length)) || valuesOf(head.headers, 'transfer-encoding').length > 0;
    this.body = hasBody ? requestBody(request) : null;
    request.on('error', ignore);
    response.on('error', ignore);
  }

  get bodyIsRead(): boolean {
    return this.#request.complete;
  }

  get gone(): boolean {
    const { served } = this.#owner;
    return (served.ending && !this.answered) || served.socket.destroyed;
  }

  onGone(listener: () => void): void {
    let gone = false;
    const once = (): void => {
      if (gone || this.#response.writableFinished) return;
      gone = true;
      listener();
    };
    this.#owner.served.cut = once;
    this.#response.once('close', once);
    this.#owner.served.socket.once('close', once);
    this.#response.once('finish', () => this.#owner.served.socket.removeListener('close', once));
  }

  reply(reply: LocalReply): void {
    if (reply.lingers === true && this.#isLast(reply.close === true)) {
      this.answered = true;
      this.#owner.end(reply);
      return;
    }
    const { status, headers, body } = wireReply(reply, { isGrpc: this.head.isGrpc, wallMs: this.#owner.wallMs() });
    const sink = this.#begin({ status, headers }, reply.close === true);
    if (body !== '' && this.head.method !== 'HEAD') sink.write(Buffer.from(body));
    sink.end([]);
  }

  respond(head: ResponseHead): ResponseBody {
    return this.#begin(head, false);
  }

  /**
   * An answer that comes before the end of its request ends the connection: what is left of the
   * request is nobody's.
   */
  #isLast(close: boolean): boolean {
    const { served } = this.#owner;
    const isLastOfAll = served.lastOfAll && served.last === this.#request;
    return close || isLastOfAll || served.connection.closing || !this.#response.shouldKeepAlive || !this.#request.complete;
  }

  #begin({ status, headers }: ResponseHead, close: boolean): ResponseBody {
    const response = this.#response;
    const { served } = this.#owner;
    const last = this.#isLast(close);
    response.sendDate = false;
    response.removeHeader('connection');
    response.removeHeader('keep-alive');
    const out = withoutTrailer(headers);
    const hasLength = valuesOf(headers, 'content-length').length > 0;
    const isBare = status === 204 || status === 304 || this.head.method === 'HEAD';
    if (!hasLength && !isBare) out.push('transfer-encoding', 'chunked');
    if (last) out.push('connection', 'close');
    if (isBare && !hasLength) response.strictContentLength = false;
    response.writeHead(status, STATUS_CODES[status] ?? '', out);
    this.answered = served.answering = true;
    if (last) served.ending = true;
    response.flushHeaders();
    return {
      write: (chunk) => response.write(chunk),
      onDrain: (listener) => void response.on('drain', listener),
      end: () => {
        response.end();
        if (!last) return;
        const { finish } = this.#owner;
        if (response.writableFinished) finish();
        else response.once('finish', finish);
      },
      reset: () => served.socket.destroy(),
    };
  }
}

/** Trailers stay here, and so does what says that they come. */
function withoutTrailer(headers: FlatHeaders): string[] {
  return headers.filter((_, i) => headers[i - (i % 2)] !== 'trailer');
}

function ignore(): void {}
