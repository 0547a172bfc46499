import { connect as connectHttp2, constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { ignoreError } from '../../base/ignore-error.ts';
import type { Target } from '../../routing/choose.ts';
import { bytesOf, ControlBudget, FLOOD } from './control-budget.ts';
import { H2 } from './exchange.ts';
import { grouped, MAX_SENT_HEAD_BYTES, REPEATABLE } from './h2-front.ts';
import { fieldsOf } from '../../wire/flat-headers.ts';
import type { ResetReason } from './local-reply.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import { idleMsOf, textOf } from './upstream-connection.ts';
import type { Connection, ConnectionOptions, UpstreamCall, UpstreamListener, UpstreamRequest } from './upstream-connection.ts';

const COSTLY = ['goaway', 'altsvc', 'origin', 'ping', 'remoteSettings'] as const;

export class Http2Connection implements Connection {
  readonly target: Target;
  readonly #session: ClientHttp2Session;
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #budget: ControlBudget;
  /** Requests without a complete answer, with the function that fails each. */
  readonly #running = new Map<ClientHttp2Stream, () => void>();
  #closed = false;
  isLeaving = false;
  busy = 0;
  used = 0;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.target = options.target;
    this.#options = options;
    this.#socket = socket;
    // The socket was connected without being read; the library takes over only a handle that is
    // reading.
    socket.read(0);
    this.#session = connectHttp2('http://service', {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: 256 * 1024 },
      maxHeaderListPairs: 512,
      maxSendHeaderBlockLength: MAX_SENT_HEAD_BYTES,
      ...REPEATABLE,
    });
    this.#session.on('error', ignoreError);
    this.#session.on('goaway', () => {
      this.isLeaving = true;
      if (this.busy === 0) this.#end();
    });
    this.#budget = new ControlBudget(options.clock.now());
    // Each of these costs as much as a request, so they are counted as they come.
    for (const event of COSTLY) this.#session.on(event, () => this.#look(true));
    socket.once(
      'close',
      options.watch.add(() => this.#look(false)),
    );
    this.#session.setTimeout(idleMsOf(options.pool), () => this.busy === 0 && this.#end());
    socket.once('end', () => this.#ended());
    socket.once('close', () => options.onGone());
  }

  get isOpen(): boolean {
    return !this.#closed && !this.isLeaving && !this.#session.closed && !this.#session.destroyed;
  }

  get room(): number {
    const { maxStreams = Infinity } = this.#options.pool;
    return Math.min(this.#session.remoteSettings?.maxConcurrentStreams ?? 100, maxStreams) - this.busy;
  }

  reserve(): void {
    this.busy++;
    this.used++;
    if (this.used >= (this.#options.pool.maxRequests ?? Infinity)) this.#closed = true;
  }

  drop(): void {
    this.used--;
    this.#release();
    if (this.used === 0 && this.busy === 0) this.close();
  }

  #release(): void {
    this.busy--;
    if (this.isOpen) this.#options.onRoom();
    else if (this.busy === 0) this.#end();
  }

  close(): void {
    this.#closed = true;
    if (this.busy === 0) this.#end();
  }

  #look(midRead: boolean): void {
    if (this.#session.destroyed) return;
    if (!this.#budget.isSpent(this.#socket.bytesRead, this.#options.clock.now(), midRead)) return;
    this.#session.destroy(new BrokenConnection(FLOOD), H2.enhanceYourCalm);
  }

  /**
   * The service has ended its side, and the socket stays half-open. Complete frames are still read;
   * no more bytes come.
   */
  #ended(): void {
    this.#closed = true;
    for (const [stream, fail] of this.#running) if (!stream.closed && stream.state?.remoteClose !== 1) fail();
    if (this.busy === 0) this.#end();
  }

  /**
   * The session alone would wait for the service to end the connection, which some services never
   * do.
   */
  #end(): void {
    this.#session.close();
    setImmediate(() => this.#socket.destroySoon());
  }

  /** Over 60 lines: the events of one request share whether it is over. */
  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall {
    let stream: ClientHttp2Stream;
    let over = false;
    const finish = (): boolean => {
      if (over) return false;
      over = true;
      this.#running.delete(stream);
      this.#release();
      return true;
    };
    const [, host = ''] = request.headers;
    const head = { ':method': request.method, ':path': request.path, ':scheme': 'https', ':authority': host };
    try {
      const headers = { ...grouped(request.headers.slice(2)), ...head };
      stream = this.#session.request(headers, { endStream: request.body === null });
    } catch (error) {
      finish();
      queueMicrotask(() => listener.onUnsent(textOf(error)));
      return { resume() {}, cancel() {} };
    }
    const budget = this.#budget;
    budget.begun(0);
    let trailers: FlatHeaders = [];
    let failure: Error | null = null;
    stream.on('error', (error: Error) => (failure = error));
    stream.on('headers', () => this.#look(true));
    stream.on('response', (_headers, flags, raw?: unknown) => {
      const flat = Array.isArray(raw) ? (raw as string[]) : [];
      budget.body(bytesOf(flat));
      const status = Number(flat[flat.indexOf(':status') + 1] ?? 0);
      const headers = flat.filter((_, i) => flat[i - (i % 2)]?.startsWith(':') !== true);
      const isWhole = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      listener.onHead({ status, headers, fields: fieldsOf(headers), isWhole });
    });
    stream.on('trailers', (_headers, _flags, raw?: unknown) => {
      trailers = Array.isArray(raw) ? (raw as string[]) : [];
      budget.body(bytesOf(trailers));
    });
    budget.reads(stream);
    stream.on('data', (chunk: Buffer) => {
      if (!listener.onData(chunk)) stream.pause();
    });
    stream.on('close', () => {
      if (!finish()) return;
      const { rstCode = H2.internal } = stream;
      if (rstCode === H2.noError && stream.readableEnded) return listener.onEnd(trailers);
      const reason = this.#socket.destroyed && failure === null ? 'connection termination' : reasonOf(rstCode, failure);
      listener.onReset(reason, rstCode, failure === null ? '' : textOf(failure));
    });
    this.#running.set(stream, () => {
      if (!finish()) return;
      listener.onReset('connection termination', H2.internal, 'the service ended the connection');
      stream.destroy();
    });
    if (request.body !== null) {
      copyBody(request.body, stream, (bytes) => {
        budget.written(bytes);
        listener.onSent(bytes);
      });
    }
    return {
      resume: () => stream.resume(),
      cancel: () => {
        if (!finish()) return;
        budget.cutOff();
        stream.close(H2.cancel);
      },
    };
  }
}

/** Thrown when the service breaks the rules of the whole connection, or floods it. */
class BrokenConnection extends Error {}

function reasonOf(code: number, failure: NodeJS.ErrnoException | null): ResetReason {
  if (failure instanceof BrokenConnection || BROKEN.has(failure?.code ?? '')) return 'protocol error';
  if (code === H2.refusedStream) return 'remote refused stream reset';
  if (code === H2.noError) return 'connection termination';
  return code === H2.protocol ? 'protocol error' : 'remote reset';
}

/** The library's error codes for a connection that breaks the rules. */
const BROKEN: ReadonlySet<string> = new Set(['ERR_HTTP2_ERROR', 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES']);

/**
 * Copies the body of a request into a stream of HTTP/2, with back-pressure; a body that is cut off
 * resets the stream.
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
