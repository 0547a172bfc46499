/**
 * Requests of HTTP/1.1 from connections whose mesh TLS has ended. The parser is Node's own, strict:
 * what it refuses is answered as Envoy does, and the connection ends. Requests of one connection
 * are served one after another.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { valuesOf } from '../../wire/flat-headers.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import { checkHttp1 } from './check-head.ts';
import type { RequestHead } from './exchange.ts';
import { MAX_HEAD_BYTES } from './front-connection.ts';
import type { FrontConnection } from './front-connection.ts';
import { H1Connection } from './h1-connection.ts';
import { H1Exchange } from './h1-exchange.ts';
import { lowerNames } from './headers.ts';
import { REPLIES } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';

export class H1Front {
  readonly #clock: Clock;
  readonly #headTimeoutMs: number;
  /** By the time that a head may take, which is Node's to watch. */
  readonly #servers = new Map<number, Server>();
  readonly #connections = new Map<Duplex, H1Connection>();

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
  open(socket: Duplex, front: FrontConnection): void {
    this.#connections.set(socket, new H1Connection(socket, front, this.#clock, () => this.#connections.delete(socket)));
    this.#serverOf(this.#headTimeoutOf(front)).emit('connection', socket);
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    // What comes behind the last answer of a connection is not answered; the connection ends as
    // soon as that answer is out.
    if (connection?.ending === true || connection?.lastOfAll === true) return;
    const isTaken = connection?.take(request, () => this.#serve(connection, request, response)) ?? false;
    if (!isTaken) request.socket.destroy();
  }

  /** The parser has left the connection: what comes next on it is thrown away. */
  #connect(request: IncomingMessage, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return void socket.destroy();
    socket.resume();
    connection.lastOfAll = true;
    connection.last = null;
    connection.inTurn(() => {
      const head = unreadHead('CONNECT', request.url ?? '', lowerNames(request.rawHeaders));
      connection.front.onRefused(REPLIES.notFound, 'CONNECT request', head);
      connection.end(REPLIES.notFound);
    });
  }

  async #serve(connection: H1Connection, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const headers = lowerNames(request.rawHeaders);
    const method = request.method ?? '';
    const checked = checkHttp1({ version: request.httpVersion, method, target: request.url ?? '', headers });
    if (checked.kind === 'refused') {
      const unread = unreadHead(method, request.url ?? '', headers);
      connection.front.onRefused(checked.reply, `${unread.method} request`, unread);
      return connection.end(checked.reply);
    }
    // The parser gave up within the body while the requests before it were served.
    if (connection.failed !== null && !request.complete) return connection.end(connection.failed);
    const type = valuesOf(headers, 'content-type')[0] ?? '';
    const head: RequestHead = {
      protocol: 'HTTP/1.1',
      method,
      path: checked.path,
      authority: checked.authority,
      headers: checked.headers,
      isGrpc: type.startsWith('application/grpc'),
    };
    const exchange = new H1Exchange(head, { request, response, connection, wallMs: () => this.#clock.wall() });
    connection.running = request;
    await connection.front.serve(exchange);
    // The next answer may be written past the codec, so that this one has to be out.
    await written(response);
    connection.done();
  }

  #failed(error: ParserError, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
    if (connection === undefined || !(isLate || error.code?.startsWith('HPE_') === true) || !socket.writable) {
      socket.destroy();
      return;
    }
    // The parser says it again with all that comes later.
    if (connection.ending || connection.failed !== null) return;
    if (isLate && !connection.isIdle)
      return connection.endWhenAlone(this.#headTimeoutOf(connection.front), REPLIES.requestTimeout);
    const reply = replyToParser(error);
    connection.failed = reply;
    connection.front.onRefused(reply, `${error.code}`, null);
    const { last } = connection;
    // The requests before it get their answers first. The one that it stands in cannot go on.
    if (last === null || last.complete) connection.inTurn(() => connection.end(reply));
    else if (last === connection.running) connection.end(reply);
  }

  #headTimeoutOf({ headTimeoutMs = Infinity }: FrontConnection): number {
    return Math.min(headTimeoutMs, this.#headTimeoutMs);
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
