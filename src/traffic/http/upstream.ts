/**
 * Connections to services that speak HTTP, kept for reuse. A pool belongs to one address of one
 * cluster, and a cluster to one mesh, so that no mesh uses what another has opened. Sockets come
 * from `connectEndpoint`: endpoints, TLS, breakers and outlier detection are those of every
 * session.
 */
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Client, Dispatcher } from 'undici';
import { Refused, refuse } from '../../base/refusal.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { Target } from '../../routing/choose.ts';
import { isSoundAnswer } from './check-head.ts';
import { H2 } from './exchange.ts';
import type { ResponseHead } from './exchange.ts';
import { grouped, MAX_SENT_HEAD_BYTES, REPEATABLE } from './h2-front.ts';
import { lowerNames } from './headers.ts';
import type { FlatHeaders } from './headers.ts';
import type { ResetReason } from './local-reply.ts';
import { clientErrors, Http1Client } from './undici-client.ts';

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
}

export interface UpstreamCall {
  resume(): void;
  /** The client gave up. */
  cancel(): void;
}

/** A place on a connection, for one request. */
export interface Lease {
  readonly target: Target;
  /**
   * The connection has carried requests before, so that its service may have ended it meanwhile.
   */
  readonly reused: boolean;
  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall;
  /** In place of `send`: a connection that was made for it and carried nothing ends. */
  drop(): void;
}

interface Connection {
  readonly target: Target;
  readonly isOpen: boolean;
  /** Requests that it could take now. */
  readonly room: number;
  readonly used: number;
  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall;
  close(): void;
}

export type Dial = (
  cluster: Cluster,
  targets: readonly Target[],
) => Promise<{ readonly socket: Socket; readonly target: Target; readonly leave: () => void }>;

/**
 * An idle connection stays for so long; Envoy's default is an hour, and services end theirs sooner.
 */
const IDLE_MS = 60_000;

export class UpstreamPools {
  readonly #dial: Dial;
  readonly #pools = new Map<string, Set<Connection>>();
  #closed = false;

  constructor(dial: Dial) {
    this.#dial = dial;
  }

  /**
   * A place for one request: on a connection to the first target where one has room, else on a new
   * one. Throws Refused where none can be made.
   */
  async lease(cluster: Cluster, targets: readonly Target[], fresh: boolean): Promise<Lease> {
    const [first] = targets;
    if (first !== undefined && !fresh) {
      for (const connection of this.#pools.get(poolKey(cluster, first)) ?? []) {
        if (connection.isOpen && connection.room > 0) return leaseOf(connection);
      }
    }
    const { socket, target, leave } = await this.#dial(cluster, targets);
    if (this.#closed) {
      leave();
      socket.destroy();
      throw new Refused(refuse('drained', 'the egress was stopped'));
    }
    const key = poolKey(cluster, target);
    const pool = this.#pools.get(key) ?? new Set();
    this.#pools.set(key, pool);
    const onGone = (): void => {
      leave();
      pool.delete(connection);
      if (pool.size === 0 && this.#pools.get(key) === pool) this.#pools.delete(key);
    };
    const connection: Connection =
      cluster.http === 'http2' ? new Http2Connection(socket, target, onGone) : new Http1Connection(socket, target, onGone);
    pool.add(connection);
    return leaseOf(connection);
  }

  /** Connections of clusters that are gone or have changed take no more requests. */
  keep(clusters: ReadonlyMap<string, Cluster>): void {
    const live = new Set<string>();
    for (const [key, pool] of this.#pools) {
      const [name = ''] = key.split('\0');
      const cluster = clusters.get(name);
      for (const { target } of pool) if (cluster !== undefined && poolKey(cluster, target) === key) live.add(key);
      if (!live.has(key)) for (const connection of pool) connection.close();
    }
  }

  close(): void {
    this.#closed = true;
    for (const pool of this.#pools.values()) for (const connection of pool) connection.close();
  }
}

function leaseOf(connection: Connection): Lease {
  return {
    target: connection.target,
    reused: connection.used > 0,
    send: (request, listener) => connection.send(request, listener),
    drop() {
      if (connection.used === 0) connection.close();
    },
  };
}

/**
 * Everything that makes a connection what it is: another TLS or another protocol is another pool.
 */
function poolKey(cluster: Cluster, { ip, endpoint }: Target): string {
  return [
    cluster.name,
    cluster.http ?? '',
    ip,
    endpoint.port,
    JSON.stringify(endpoint.address),
    JSON.stringify(endpoint.tls),
  ].join('\0');
}

class UnsoundAnswer extends Error {}

class Http1Connection implements Connection {
  readonly target: Target;
  readonly #client: Client;
  readonly #socket: Socket;
  #busy = false;
  #closed = false;
  used = 0;

  constructor(socket: Socket, target: Target, onGone: () => void) {
    this.target = target;
    this.#socket = socket;
    let given = false;
    this.#client = new Http1Client('http://service', {
      pipelining: 1,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: 128 * 1024,
      connect: (_, callback) => {
        if (given) return callback(new Error('the connection is over'), null);
        given = true;
        queueMicrotask(() => callback(null, socket));
        return;
      },
    });
    socket.once('close', () => {
      this.#closed = true;
      onGone();
      void this.#client.destroy();
    });
  }

