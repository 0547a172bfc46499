/**
 * Keeps connections to services that speak HTTP, for reuse. A pool belongs to one address of one
 * cluster in one mesh, so that no mesh uses a connection of another. Sockets come from
 * `connectEndpoint`: endpoints, TLS, breakers and outlier detection are those of every session.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { Refused, refuse } from '../../base/refusal.ts';
import type { Cluster, Endpoint } from '../../model/cluster.ts';
import type { Target } from '../../routing/choose.ts';
import type { Full } from '../breakers.ts';
import { FloodWatch } from './flood-watch.ts';
import type { Connection, UpstreamCall, UpstreamListener, UpstreamRequest } from './upstream-connection.ts';
import { Http1Connection } from './upstream-h1.ts';
import { Http2Connection } from './upstream-h2.ts';

/** A place on a connection, for one request. */
export interface Lease {
  readonly target: Target;
  /**
   * True for a connection that has carried requests before: its service may have ended it
   * meanwhile.
   */
  readonly reused: boolean;
  /**
   * Tells whether the service announced that it takes no more: it has not begun a request that it
   * refuses then.
   */
  readonly isLeaving: () => boolean;
  send(request: UpstreamRequest, listener: UpstreamListener): UpstreamCall;
  /**
   * Gives the place back instead of `send`; a connection that was made for it and carried no
   * request ends.
   */
  drop(): void;
}

/** Called for each connection that is dialled for a request. */
export interface DialListener {
  attempt(target: Target): void;
  connected(ms: number): void;
}

export interface WantedConnection {
  readonly mesh: string;
  readonly cluster: Cluster;
  /** In the order to try. */
  readonly targets: readonly Target[];
  /** True asks for a new connection that no request has used. */
  readonly fresh: boolean;
  /** Receives the function that gives up the wait. */
  readonly whenOver: (cancel: () => void) => void;
  readonly dialled: DialListener;
}

export type Dialled =
  | { readonly kind: 'dialled'; readonly socket: Socket; readonly target: Target; readonly leave: () => void }
  | { readonly kind: 'full'; readonly full: Full };

export interface PoolsHost {
  readonly clock: Clock;
  /** Dials a connection. `over` allows one above the limit of the cluster. Throws Refused. */
  dial(wanted: WantedConnection, over: boolean): Promise<Dialled>;
  /**
   * Takes a place among the requests that wait for a connection. Returns the function that leaves
   * it; null where all places are taken.
   */
  wait(cluster: Cluster): (() => void) | null;
}

interface Waiter {
  readonly wanted: WantedConnection;
  /**
   * Set for a request that waits because no connection may be made; other requests wait for a
   * connection in the making.
   */
  leave: (() => void) | null;
  resolve(lease: Lease): void;
  reject(error: Error): void;
}

interface Pool {
  readonly key: string;
  readonly mesh: string;
  readonly cluster: string;
  readonly connections: Set<Connection>;
  readonly waiting: Waiter[];
  dialling: number;
}

export class UpstreamPools {
  readonly #host: PoolsHost;
  readonly #pools = new Map<string, Pool>();
  readonly #watch: FloodWatch;
  #closed = false;

  constructor(host: PoolsHost) {
    this.#host = host;
    this.#watch = new FloodWatch(host.clock);
  }

