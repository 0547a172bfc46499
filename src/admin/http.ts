/** A small HTTP server for untrusted clients: no body, few sockets for a short time. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { nextTurn, systemClock } from '../base/clock.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { listenOn } from './listen-on.ts';
import type { ListenOn } from './listen-on.ts';
import { listenOnSocket } from './unix-socket.ts';
import type { BoundSocket } from './unix-socket.ts';
import { textView } from './views.ts';
import type { View } from './views.ts';

export interface HttpServer {
  readonly address: string;
  readonly port: number;
  /** Ends idle connections at once, and others after their answer. Accepts no new ones. */
  close(): Promise<void>;
}

export interface HttpServerOptions extends HandleOptions, ListenOn {}

export interface HandleOptions {
  /** May refuse a request before any page is made. Absent admits all. */
  readonly admit?: (request: IncomingMessage) => View | null;
  /**
   * Makes a change and returns its answer, or refuses it; null for a path that changes nothing. It
   * is asked first, and guards itself: `admit` is not asked for its paths.
   */
  readonly change?: (request: IncomingMessage, target: RequestTarget) => Promise<View> | null;
  /**
   * Returns the page of a path, or null for an unknown path. `search` is the part after the `?`,
   * `accept` the header of that name.
   */
  readonly page: (path: string, search: string, method: string, accept: string) => View | null | Promise<View | null>;
  /** Absent allows only GET and HEAD. */
  readonly anyMethod?: boolean;
  /** Called when a page threw: a bug, or a broken environment. */
  readonly fault: (error: unknown) => void;
  /** From accept, or from the end of the last answer, to a whole request. */
  readonly requestTimeoutMs?: number;
  /** The longest time without a byte, once the answer is made. Default: 10 seconds. */
  readonly silenceMs?: number;
  /** False ends a connection after its answer. Default: true. */
  readonly reuse?: boolean;
}

/** The path of a request, and the part after the `?`. */
export interface RequestTarget {
  readonly path: string;
  readonly search: string;
}

/** Serves connections that its caller accepted. */
export interface HttpHandler {
  take(socket: Socket): void;
  close(): Promise<void>;
}

/** `answered`: the answer is made, but the client has not read all of it. */
type Use = 'idle' | 'asked' | 'answered';

const MAX_SOCKETS = 64;
/** The most sockets above the limit, until the surplus is closed; further ones are refused. */
const MAX_SURPLUS = 512;
const MAX_HEADER_BYTES = 8_192;
const REQUEST_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 5_000;
/**
 * The longest time without a byte in either direction, e.g. for a client that does not read its
 * answer.
 */
const SILENCE_MS = 10_000;
/** The longest time for an answer to be made: dialling endpoints takes longer than a silence. */
const MAKING_MS = 60_000;

/** The longest time for answers in progress once the listener closes. */
const CLOSE_MS = 2_000;

/**
 * A piece of an answer is written at this size, or after this much time; then others have their
 * turn.
 */
const PIECE_BYTES = 32_768;
const PIECE_MS = 5;

export async function serveHttp(options: HttpServerOptions): Promise<HttpServer> {
  const bounded = new BoundedServer(options);
  const { server } = bounded;
  await listenOn(server, options);
  server.on('error', options.fault);
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error(`listen for ${options.name}: no address`);
  return { address: bound.address, port: bound.port, close: () => bounded.close() };
}

/** A server on a unix socket. */
export interface HttpSocket extends Pick<BoundSocket, 'doubt' | 'uid'> {
  close(): Promise<void>;
}

/** Rejects where the path cannot be used, or something else is there. */
export async function serveHttpOnSocket(options: HandleOptions & { readonly path: string }): Promise<HttpSocket> {
  const bounded = new BoundedServer(options);
  const bound = await listenOnSocket(bounded.server, options.path);
  bounded.server.on('error', options.fault);
  return {
    doubt: bound.doubt,
    uid: bound.uid,
    close() {
      bound.remove();
      return bounded.close();
    },
  };
}

