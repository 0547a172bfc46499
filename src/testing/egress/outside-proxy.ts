import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer } from 'node:tls';
import { ignoreError } from '../../base/ignore-error.ts';
import type { CertificateAndKey } from '../../identity/issue.ts';
import { listen } from './fake-external-service.ts';
import { ToxicLink } from './toxic-link.ts';
import { ActiveToxic } from './toxics.ts';
import type { Toxic, ToxicWorld } from './toxics.ts';

export interface Address {
  readonly address: string;
  readonly port: number;
}

const LOOPBACK = '127.0.0.1';

/**
 * Listens on loopback in place of one external address: passes connections on, and breaks them on
 * demand. It accepts the egress before it has connected the external address, so a refused
 * connection shows as a reset, and `failures` has the reason.
 */
export class Outside {
  readonly #world: ToxicWorld;
  readonly #connections = new Set<Connection>();
  readonly failures: { readonly at: number; readonly message: string }[] = [];
  target: Address;
  #toxics: readonly ActiveToxic[] = [];
  #server: Server | null = null;
  #port = 0;
  #expired: TlsServer | null = null;

  constructor(target: Address, world: ToxicWorld) {
    this.target = target;
    this.#world = world;
  }

  get port(): number {
    return this.#port;
  }

  /** Open connections, both ends of each. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Listens, on its former port where that is still free. */
  async open(): Promise<void> {
    if (this.#server !== null || this.#toxics.some(({ toxic }) => toxic.type === 'refuse')) return;
    this.#server = this.#listener();
    try {
      this.#port = await listen(this.#server, { address: LOOPBACK, port: this.#port });
    } catch (error) {
      if (this.#port === 0) throw error;
      this.#server = this.#listener();
      this.#port = await listen(this.#server, { address: LOOPBACK, port: 0 });
    }
  }

  /** Resolves when it is active, with the function that ends it; that resolves when it is off. */
  async add(toxic: Toxic, expired: CertificateAndKey | null): Promise<() => Promise<void>> {
    if (toxic.type === 'refuse') await this.#stopListening();
    if (toxic.type === 'tls_expired' && expired !== null) {
      this.#expired = createTlsServer({ cert: expired.cert, key: expired.key });
      this.#expired.on('tlsClientError', ignoreError);
    }
    const active = new ActiveToxic(toxic);
    this.#toxics = [...this.#toxics, active];
    for (const { links } of this.#connections) for (const link of links) link.added(active);
    return async () => {
      this.#toxics = this.#toxics.filter((other) => other !== active);
      active.remove();
      if (toxic.type === 'tls_expired') this.#expired = null;
      if (toxic.type === 'refuse') await this.open();
    };
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) this.#end(connection, 'close');
    for (const active of this.#toxics) active.remove();
    await this.#stopListening();
  }

  #listener(): Server {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (inner) => this.#accept(inner));
    return server.unref();
  }

  #stopListening(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return Promise.resolve();
    // Its connections continue: the callback would wait for them.
    server.close();
    return new Promise((resolve) => void setImmediate(resolve));
  }

  #accept(inner: Socket): void {
    inner.unref();
    const outer = this.#expired === null ? this.#dial() : null;
    const connection: Connection = { inner, outer, links: [], done: 0 };
    this.#connections.add(connection);
    inner.on('error', () => this.#end(connection, 'reset'));
    inner.on('close', () => this.#closed(connection, inner));
    if (outer === null) return void this.#expired?.emit('connection', inner);
    outer.on('error', (error: Error) => {
      if (outer.connecting || outer.remoteAddress === undefined)
        this.failures.push({ at: this.#world.clock.wall(), message: error.message });
      this.#end(connection, 'reset');
    });
    outer.on('close', () => this.#closed(connection, outer));
    outer.once('connect', () => {
      if (!this.#connections.has(connection)) return;
      const both = {
        ...this.#world,
        toxics: () => this.#toxics,
        cut: (how: 'close' | 'reset') => this.#end(connection, how),
        onDone: () => {
          if (++connection.done === 2) this.#end(connection, 'close');
        },
      };
      connection.links = [
        new ToxicLink({ ...both, stream: 'upstream', from: inner, to: outer }),
        new ToxicLink({ ...both, stream: 'downstream', from: outer, to: inner }),
      ];
      inner.resume();
    });
  }

  #dial(): Socket {
    const { address, port } = this.target;
    return connect({ host: address, port, allowHalfOpen: true, noDelay: true }).unref();
  }

  /**
   * After an orderly end the bytes read before are still on their way: the link reports when they
   * have passed.
   */
  #closed(connection: Connection, socket: Socket): void {
    if (!socket.readableEnded) this.#end(connection, 'reset');
    else if (connection.links.length === 0) this.#end(connection, 'close');
  }

  #end(connection: Connection, how: 'close' | 'reset'): void {
    if (!this.#connections.delete(connection)) return;
    const { inner, outer, links } = connection;
    for (const link of links) link.end();
    for (const socket of [inner, outer]) {
      if (socket === null || socket.destroyed) continue;
      if (how === 'reset') socket.resetAndDestroy();
      // Bytes that were written still arrive.
      else if (socket.connecting) socket.destroy();
      else socket.destroySoon();
    }
  }
}

interface Connection {
  readonly inner: Socket;
  readonly outer: Socket | null;
  links: readonly ToxicLink[];
  /** Number of links that have passed on the end of their stream. */
  done: number;
}
