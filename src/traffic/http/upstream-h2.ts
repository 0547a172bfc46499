import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { Chain } from '../../base/chain.ts';
import { ignoreError } from '../../base/ignore-error.ts';
import type { Target } from '../../routing/choose.ts';
import { ControlBudget, FLOOD } from './control-budget.ts';
import { H2 } from './exchange.ts';
import { BrokenConnection, H2Call } from './h2-call.ts';
import type { CallHost } from './h2-call.ts';
import { MAX_SENT_HEAD_BYTES, REPEATABLE, setWindow, WINDOW_BYTES } from './h2-front.ts';
import { idleMsOf, textOf } from './upstream-connection.ts';
import type { Connection, ConnectionOptions, UpstreamCall, UpstreamListener, UpstreamRequest } from './upstream-connection.ts';

const COSTLY = ['goaway', 'altsvc', 'origin', 'ping', 'remoteSettings'] as const;

export class Http2Connection implements Connection {
  readonly target: Target;
  readonly #session: ClientHttp2Session;
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #budget: ControlBudget;
  /** Requests without a complete answer. */
  readonly #running = new Chain<H2Call>();
  /** Calls whose answer has begun in this turn. */
  #gathered: H2Call[] = [];
  readonly #parts: CallHost;
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
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
      maxHeaderListPairs: 512,
      maxSendHeaderBlockLength: MAX_SENT_HEAD_BYTES,
      ...REPEATABLE,
    });
    this.#session.on('error', ignoreError);
    // With a larger one, services that bound the memory of a connection (Node's own) refuse new
    // streams while 500 others are not read.
    setWindow(this.#session, WINDOW_BYTES);
    this.#session.on('goaway', () => {
      this.isLeaving = true;
      if (this.busy === 0) this.#end();
    });
    this.#budget = new ControlBudget(options.clock.now());
    this.#parts = {
      budget: this.#budget,
      socket,
      look: () => this.#look(true),
      atTurnEnd: (call) => {
        if (this.#gathered.push(call) === 1) setImmediate(this.#passOn);
      },
      over: (call) => {
        this.#running.remove(call);
        this.#release();
      },
    };
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
    for (const call of this.#running) call.connectionEnded();
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

  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall {
    const call = new H2Call(this.#parts, listener);
    const [, host = ''] = request.headers;
    const head = [':method', request.method, ':path', request.path, ':scheme', 'https', ':authority', host];
    for (let i = 2; i < request.headers.length; i++) head.push(request.headers[i] ?? '');
    try {
      call.begin(this.#session.request(head, { endStream: request.body === null }), request.body);
    } catch (error) {
      this.#release();
      queueMicrotask(() => listener.onUnsent(textOf(error)));
      return { resume() {}, cancel() {} };
    }
    this.#running.add(call);
    return call;
  }

  /** Passes on what has come of answers in this turn. */
  readonly #passOn = (): void => {
    const calls = this.#gathered;
    this.#gathered = [];
    for (const call of calls) call.passOn();
  };
}
