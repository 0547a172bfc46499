/** A small HTTP server that outsiders may reach: GET only, no body, few sockets for a short time. */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { textView } from './views.ts';
import type { View } from './views.ts';

export interface HttpServer {
  readonly address: string;
  readonly port: number;
  /** Ends idle connections at once, and the others when their answer is out. No new ones. */
  close(): Promise<void>;
}

export interface ServeOptions {
  /** Empty listens on every address. */
  readonly address: string;
  readonly port: number;
  /** For error texts: which listener this is. */
  readonly name: string;
  /** May refuse a request before anything else is looked at. */
  readonly admit: (request: IncomingMessage) => View | null;
  /** The page of a path, or null where there is none. `search` is what follows the `?`. */
  readonly page: (path: string, search: string) => View | null | Promise<View | null>;
  /** A page threw: a bug, or a broken environment. */
  readonly fault: (error: unknown) => void;
  /** From the accept, or the end of the last answer, to a whole request. */
  readonly requestTimeoutMs?: number;
  /** Whether a connection may be used again after its answer; it may unless this says no. */
  readonly reuse?: boolean;
}

/** `answered`: the answer is made, and the client has not read all of it. */
type Use = 'idle' | 'asked' | 'answered';

const MAX_SOCKETS = 64;
/** Beyond these, until the surplus is closed; more are turned away. */
const MAX_SURPLUS = 512;
const MAX_HEADER_BYTES = 8_192;
const REQUEST_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 5_000;
/** Without a byte in either direction, e.g. a client that does not read its answer. */
const SILENCE_MS = 10_000;

export async function serveHttp(options: ServeOptions): Promise<HttpServer> {
  const { name, fault, requestTimeoutMs = REQUEST_TIMEOUT_MS, reuse = true } = options;
  let closing = false;
  /** The oldest first. */
  const sockets = new Map<Socket, Use>();
  /** Accepted in this turn of the event loop: nobody has looked for their requests yet. */
  const fresh = new Set<Socket>();
  let planned = false;
  const server = createServer(
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
  // Nothing here adopts a handle, so that the count behind maxConnections is right.
  server.maxConnections = MAX_SOCKETS + MAX_SURPLUS;
  server.timeout = SILENCE_MS;
  server.on('checkContinue', onRequest);
  server.on('connection', (socket) => {
    sockets.set(socket, 'idle');
    socket.on('close', () => sockets.delete(socket));
    fresh.add(socket);
    planRoom();
  });

  function planRoom(): void {
    if (!planned) setImmediate(makeRoom);
    planned = true;
  }

  /**
   * Who connects and says nothing must not keep others out: the oldest gives way, not the newest. A connection is not closed in the turn that
   * accepted it, because its request may have come with it. One that only reads its answer slowly goes when no idle one is left.
   */
  function makeRoom(): void {
    planned = false;
    for (const use of ['idle', 'answered'] as const) {
      for (const [socket, is] of sockets) {
        if (sockets.size <= MAX_SOCKETS) break;
        if (is === use && !fresh.has(socket)) drop(socket);
      }
    }
    if (fresh.size > 0 && sockets.size > MAX_SOCKETS) planRoom();
    fresh.clear();
  }

  function drop(socket: Socket): void {
    sockets.delete(socket);
    socket.destroy();
  }

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    // A client that goes away while it is answered is no fault.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    note(request.socket, 'asked');
    response.on('close', () => note(request.socket, 'idle'));
    answer(request)
      .catch((error: unknown) => {
        fault(error);
        return textView(500, 'internal error');
      })
      .then((view) => send(request, response, view), fault);
  }

  function note(socket: Socket, use: Use): void {
    if (sockets.has(socket)) sockets.set(socket, use);
  }

  async function answer(request: IncomingMessage): Promise<View> {
    const refused = options.admit(request);
    if (refused !== null) return refused;
    if (request.method !== 'GET') return textView(405, 'only GET');
    if (hasBody(request)) return textView(413, 'a request must not have a body');
    const target = request.url ?? '';
    const mark = target.indexOf('?');
    const path = mark < 0 ? target : target.slice(0, mark);
    const view = await options.page(path, mark < 0 ? '' : target.slice(mark + 1));
    return view ?? textView(404, 'no such page');
  }

  function send(request: IncomingMessage, response: ServerResponse, view: View): void {
    if (response.destroyed) return;
    const last = closing || !reuse || view.status === 405 || hasBody(request);
    response.writeHead(view.status, {
      'content-type': view.contentType,
      'content-length': Buffer.byteLength(view.body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...(view.status === 405 ? { allow: 'GET' } : {}),
      ...(last ? { connection: 'close' } : {}),
    });
    note(request.socket, 'answered');
    response.end(view.body);
    // What a client sends as a body is never read: the socket goes with the answer.
    if (last) response.on('finish', () => request.socket.destroySoon());
  }

  await listening(server, options);
  server.on('error', fault);
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error(`listen for ${name}: no address`);
  return {
    address: bound.address,
    port: bound.port,
    close() {
      closing = true;
      return new Promise((resolve) => {
        server.close(() => resolve());
        // Not closeIdleConnections: it spares a connection that has not sent anything yet.
        for (const [socket, use] of sockets) if (use === 'idle') drop(socket);
      });
    },
  };
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

function listening(server: ReturnType<typeof createServer>, { address, port, name }: ServeOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    function onError(error: NodeJS.ErrnoException): void {
      const where = `${address === '' ? '*' : address}:${port}`;
      const told = new Error(`listen on ${where} for ${name}: ${error.code ?? error.message}`, { cause: error });
      reject(Object.assign(told, { code: error.code }));
    }
    server.once('error', onError);
    server.listen({ port, ...(address === '' ? {} : { host: address }) }, () => {
      server.removeListener('error', onError);
      resolve();
    });
  });
}
