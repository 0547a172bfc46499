import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../base/clock.ts';
import { LINGER_MS } from './front-connection.ts';
import type { FrontConnection } from './front-connection.ts';
import { rawReply } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';

/**
 * Requests of one connection that wait for the one before: with so many it is not read any more,
 * and it is again with the few.
 */
const MANY_WAITING = 64;
const FEW_WAITING = 16;
/**
 * What was read before the connection stopped is parsed to its end: more than fit there are cut
 * off.
 */
const MOST_WAITING = 4_096;

/**
 * One connection of a client of HTTP/1.1: whose turn it is, and how it ends. It listens for the end
 * of its socket once, however many requests come.
 */
export class H1Connection {
  readonly front: FrontConnection;
  readonly socket: Duplex;
  readonly #clock: Clock;
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** The connection is not read because of those that wait. */
  #held = false;
  /** The head that is being read was late while others waited: it has until then. */
  #late: Timer | null = null;
  #lingering: Timer | null = null;
  /** The connection ends with the answer that is under way. */
  ending = false;
  /**
   * The request that was read last; nothing behind it is served where it asked for another
   * protocol.
   */
  last: IncomingMessage | null = null;
  lastOfAll = false;
  /** The parser has given up on what came behind the last request, or within it. */
  failed: LocalReply | null = null;
  /** The request whose turn it is. */
  running: IncomingMessage | null = null;
  /**
   * What ends it without an answer of its own: the end of the socket, or an answer in its place.
   */
  onCut: (() => void) | null = null;
  /** The running request has the head of its answer. */
  answering = false;

  constructor(socket: Duplex, front: FrontConnection, clock: Clock, onClose: () => void) {
    this.socket = socket;
    this.front = front;
    this.#clock = clock;
    socket.once('close', () => {
      this.#late?.cancel();
      this.#lingering?.cancel();
      this.onCut?.();
      onClose();
    });
  }

  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Takes a request in its turn; false where too many wait. */
  take(request: IncomingMessage, serve: () => Promise<void>): boolean {
    if (this.#waiting >= MOST_WAITING) return false;
    this.#late?.cancel();
    this.last = request;
    // Node leaves out what stands in the same read behind a request that asks for another protocol.
    this.lastOfAll = request.headers.upgrade !== undefined;
    this.#waiting++;
    if (this.#waiting >= MANY_WAITING) {
      this.#held = true;
      this.socket.pause();
    }
    // The body waits in the socket until its turn; a client that goes away is seen by each exchange
    // itself.
    this.inTurn(async () => {
      if (!this.ending) await serve();
      this.#waiting--;
      if (!this.#held || this.#waiting > FEW_WAITING) return;
      this.#held = false;
      this.socket.resume();
    });
    return true;
  }

  inTurn(act: () => Promise<void> | void): void {
    this.#tail = this.#tail.then(act, act);
  }

  /** The answer of the running request is out. */
  done(): void {
    this.running = this.onCut = null;
    this.answering = false;
  }

  /**
   * A head came late while the connection was perhaps not read: it gets the whole time again once
   * it is the only one.
   */
  endWhenAlone(ms: number, reply: LocalReply): void {
    this.inTurn(() => {
      this.#late = this.#clock.after(ms, () => {
        if (this.isIdle) this.end(reply);
      });
    });
  }

  /**
   * Answers in place of the codec and ends the connection; a request that is being answered is cut
   * off without it.
   */
  end(reply: LocalReply): void {
    if (this.ending || this.answering) {
      this.ending = true;
      this.socket.destroy();
      return;
    }
    this.ending = true;
    this.socket.write(rawReply(reply, this.#clock.wall()));
    this.onCut?.();
    this.finish(reply.lingers === true);
  }

  /**
   * The client may read the last answer; what it still sends is thrown away. A connection that
   * lingers ends after a second, or with the client.
   */
  finish(lingers: boolean): void {
    const { socket } = this;
    if (socket.destroyed) return;
    socket.resume();
    if (!lingers) socket.end();
    this.#lingering?.cancel();
    this.#lingering = this.#clock.after(LINGER_MS, () => (lingers ? socket.end(() => socket.destroy()) : socket.destroy()));
  }
}
