import type { TLSSocket } from 'node:tls';
import type { Timer } from '../../base/clock.ts';
import { refuse } from '../../base/refusal.ts';
import type { Refusal } from '../../base/refusal.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { Hash64 } from '../../model/endpoint-view.ts';
import { HTTP_TIMEOUT_DEFAULTS } from '../../model/http-route.ts';
import type { HttpTimeouts } from '../../model/http-route.ts';
import type { Target } from '../../routing/choose.ts';
import { connectEndpoint } from '../connect.ts';
import type { SessionContext } from '../session-context.ts';
import { SessionSteps } from '../session-steps.ts';
import type { Exchange, RequestHead } from './exchange.ts';
import { H1Front } from './h1-front.ts';
import type { FrontConnection } from './h1-front.ts';
import { openH2 } from './h2-front.ts';
import type { OpenH2 } from './h2-front.ts';
import { resetReply } from './local-reply.ts';
import { serveRequest } from './request-walk.ts';
import type { JudgedRequest } from './request-walk.ts';
import { RequestDraft } from './request-draft.ts';
import type { RequestFacts } from './request-draft.ts';
import { UpstreamPools } from './upstream.ts';
import type { Dialled, DialListener, Wanted } from './upstream.ts';

/** What a session offers its requests. */
export interface HttpSession {
  judge(): JudgedRequest;
  /** Address of the client. */
  readonly client: string;
  /** Of its certificate. */
  readonly uris: readonly string[];
  /**
   * Endpoints in the order to try; throws Refused. `hash` is what a balancer that hashes goes by,
   * null for a random one.
   */
  targets(cluster: Cluster, hash?: Hash64 | null): Promise<readonly Target[]>;
  /** A connection to an endpoint is made for a request of it. */
  readonly dialled: DialListener;
  /** A request of it goes out to this endpoint. */
  sent(target: Target): void;
  moved(direction: 'up' | 'down', bytes: number): void;
  refused(refusal: Refusal): void;
  /** An answer of the service has begun. */
  answered(): void;
  /** What the record of its next request has of it. */
  nextRequest(): RequestFacts;
}

/** A connection of a client between its requests. */
interface ConnectionLife {
  /** Its answers are the last. */
  isLast: boolean;
  /** How a client of HTTP/2 is told to go; null where the end of the connection says it. */
  onLast: (() => void) | null;
  begin(): void;
  end(): void;
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** Between two looks at what clients of HTTP/2 spend. */
const LOOK_MS = 500;

/**
 * The HTTP side of one data side: the codecs towards clients, the connections to services, and
 * their end.
 */
export class HttpTraffic {
  readonly #plane: SessionContext;
  readonly #h1: H1Front;
  readonly #pools: UpstreamPools;
  readonly #opened = new Set<OpenH2>();
  #looking: Timer | null = null;
  #draining = false;