  get isOpen(): boolean {
    return !this.#closed && !this.#socket.destroyed && this.#socket.readable && this.#socket.writable;
  }

  get room(): number {
    return this.#busy ? 0 : 1;
  }

  close(): void {
    if (this.#busy) void this.#client.close().catch(ignore);
    else this.#socket.destroy();
  }

  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall {
    this.#busy = true;
    this.used++;
    let controller: Dispatcher.DispatchController | null = null;
    let begun = false;
    let over = false;
    const finish = (): boolean => {
      if (over) return false;
      over = true;
      this.#busy = false;
      return true;
    };
    this.#client.dispatch(
      {
        method: request.method,
        path: request.path,
        headers: request.headers.filter((_, i) => request.headers[i - (i % 2)] !== 'transfer-encoding'),
        body: request.body,
      },
      {
        onRequestStart(given) {
          controller = given;
          if (over) given.abort(new Error('the client is gone'));
        },
        onBodySent: (chunk: Buffer | string) => listener.onSent(chunk.length),
        onResponseStart(given, status) {
          // Those before the answer, as 103, stay here.
          if (status > 100 && status < 200) return;
          const head = rawTexts(given.rawHeaders);
          if (!isSoundAnswer(status, head)) return given.abort(new UnsoundAnswer());
          begun = true;
          listener.onHead({ status, headers: head });
        },
        onResponseData(given, chunk) {
          // The buffer is the parser's own and used again.
          if (!listener.onData(Buffer.from(chunk))) given.pause();
        },
        onResponseEnd(given) {
          if (finish()) listener.onEnd(rawTexts(given.rawTrailers));
        },
        onResponseError: (_, error) => {
          if (!finish()) return;
          if (this.isOpen) this.#socket.destroy();
          listener.onReset(reasonOf(error, begun), H2.internal, textOf(error));
        },
      },
    );
    return {
      resume: () => controller?.resume(),
      cancel: () => {
        if (!finish()) return;
        if (controller === null) this.#socket.destroy();
        else controller.abort(new Error('the client is gone'));
      },
    };
  }
}

class Http2Connection implements Connection {
  readonly target: Target;
  readonly #session: ClientHttp2Session;
  #streams = 0;
  #draining = false;
  used = 0;