/** Handles connections whose first bytes the caller has read. */
export function handleHttp(options: HandleOptions, clock: Clock = systemClock({ keepAlive: false })): HttpHandler {
  const { requestTimeoutMs = REQUEST_TIMEOUT_MS } = options;
  const bounded = new BoundedServer(options);
  const { server } = bounded;
  const deadlines = new WeakMap<Socket, Timer>();
  // Node ends incomplete requests only for servers that listen.
  function expect(socket: Socket, ms: number): void {
    deadlines.get(socket)?.cancel();
    deadlines.set(
      socket,
      clock.after(ms, () => socket.destroy()),
    );
  }
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    deadlines.get(socket)?.cancel();
    response.on('close', () => {
      if (!socket.destroyed) expect(socket, KEEP_ALIVE_MS + requestTimeoutMs);
    });
  });
  return {
    take(socket) {
      expect(socket, requestTimeoutMs);
      socket.on('close', () => deadlines.get(socket)?.cancel());
      server.emit('connection', socket);
    },
    close: () => bounded.close(),
  };
}

/** A Node server that keeps few sockets, each for a short time. */
class BoundedServer {
  readonly server: Server;
  readonly #options: HandleOptions;
  /** The oldest first. */
  readonly #sockets = new Map<Socket, Use>();
  /** Accepted in this turn of the event loop: their requests may not have been read yet. */
  readonly #fresh = new Set<Socket>();
  /** Answers without an end. */
  readonly #following = new Set<ServerResponse>();
  #open = 0;
  #closing = false;
  #planned = false;
  #whenEmpty = (): void => {};

  constructor(options: HandleOptions) {
    this.#options = options;
    const { requestTimeoutMs = REQUEST_TIMEOUT_MS, silenceMs = SILENCE_MS } = options;
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => this.#onRequest(request, response);
    this.server = createServer(
      {
        maxHeaderSize: MAX_HEADER_BYTES,
        headersTimeout: requestTimeoutMs,
        requestTimeout: requestTimeoutMs,
        connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs / 2),
        keepAliveTimeout: KEEP_ALIVE_MS,
        keepAlive: true,
      },
      onRequest,
    );
    // No handle is adopted here, so the count of maxConnections is right.
    this.server.maxConnections = MAX_SOCKETS + MAX_SURPLUS;
    this.server.timeout = silenceMs;
    this.server.on('checkContinue', onRequest);
    this.server.on('connection', (socket) => this.#onConnection(socket));
  }