  constructor(plane: SessionContext) {
    this.#plane = plane;
    this.#h1 = new H1Front(plane.clock, plane.settings.setupTimeoutMs);
    this.#pools = new UpstreamPools({
      clock: plane.clock,
      dial: (wanted, over) => this.#dial(wanted, over),
      wait: (cluster) => plane.breakers.enterPending(cluster),
    });
  }

  /**
   * Serves the requests of a connection whose mesh TLS has ended, in the protocol that its first
   * bytes are in.
   */
  open(socket: TLSSocket, session: HttpSession): { close(): void } {
    const { clock, settings } = this.#plane;
    const life = this.#lifeOf(socket, session);
    const front = this.#frontOf(session, life);
    socket.allowHalfOpen = false;
    let peeked: Buffer = Buffer.alloc(0);
    let slow: Timer | null = null;
    const tooSlow = (): void => {
      session.refused(refuse('malformed-request', `no protocol after ${peeked.length} bytes and ${settings.setupTimeoutMs} ms`));
      socket.destroy();
    };
    const onReadable = (): void => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        peeked = peeked.length === 0 ? chunk : Buffer.concat([peeked, chunk]);
      }
      if (peeked.length === 0) return;
      const length = Math.min(peeked.length, PREFACE.length);
      const isPreface = peeked.compare(PREFACE, 0, length, 0, length) === 0;
      if (isPreface && length < PREFACE.length) {
        slow ??= clock.after(settings.setupTimeoutMs, tooSlow);
        return;
      }
      slow?.cancel();
      socket.removeListener('readable', onReadable);
      socket.removeListener('end', onEnd);
      socket.unshift(peeked);
      // The codecs take over the handle below the stream. Reading has just asked for more, and what
      // comes of that in this turn has to line up behind what is in the stream already: the codecs
      // get it in the next turn, which begins with the stream alone.
      setImmediate(() => {
        if (socket.destroyed) return;
        if (isPreface) this.#openH2(socket, front, life);
        else this.#h1.open(socket, front);
      });
    };
    const onEnd = (): void => void socket.destroySoon();
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
    socket.once('close', () => slow?.cancel());
    return {
      close() {
        socket.removeListener('readable', onReadable);
        socket.destroy();
      },
    };
  }

  /** Answers from now on say that they are the last of their connection. */
  drain(): void {
    this.#draining = true;
    for (const each of this.#opened) each.goAway();
  }

  keep(clusters: ReadonlyMap<string, Cluster>): void {
    this.#pools.keep(clusters);
  }

  close(): void {
    this.#h1.close();
    this.#pools.close();
  }

  #openH2(socket: TLSSocket, front: FrontConnection, life: ConnectionLife): void {
    const opened = openH2(socket, front, this.#plane.clock);
    this.#opened.add(opened);
    this.#looking ??= this.#plane.clock.every(LOOK_MS, () => {
      for (const each of this.#opened) each.look();
    });
    socket.once('close', () => {
      this.#opened.delete(opened);
      if (this.#opened.size > 0) return;
      this.#looking?.cancel();
      this.#looking = null;
    });
    life.onLast = () => opened.goAway();
    if (front.closing) opened.goAway();
  }

  /**
   * What the route's timeouts say of a connection: it ends when it has been without a request for
   * so long, and takes none after another time.
   */
  #lifeOf(socket: TLSSocket, session: HttpSession): ConnectionLife {
    const { clock } = this.#plane;
    const timeouts = timeoutsOf(session);
    const idleMs = timeouts.idleMs ?? HTTP_TIMEOUT_DEFAULTS.idleMs;
    let idle: Timer | null = null;
    let running = 0;
    const watch = (): void => {
      if (idleMs > 0) idle = clock.after(idleMs, () => (life.onLast === null ? socket.destroySoon() : life.onLast()));
    };
    const life: ConnectionLife = {
      isLast: false,
      onLast: null,
      begin() {
        running++;
        idle?.cancel();
      },
      end() {
        running--;
        if (running === 0 && !socket.destroyed) watch();
      },
    };
    const { maxConnectionMs = 0 } = timeouts;
    const last =
      maxConnectionMs === 0
        ? null
        : clock.after(maxConnectionMs, () => {
            life.isLast = true;
            life.onLast?.();
            if (running === 0) socket.destroySoon();
          });
    watch();
    socket.once('close', () => {
      idle?.cancel();
      last?.cancel();
    });
    return life;
  }

  #frontOf(session: HttpSession, life: ConnectionLife): FrontConnection {
    const isDraining = (): boolean => this.#draining;
    const { headersMs = 0 } = timeoutsOf(session);
    return {
      ...(headersMs === 0 ? {} : { headTimeoutMs: headersMs }),
      get closing() {
        return isDraining() || life.isLast;
      },
      serve: async (exchange) => {
        life.begin();
        await this.#serve(exchange, session);
        life.end();
      },
      onRefused: (reply, detail, head) => {
        const answered = reply === null ? detail : `answered ${reply.status}: ${detail}`;
        const refusal = refuse('malformed-request', answered);
        session.refused(refusal);
        const draft = this.#draft(head, session);
        draft.refused(refusal);
        if (reply !== null) draft.replied(reply);
        this.#report(draft);
      },
    };
  }

  async #serve(exchange: Exchange, session: HttpSession): Promise<void> {
    const { breakers, clock } = this.#plane;
    const draft = this.#draft(exchange.head, session);
    try {
      await serveRequest(watched(exchange, draft), {
        clock,
        pools: this.#pools,
        client: session.client,
        uris: session.uris,
        judge: () => session.judge(),
        targets: (cluster, hash) => session.targets(cluster, hash),
        dialled: {
          attempt(target) {
            draft.dialled(target);
            session.dialled.attempt(target);
          },
          connected(ms) {
            draft.connected(ms);
            session.dialled.connected(ms);
          },
        },
        sent(target, host) {
          draft.sent(target, host);
          session.sent(target);
        },
        moved(direction, bytes) {
          draft.moved(direction, bytes);
          session.moved(direction, bytes);
        },
        answered(status, serviceTimeMs) {
          draft.responded(status, serviceTimeMs);
          session.answered();
        },
        completed: () => draft.completed(),
        reset: (reason, detail) => draft.reset(reason, detail),
        timedOut: (which) => draft.timedOut(which),
        delayed: () => draft.delayed(),
        why: (refusal) => draft.refused(refusal),
        refused(refusal) {
          draft.refused(refusal);
          session.refused(refusal);
        },
        admit: (route, limit, index) => breakers.admitRequest(route, limit, index),
        enter: (cluster) => breakers.enterRequest(cluster),
        outcome: (cluster, target, outcome) => this.#plane.attempted(cluster, target, outcome),
      });
    } catch (error) {
      this.#plane.fault(error);
      draft.refused(refuse('internal-error', 'a mistake of the egress: the log has the stack'));
      if (!exchange.answered) exchange.reply(resetReply('protocol error'));
    }
    this.#report(draft);
  }

  #draft(head: RequestHead | null, session: HttpSession): RequestDraft {
    const { clock } = this.#plane;
    return new RequestDraft(head, session.nextRequest(), { wallMs: clock.wall(), nowMs: clock.now() });
  }

  #report(draft: RequestDraft): void {
    this.#plane.reportRequest(draft.record(this.#plane.clock.now()));
  }

  async #dial({ cluster, targets, dialled }: Wanted, over: boolean): Promise<Dialled> {
    const plane = this.#plane;
    const startedAt = plane.clock.now();
    const place = plane.breakers.enter(cluster, over);
    if ('limit' in place) return { kind: 'full', full: place };
    let used: (() => void) | null = null;
    let tried: Target | undefined;
    const leave = (): void => {
      place.leave();
      used?.();
    };
    try {
      const { socket } = await connectEndpoint(new SessionSteps(), targets, {
        clock: plane.clock,
        pool: plane.pool,
        origination: plane.origination,
        timeoutMs: cluster.connectTimeoutMs,
        unref: plane.settings.unref,
        asStream: true,
        onAttempt(target) {
          tried = target;
          dialled.attempt(target);
          used?.();
          used = plane.endpoints.enter(cluster.name, target);
        },
        onOutcome: (target, outcome) => plane.attempted(cluster, target, outcome === 'ok' ? 'connected' : outcome),
      });
      place.connected();
      dialled.connected(plane.clock.now() - startedAt);
      if (tried === undefined) throw new Error('a connection without an endpoint');
      return { kind: 'dialled', socket, target: tried, leave };
    } catch (error) {
      leave();
      throw error;
    }
  }
}

/** The same exchange, with what the egress answers itself noted. */
function watched(exchange: Exchange, draft: RequestDraft): Exchange {
  return {
    head: exchange.head,
    body: exchange.body,
    get bodyIsRead() {
      return exchange.bodyIsRead;
    },
    get answered() {
      return exchange.answered;
    },
    get gone() {
      return exchange.gone;
    },
    onGone: (listener) => exchange.onGone(listener),
    reply(reply) {
      draft.replied(reply);
      exchange.reply(reply);
    },
    respond: (head) => exchange.respond(head),
  };
}

/** Those of the route as it is now. */
function timeoutsOf(session: HttpSession): HttpTimeouts {
  const judged = session.judge();
  return judged.kind === 'allowed' ? (judged.http.timeouts ?? {}) : {};
}
