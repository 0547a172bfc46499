/**
 * Reads requests of HTTP/1.1 from connections whose mesh TLS is terminated. The parser is Node's
 * own, in strict mode: its errors are answered as Envoy does, and the connection ends. Requests of
 * one connection are served one after another.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { checkHttp1 } from '../../routing/check-head.ts';
import { fieldsOf } from '../../wire/flat-headers.ts';
import type { FlatHeaders, HeadFields } from '../../wire/flat-headers.ts';
import type { RequestHead } from './exchange.ts';
import { MAX_HEAD_BYTES } from './front-connection.ts';
import type { FrontConnection } from './front-connection.ts';
import { H1Connection } from './h1-connection.ts';
import { H1Exchange } from './h1-exchange.ts';
import { lowerNames } from './headers.ts';
import { REPLIES } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';
import { wordsOfParser } from './parser-words.ts';
import type { ParserFault } from './parser-words.ts';

export class H1Front {
  readonly #clock: Clock;
  readonly #headTimeoutMs: number;
  /** One server for each head timeout, which Node enforces. */
  readonly #servers = new Map<number, Server>();
  readonly #connections = new WeakMap<Duplex, H1Connection>();

  /** `headTimeoutMs`: a connection ends when its head takes longer. */
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
      // This front answers a missing Host itself, as Envoy does.
      requireHostHeader: false,
      // The sweep of the data side ends idle connections: it knows the timeout of the route.
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: Math.max(20, headTimeoutMs / 4),
    });
    // The server never listens; connections are handed to it. This event starts its check for slow
    // heads.
    server.emit('listening');
    // Node silently drops headers above its count; checkHttp1 counts them instead.
    server.maxHeadersCount = 0;
    server.on('request', (request, response) => this.#take(request, response));
    // Node answers the Expect header with 100, and it is not forwarded.
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => this.#take(request, response));
    server.on('connect', (request: IncomingMessage, socket: Duplex) => this.#connect(request, socket));
    server.on('clientError', (error: ParserError, socket) => this.#failed(error, socket));
    this.#servers.set(headTimeoutMs, server);
    return server;
  }

  close(): void {
    for (const server of this.#servers.values()) server.close();
  }

  /**
   * Serves the socket, which belongs to the front from now on; it ends when the client or a last
   * answer ends it.
   */
  open(socket: Duplex, front: FrontConnection): void {
    this.#connections.set(socket, new H1Connection(socket, front, this.#clock, () => this.#connections.delete(socket)));
    this.#serverOf(this.#headTimeoutOf(front)).emit('connection', socket);
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    // Requests after the last answer of a connection are not answered; the connection ends when
    // that answer is sent.
    if (connection?.ending === true || connection?.lastOfAll === true) return;
    const isTaken = connection?.take(request, () => this.#serve(connection, request, response)) ?? false;
    if (!isTaken) request.socket.destroy();
  }

  /** The parser has left the connection: later bytes on it are dropped. */
  #connect(request: IncomingMessage, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return void socket.destroy();
    socket.resume();
    connection.lastOfAll = true;
    connection.last = null;
    connection.inTurn(() => {
      const headers = lowerNames(request.rawHeaders);
      const head = unreadHead('CONNECT', request.url ?? '', headers, fieldsOf(headers));
      connection.front.onUnread({ reply: REPLIES.notFound, why: 'CONNECT is not served', head });
      connection.end(REPLIES.notFound);
    });
  }

  async #serve(connection: H1Connection, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const headers = lowerNames(request.rawHeaders);
    const method = request.method ?? '';
    const fields = fieldsOf(headers);
    const checked = checkHttp1({ version: request.httpVersion, method, target: request.url ?? '', headers, fields });
    if (checked.kind === 'unserved') {
      const reply = REPLIES[checked.answer];
      connection.front.onUnread({ reply, why: checked.why, head: unreadHead(method, request.url ?? '', headers, fields) });
      return connection.end(reply);
    }
    // The parser failed inside of the body while earlier requests were served.
    if (connection.failed !== null && !request.complete) return connection.end(connection.failed);
    const head: RequestHead = {
      protocol: 'HTTP/1.1',
      method,
      path: checked.path,
      authority: checked.authority,
      headers,
      fields,
      isGrpc: fields.contentType.startsWith('application/grpc'),
    };
    const exchange = new H1Exchange(head, { request, response, connection, wallMs: () => this.#clock.wall() });
    connection.running = request;
    await connection.front.serve(exchange);
    // The next answer may bypass the codec, so this one must be written first.
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
    // The parser repeats its error for all later bytes.
    if (connection.ending || connection.failed !== null) return;
    const { front } = connection;
    const headMs = this.#headTimeoutOf(front);
    const late = {
      reply: REPLIES.requestTimeout,
      why: `the head was not complete after ${headMs} ms`,
      head: null,
      late: true,
    } as const;
    if (isLate && !connection.isIdle) return connection.endWhenAlone(headMs, late);
    const reply = replyToParser(error);
    connection.failed = reply;
    front.onUnread(isLate ? late : { reply, why: wordsOfParser(error), head: null });
    const { last } = connection;
    // Earlier requests get their answers first. The request with the error cannot continue.
    if (last === null || last.complete) connection.inTurn(() => connection.end(reply));
    else if (last === connection.running) connection.end(reply);
  }

  #headTimeoutOf({ headTimeoutMs = Infinity }: FrontConnection): number {
    return Math.min(headTimeoutMs, this.#headTimeoutMs);
  }
}

/** Reads the head of a refused request as it was written. */
function unreadHead(method: string, path: string, headers: FlatHeaders, fields: HeadFields): RequestHead {
  const [authority = ''] = fields.hosts;
  return { protocol: 'HTTP/1.1', method, path, authority, headers, fields, isGrpc: false };
}

/** Waits until the answer was passed to the kernel, or its connection is over. */
function written(response: ServerResponse): Promise<void> | undefined {
  if (!response.writableEnded || response.writableFinished || response.destroyed) return;
  return new Promise((resolve) => {
    response.once('finish', resolve);
    response.once('close', resolve);
  });
}

/**
 * Returns Envoy's answer to an error of the parser. One code of the parser means two errors: an
 * unknown encoding, and a length beside an encoding.
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

type ParserError = Error & ParserFault;