  close(): Promise<void> {
    this.#closing = true;
    return new Promise((resolve) => {
      // A server that does not listen has nothing to close.
      if (this.server.listening) this.server.close(() => resolve());
      else if (this.#open === 0) resolve();
      else this.#whenEmpty = resolve;
      // Their end is a whole answer: a client tells it from a connection that broke.
      for (const response of this.#following) {
        this.#note(response.req.socket, 'answered');
        response.end();
      }
      // closeIdleConnections would spare a connection that has not sent anything yet.
      for (const [socket, use] of this.#sockets) if (use === 'idle') this.#drop(socket);
      // Ends a page that hangs, or a client that does not read its answer.
      systemClock({ keepAlive: false }).after(CLOSE_MS, () => {
        for (const socket of this.#sockets.keys()) this.#drop(socket);
      });
    });
  }

  #onConnection(socket: Socket): void {
    this.#sockets.set(socket, 'idle');
    this.#open++;
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#open--;
      if (this.#open === 0) this.#whenEmpty();
    });
    this.#fresh.add(socket);
    this.#planRoom();
  }

  #planRoom(): void {
    if (!this.#planned) setImmediate(() => this.#makeRoom());
    this.#planned = true;
  }

  /**
   * Ends the oldest idle connection, not the newest: a client that connects and sends nothing must
   * not keep others out. A connection is not ended in the turn that accepted it, because its
   * request may have come with it. A connection that only reads its answer slowly is ended when no
   * idle one is left.
   */
  #makeRoom(): void {
    this.#planned = false;
    for (const use of ['idle', 'answered'] as const) {
      for (const [socket, is] of this.#sockets) {
        if (this.#sockets.size <= MAX_SOCKETS) break;
        if (is === use && !this.#fresh.has(socket)) this.#drop(socket);
      }
    }
    if (this.#fresh.size > 0 && this.#sockets.size > MAX_SOCKETS) this.#planRoom();
    this.#fresh.clear();
  }

  #drop(socket: Socket): void {
    this.#sockets.delete(socket);
    socket.destroy();
  }

  #note(socket: Socket, use: Use): void {
    if (this.#sockets.has(socket)) this.#sockets.set(socket, use);
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { fault } = this.#options;
    // A client that leaves during its answer is no fault.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    this.#note(request.socket, 'asked');
    request.socket.setTimeout(MAKING_MS);
    response.on('close', () => {
      this.#note(request.socket, 'idle');
      if (this.#closing) this.#drop(request.socket);
    });
    viewFor(request, this.#options)
      .catch((error: unknown) => {
        fault(error);
        return textView(500, 'internal error');
      })
      .then((view) => this.#send(request, response, view))
      .catch((error: unknown) => {
        // A part of the answer may be sent already.
        response.destroy();
        fault(error);
      });
  }

  async #send(request: IncomingMessage, response: ServerResponse, view: View): Promise<void> {
    if (response.destroyed) return;
    const { reuse = true, silenceMs = SILENCE_MS } = this.#options;
    request.socket.setTimeout(silenceMs);
    const last = this.#closing || !reuse || view.status === 405 || hasBody(request);
    response.writeHead(view.status, {
      'content-type': view.contentType,
      ...(view.pieces === undefined && view.follows === undefined ? { 'content-length': Buffer.byteLength(view.body) } : {}),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...view.headers,
      ...(view.status === 405 ? { allow: view.allow ?? 'GET, HEAD' } : {}),
      ...(last ? { connection: 'close' } : {}),
    });
    // The server never reads a body: the socket ends with the answer.
    if (last) response.on('finish', () => request.socket.destroySoon());
    const { pieces, follows, body } = view;
    if (request.method === 'HEAD') return void response.end();
    // An answer without an end holds up nothing: neither the close of the server nor other clients.
    this.#note(request.socket, follows === undefined ? 'answered' : 'idle');
    if (follows !== undefined) {
      this.#following.add(response);
      response.on('close', () => this.#following.delete(response));
      await sendAsTheyCome(response, follows);
    }
    response.end(pieces === undefined ? body : await sendPieces(response, body, pieces));
  }
}

/** Returns the requested page, or the refusal of the request. */
async function viewFor(request: IncomingMessage, { admit, anyMethod, page, change }: HandleOptions): Promise<View> {
  const { path, search } = targetOf(request);
  const changed = (await change?.(request, { path, search })) ?? null;
  if (changed !== null) return changed;
  const refused = admit?.(request) ?? null;
  if (refused !== null) return refused;
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!isRead && anyMethod !== true) return textView(405, 'only GET and HEAD');
  if (hasBody(request)) return textView(413, 'a request must not have a body');
  const view = await page(path, search, request.method ?? 'GET', request.headers.accept ?? '');
  return view ?? textView(404, 'no such page');
}

function targetOf({ url = '' }: IncomingMessage): RequestTarget {
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url, search: '' } : { path: url.slice(0, mark), search: url.slice(mark + 1) };
}

/** Returns the rest to be sent, less than a piece. */
async function sendPieces(response: ServerResponse, start: string, pieces: Iterable<string>): Promise<string> {
  let text = start;
  let since = performance.now();
  for (const piece of pieces) {
    text += piece;
    if (text.length < PIECE_BYTES && performance.now() - since < PIECE_MS) continue;
    const isTaken = text === '' || response.write(text);
    text = '';
    await (isTaken ? nextTurn() : drained(response));
    if (response.destroyed) return '';
    since = performance.now();
  }
  return text;
}

/** Sends pieces until there are no more, or the client has left. */
async function sendAsTheyCome(response: ServerResponse, pieces: AsyncIterable<string>): Promise<void> {
  response.flushHeaders();
  for await (const piece of pieces) {
    if (response.writableEnded) return;
    if (!response.destroyed && !response.write(piece)) await drained(response);
    if (response.destroyed) return;
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    function done(): void {
      response.removeListener('drain', done);
      response.removeListener('close', done);
      resolve();
    }
    response.on('drain', done);
    response.on('close', done);
  });
}

export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}