  constructor(socket: Socket, target: Target, onGone: () => void) {
    this.target = target;
    // The socket was connected without being read; the library takes over a handle that is reading
    // already.
    socket.read(0);
    this.#session = connectHttp2('http://service', {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: 256 * 1024 },
      maxHeaderListPairs: 512,
      maxSendHeaderBlockLength: MAX_SENT_HEAD_BYTES,
      ...REPEATABLE,
    });
    this.#session.on('error', ignore);
    this.#session.on('goaway', () => (this.#draining = true));
    this.#session.setTimeout(IDLE_MS, () => this.#streams === 0 && this.#session.close());
    socket.once('close', onGone);
  }

  get isOpen(): boolean {
    return !this.#draining && !this.#session.closed && !this.#session.destroyed;
  }

  get room(): number {
    return (this.#session.remoteSettings?.maxConcurrentStreams ?? 100) - this.#streams;
  }

  close(): void {
    this.#draining = true;
    this.#session.close();
  }

  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall {
    this.used++;
    this.#streams++;
    let stream: ClientHttp2Stream;
    let over = false;
    const finish = (): boolean => {
      if (over) return false;
      over = true;
      this.#streams--;
      return true;
    };
    const [, host = ''] = request.headers;
    const head = { ':method': request.method, ':path': request.path, ':scheme': 'https', ':authority': host };
    try {
      const headers = { ...grouped(request.headers.slice(2)), ...head };
      stream = this.#session.request(headers, { endStream: request.body === null });
    } catch (error) {
      finish();
      queueMicrotask(() => listener.onReset('connection termination', H2.internal, textOf(error)));
      return { resume: ignore, cancel: ignore };
    }
    let trailers: FlatHeaders = [];
    let failure: Error | null = null;
    stream.on('error', (error: Error) => (failure = error));
    stream.on('response', (_headers, flags, raw?: unknown) => {
      const flat = Array.isArray(raw) ? (raw as string[]) : [];
      const status = Number(flat[flat.indexOf(':status') + 1] ?? 0);
      listener.onHead({ status, headers: flat.filter((_, i) => flat[i - (i % 2)]?.startsWith(':') !== true) });
      void flags;
    });
    stream.on('trailers', (_headers, _flags, raw?: unknown) => (trailers = Array.isArray(raw) ? (raw as string[]) : []));
    stream.on('data', (chunk: Buffer) => {
      if (!listener.onData(chunk)) stream.pause();
    });
    stream.on('close', () => {
      if (!finish()) return;
      if (stream.rstCode === H2.noError && stream.readableEnded) return listener.onEnd(trailers);
      const reason =
        stream.rstCode === H2.refusedStream
          ? 'remote refused stream reset'
          : stream.rstCode === H2.noError
            ? 'connection termination'
            : stream.rstCode === H2.protocol
              ? 'protocol error'
              : 'remote reset';
      listener.onReset(reason, stream.rstCode ?? H2.internal, failure === null ? '' : textOf(failure));
    });
    if (request.body !== null) copyBody(request.body, stream, (bytes) => listener.onSent(bytes));
    return {
      resume: () => stream.resume(),
      cancel: () => {
        if (finish()) stream.close(H2.cancel);
      },
    };
  }
}

/**
 * The body of a request into a stream of HTTP/2, with back-pressure; a body that is cut off resets
 * the stream.
 */
function copyBody(body: Readable, stream: ClientHttp2Stream, onSent: (bytes: number) => void): void {
  body.on('data', (chunk: Buffer) => {
    if (stream.destroyed || stream.writableEnded) return;
    onSent(chunk.length);
    if (!stream.write(chunk)) body.pause();
  });
  stream.on('drain', () => body.resume());
  body.on('end', () => stream.end());
  body.on('close', () => {
    if (!body.readableEnded && !stream.destroyed) stream.close(H2.cancel);
  });
  stream.on('close', () => body.resume());
}

function rawTexts(raw: unknown): string[] {
  if (!Array.isArray(raw)) return [];
  return lowerNames(raw.map((each: unknown) => (Buffer.isBuffer(each) ? each.toString('latin1') : String(each))));
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

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function ignore(): void {}
