import type { TLSSocket } from 'node:tls';
import { Chain, ChainEntry } from '../../base/chain.ts';
import { refuse } from '../../base/refusal.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { HttpTimeouts } from '../../model/http-route.ts';
import type { Target } from '../../routing/choose.ts';
import { connectEndpoint } from '../connect.ts';
import type { SessionContext } from '../session-context.ts';
import { SessionSteps } from '../session-steps.ts';
import { ConnectionLife } from './connection-life.ts';
import { readFirstBytes } from './first-bytes.ts';
import { FloodWatch } from './flood-watch.ts';
import type { FrontConnection } from './front-connection.ts';
import { H1Front } from './h1-front.ts';
import { openH2 } from './h2-front.ts';
import { HttpRequests } from './http-session.ts';
import type { HttpSession } from './http-session.ts';
import { UpstreamPools } from './upstream.ts';
import type { Dialled, WantedConnection } from './upstream.ts';

/**
 * The HTTP side of one data side: the codecs towards clients, the connections to services, and
 * their end.
 */
export class HttpTraffic {
  readonly #plane: SessionContext;
  readonly #h1: H1Front;
  readonly #pools: UpstreamPools;
  readonly #lives = new Chain<ChainEntry<ConnectionLife>>();
  readonly #watch: FloodWatch;
  #draining = false;

  constructor(plane: SessionContext) {
    this.#plane = plane;
    this.#watch = new FloodWatch(plane.clock);
    this.#h1 = new H1Front(plane.clock, plane.settings.setupTimeoutMs);
    this.#pools = new UpstreamPools({
      clock: plane.clock,
      dial: (wanted, over) => this.#dial(wanted, over),
      wait: (cluster) => plane.breakers.enterPending(cluster),
    });
  }

  /**
   * Serves the requests of a connection whose mesh TLS is terminated, in the protocol of its first
   * bytes.
   */
  open(socket: TLSSocket, session: HttpSession): { close(): void } {
    const { clock, settings } = this.#plane;
    const judged = session.judge();
    // The timeouts of the route as it is now.
    const timeouts = judged.kind === 'allowed' ? (judged.http.timeouts ?? {}) : {};
    const life = new ConnectionLife(clock, socket, timeouts, (ms) =>
      session.refused(refuse('idle-timeout', `no request came for ${ms} ms`)),
    );
    const front = this.#frontOf(session, life, timeouts);
    socket.allowHalfOpen = false;
    const stop = readFirstBytes(socket, {
      clock,
      withinMs: settings.setupTimeoutMs,
      onProtocol: (protocol) => (protocol === 'http2' ? this.#openH2(socket, front, life) : this.#h1.open(socket, front)),
      onSlow(bytes) {
        session.refused(refuse('request-timeout', `no protocol after ${bytes} bytes and ${settings.setupTimeoutMs} ms`));
        socket.destroy();
      },
    });
    const entry = new ChainEntry(life);
    this.#lives.add(entry);
    if (this.#draining) life.leave();
    socket.once('close', () => {
      stop();
      life.closed();
      this.#lives.remove(entry);
    });
    return {
      close() {
        stop();
        socket.destroy();
      },
    };
  }

  /** Marks answers from now on as the last of their connection. */
  drain(): void {
    this.#draining = true;
    for (const { value } of this.#lives) value.leave();
  }

  keep(clusters: ReadonlyMap<string, Cluster>): void {
    this.#pools.keep(clusters);
  }

  close(): void {
    this.#h1.close();
    this.#pools.close();
  }

  #openH2(socket: TLSSocket, front: FrontConnection, life: ConnectionLife): void {
    const { clock, settings } = this.#plane;
    const opened = openH2(socket, front, { clock, watch: this.#watch, setupMs: settings.setupTimeoutMs });
    life.speaksHttp2(() => opened.goAway());
  }

  #frontOf(session: HttpSession, life: ConnectionLife, { headersMs = 0 }: HttpTimeouts): FrontConnection {
    const requests = new HttpRequests(this.#plane, this.#pools, session, ({ code }) => {
      // The route now serves another protocol, or the trust has changed; the client finds it with a
      // new connection.
      if (code === 'policy-changed' || code === 'client-not-trusted') life.leave();
    });
    return {
      ...(headersMs === 0 ? {} : { headTimeoutMs: headersMs }),
      get closing() {
        return life.isLast;
      },
      serve: async (exchange) => {
        life.begin();
        await requests.serve(exchange);
        life.end();
      },
      onUnread: (unread) => requests.unread(unread),
    };
  }

  async #dial({ cluster, targets, dialled }: WantedConnection, over: boolean): Promise<Dialled> {
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
        maxDescriptors: plane.settings.maxDescriptors,
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