  /**
   * Takes a place for one request: on a connection to the first target where one has room, else on
   * a new one; where none may be made, on the first that has room again. Throws Refused where there
   * is none.
   */
  lease(wanted: WantedConnection): Lease | Promise<Lease> {
    const [first] = wanted.targets;
    if (first === undefined) throw new Refused(refuse('no-endpoint', `${wanted.cluster.name} has no endpoint`));
    const pool = this.#poolOf(wanted, first);
    const free = wanted.fresh ? null : freeOf(pool);
    if (free !== null) return leaseOf(free);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { wanted, leave: null, resolve, reject };
      pool.waiting.push(waiter);
      wanted.whenOver(() => {
        if (remove(pool, waiter)) reject(new Refused(refuse('client-gone', 'the client is gone')));
      });
      if (pool.waiting.length > pool.dialling * atOnce(wanted.cluster)) void this.#grow(pool, waiter, false);
    });
  }

  /**
   * Retires connections of clusters and endpoints that are gone or have changed: they take no more
   * requests.
   */
  keep(clusters: ReadonlyMap<string, Cluster>): void {
    for (const pool of this.#pools.values()) {
      const cluster = clusters.get(pool.cluster);
      for (const connection of pool.connections) {
        const { endpoint, ip } = connection.target;
        const isLive =
          cluster?.endpoints.some(
            (each) => each.port === endpoint.port && keyOf(pool.mesh, cluster, { endpoint: each, ip }) === pool.key,
          ) ?? false;
        if (!isLive) connection.close();
      }
    }
  }

  close(): void {
    this.#closed = true;
    for (const pool of this.#pools.values()) {
      for (const connection of pool.connections) connection.close();
      for (const waiter of [...pool.waiting]) fail(pool, waiter, stopped());
    }
  }

  #poolOf({ mesh, cluster }: Pick<WantedConnection, 'mesh' | 'cluster'>, target: Target): Pool {
    const key = keyOf(mesh, cluster, target);
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const pool: Pool = { key, mesh, cluster: cluster.name, connections: new Set(), waiting: [], dialling: 0 };
    this.#pools.set(key, pool);
    return pool;
  }

  /**
   * Makes a connection for the request that waits longest; `waiter` is the request that caused it.
   */
  async #grow(pool: Pool, waiter: Waiter, over: boolean): Promise<void> {
    pool.dialling++;
    let dialled: Dialled;
    try {
      dialled = await this.#host.dial(waiter.wanted, over);
    } catch (error) {
      pool.dialling--;
      this.#failed(pool, waiter, error instanceof Error ? error : new Error(String(error)));
      return this.#forget(pool);
    }
    pool.dialling--;
    if (dialled.kind === 'full') this.#full(pool, waiter, dialled.full);
    else if (this.#closed) {
      dialled.leave();
      dialled.socket.destroy();
      fail(pool, waiter, stopped());
    } else this.#made(pool, waiter, dialled);
    this.#forget(pool);
  }

  #made(pool: Pool, waiter: Waiter, { socket, target, leave }: Extract<Dialled, { kind: 'dialled' }>): void {
    const { cluster, mesh, fresh } = waiter.wanted;
    // The dial may have reached another endpoint than the first: its connection is kept in that
    // endpoint's pool.
    const home = this.#poolOf({ mesh, cluster }, target);
    const limits = cluster.httpPool ?? {};
    const options = {
      target,
      pool: limits,
      clock: this.#host.clock,
      watch: this.#watch,
      onRoom: () => this.#serve(home),
      onGone: () => {
        leave();
        life?.cancel();
        home.connections.delete(connection);
        const [next] = home.waiting;
        if (next !== undefined && home.dialling === 0) void this.#grow(home, next, false);
        this.#forget(home);
      },
    };
    const connection: Connection =
      cluster.http === 'http2' ? new Http2Connection(socket, options) : new Http1Connection(socket, options);
    const life =
      limits.maxConnectionMs === undefined ? null : this.#host.clock.after(limits.maxConnectionMs, () => connection.close());
    home.connections.add(connection);
    if ((fresh || home !== pool) && remove(pool, waiter)) {
      connection.reserve();
      waiter.resolve(leaseOf(connection));
    }
    this.#serve(home);
  }

  /** Gives a free place to the request that waits longest. */
  #serve(pool: Pool): void {
    for (;;) {
      const waiter = pool.waiting.find(({ wanted }) => !wanted.fresh);
      if (waiter === undefined) return;
      const free = freeOf(pool);
      if (free === null) return;
      remove(pool, waiter);
      waiter.resolve(leaseOf(free));
    }
  }

  /**
   * No connection may be made: existing connections serve the waiting request. A pool without any
   * makes one, as Envoy does.
   */
  #full(pool: Pool, waiter: Waiter, full: Full): void {
    if (full.limit === 'max-connections' && pool.connections.size === 0 && pool.dialling === 0) {
      void this.#grow(pool, waiter, true);
      return;
    }
    if (!pool.waiting.includes(waiter)) return;
    waiter.leave = full.limit === 'max-connections' && !waiter.wanted.fresh ? this.#host.wait(waiter.wanted.cluster) : null;
    if (waiter.leave === null) fail(pool, waiter, new Refused(refuse('over-limit', full.detail)));
  }

  /** Many HTTP/2 requests wait for one connection; all of them fail with it. */
  #failed(pool: Pool, waiter: Waiter, error: Error): void {
    const all = waiter.wanted.cluster.http === 'http2' && pool.dialling === 0 ? [...pool.waiting] : [waiter];
    for (const each of all) fail(pool, each, error);
  }

  #forget(pool: Pool): void {
    if (pool.connections.size + pool.waiting.length + pool.dialling > 0) return;
    if (this.#pools.get(pool.key) === pool) this.#pools.delete(pool.key);
  }
}

/** Returns how many requests may wait for one connection in the making. */
function atOnce({ http, httpPool }: Cluster): number {
  return http === 'http2' ? Math.min(100, httpPool?.maxStreams ?? 100) : 1;
}

/** Finds a connection with room and reserves a place on it. */
function freeOf({ connections }: Pool): Connection | null {
  for (const connection of connections) {
    if (!connection.isOpen || connection.room <= 0) continue;
    connection.reserve();
    return connection;
  }
  return null;
}

function remove(pool: Pool, waiter: Waiter): boolean {
  const at = pool.waiting.indexOf(waiter);
  if (at < 0) return false;
  pool.waiting.splice(at, 1);
  waiter.leave?.();
  return true;
}

function fail(pool: Pool, waiter: Waiter, error: Error): void {
  if (remove(pool, waiter)) waiter.reject(error);
}

function stopped(): Refused {
  return new Refused(refuse('drained', 'the egress was stopped'));
}

/** Makes the lease of a connection on which a place is reserved. */
function leaseOf(connection: Connection): Lease {
  return {
    target: connection.target,
    reused: connection.used > 1,
    isLeaving: () => connection.isLeaving,
    send: (request, listener) => connection.send(request, listener),
    drop: () => connection.drop(),
  };
}

/**
 * Joins everything that distinguishes connections: another TLS or another protocol is another pool.
 */
function keyOf(mesh: string, cluster: Cluster, { ip, endpoint }: Target): string {
  const known = lastKeys.get(endpoint);
  if (known?.mesh === mesh && known.cluster === cluster && known.ip === ip) return known.key;
  const { name, http, httpPool } = cluster;
  const { address, port, tls } = endpoint;
  const key = JSON.stringify([mesh, name, http, httpPool, ip, port, address, tls]);
  lastKeys.set(endpoint, { mesh, cluster, ip, key });
  return key;
}

/** The last key of each endpoint: most requests ask for the same one again. */
const lastKeys = new WeakMap<
  Endpoint,
  { readonly mesh: string; readonly cluster: Cluster; readonly ip: string; readonly key: string }
>();
