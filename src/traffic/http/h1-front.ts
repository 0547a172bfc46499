/**
 * Requests of HTTP/1.1 from connections whose mesh TLS has ended. The parser is Node's own, strict: what it refuses is answered as Envoy does, and the
 * connection ends. Requests of one connection are served one after another.
 */
import { createServer, STATUS_CODES } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { checkHttp1 } from './check-head.ts';
import type { Exchange, RequestHead, ResponseBody, ResponseHead } from './exchange.ts';
import { lowerNames, valuesOf } from './headers.ts';
import { requestBody } from './request-body.ts';
import { rawReply, REPLIES, wireReply } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';

/** What a connection of a client offers its codec. */
export interface FrontConnection {
  serve(exchange: Exchange): Promise<void>;
  /** The answers of this connection are the last: the egress is draining. */
  readonly closing: boolean;
  /** A request that no codec could read was answered with this status. */
  onRefused(status: number, detail: string): void;
}

/** Envoy's `max_request_headers_kb` is 60. */
export const MAX_HEAD_BYTES: number = 60 * 1024;
/** Requests that wait for the one before; a client that sends more at once is cut off. */
const MAX_PIPELINED = 64;
/** Envoy's `delayed_close_timeout`: a client may read the last answer for so long before the connection is cut. */
const LINGER_MS = 1_000;

interface Served {
  readonly connection: FrontConnection;
  readonly socket: Duplex;
  tail: Promise<void>;
  waiting: number;
  /** The connection ends with the answer that is under way. */
  ending: boolean;
}

export class H1Front {
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #served = new Map<Duplex, Served>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#server = createServer({
      insecureHTTPParser: false,
      maxHeaderSize: MAX_HEAD_BYTES,
      // A missing Host is answered here, in Envoy's words.
      requireHostHeader: false,
      // Idle connections are for the sweep of the data side, which knows the timeout of the route.
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: 0,
    });
    // Node drops headers above its count without a word: they are counted by checkHttp1 instead.
    this.#server.maxHeadersCount = 0;
    this.#server.on('request', (request, response) => this.#take(request, response));
    // The Expect header is answered by Node with 100, and does not go further.
    this.#server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => this.#take(request, response));
    this.#server.on('connect', (_: IncomingMessage, socket: Duplex) => this.#end(socket, REPLIES.notFound, 'a CONNECT'));
    this.#server.on('clientError', (error: ParserError, socket) => this.#failed(error, socket));
  }

  /** The socket is the front's from now on; it ends when the client or a last answer ends it. */
  open(socket: Duplex, connection: FrontConnection): void {
    this.#served.set(socket, { connection, socket, tail: Promise.resolve(), waiting: 0, ending: false });
    socket.once('close', () => this.#served.delete(socket));
    this.#server.emit('connection', socket);
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const served = this.#served.get(request.socket);
    // What comes behind the last answer of a connection is not answered; the connection ends as soon as that answer is out.
    if (served?.ending === true) return;
    if (served === undefined || served.waiting >= MAX_PIPELINED) {
      request.socket.destroy();
      return;
    }
    served.waiting++;
    // The body waits in the socket until its turn; a client that goes away is seen by each exchange itself.
    const turn = async (): Promise<void> => {
      try {
        if (served.ending) return;
        await this.#serve(served, request, response);
      } finally {
        served.waiting--;
      }
    };
    served.tail = served.tail.then(turn, turn);
  }

  async #serve(served: Served, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const headers = lowerNames(request.rawHeaders);
    const method = request.method ?? '';
    const checked = checkHttp1({ version: request.httpVersion, method, target: request.url ?? '', headers });
    if (checked.kind === 'refused') {
      served.connection.onRefused(checked.reply.status, `${method} request`);
      return this.#end(served.socket, checked.reply, method);
    }
    const type = valuesOf(headers, 'content-type')[0] ?? '';
    const head: RequestHead = {
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
      end: (reply) => this.#end(served.socket, reply, method),
    });
    await served.connection.serve(exchange);
  }

  #failed(error: ParserError, socket: Duplex): void {
    const served = this.#served.get(socket);
    if (served?.ending === true) return;
    const reply = replyToParser(error);
    if (served === undefined || error.code?.startsWith('HPE_') !== true || !socket.writable) {
      socket.destroy();
      return;
    }
    served.connection.onRefused(reply.status, `${error.code}`);
    // The parser has left the connection: what is still running on it is told by the end of the socket.
    this.#end(socket, reply, error.code);
  }

  /** Answers in place of the codec and ends the connection; a request that is being answered is cut off without it. */
  #end(socket: Duplex, reply: LocalReply, _what: string): void {
    const served = this.#served.get(socket);
    if (served === undefined || served.ending) {
      socket.destroy();
      return;
    }
    const inAnswer = (socket as Duplex & { _httpMessage?: { headersSent: boolean } | null })._httpMessage?.headersSent === true;
    served.ending = true;
    if (inAnswer) {
      socket.destroy();
      return;
    }
    socket.write(rawReply(reply, this.#clock.wall()));
    this.#finish(served, reply.lingers === true);
  }

  /** The client may read the last answer; what it still sends is thrown away. A connection that lingers ends after a second, or with the client. */
  #finish({ socket }: Served, lingers: boolean): void {
    if (socket.destroyed) return;
    socket.resume();
    if (!lingers) socket.end();
    const timer = this.#clock.after(LINGER_MS, () => (lingers ? socket.end(() => socket.destroy()) : socket.destroy()));
    socket.once('close', () => timer.cancel());
  }
}

/** What Envoy answers to what the parser refuses. One code of the parser stands for an unknown encoding and for a length beside an encoding. */
function replyToParser({ code, reason }: ParserError): LocalReply {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return REPLIES.headTooLarge;
    case 'HPE_INVALID_VERSION':
      return REPLIES.upgradeRequired;
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

  onGone(listener: () => void): void {
    let gone = false;
    const once = (): void => {
      if (gone || this.#response.writableFinished) return;
      gone = true;
      listener();
    };
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

  /** An answer that comes before the end of its request ends the connection: what is left of the request is nobody's. */
  #isLast(close: boolean): boolean {
    return close || this.#owner.served.connection.closing || !this.#response.shouldKeepAlive || !this.#request.complete;
  }

  #begin({ status, headers }: ResponseHead, close: boolean): ResponseBody {
    this.answered = true;
    const response = this.#response;
    const { served } = this.#owner;
    const last = this.#isLast(close);
    response.sendDate = false;
    response.removeHeader('connection');
    response.removeHeader('keep-alive');
    const out = [...headers];
    const hasLength = valuesOf(headers, 'content-length').length > 0;
    const isBare = status === 204 || status === 304 || this.head.method === 'HEAD';
    if (!hasLength && !isBare) out.push('transfer-encoding', 'chunked');
    if (last) {
      out.push('connection', 'close');
      served.ending = true;
    }
    if (isBare && !hasLength) response.strictContentLength = false;
    response.writeHead(status, STATUS_CODES[status] ?? '', out);
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

function ignore(): void {}
