import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../base/clock.ts';
import { LINGER_MS } from './front-connection.ts';
import type { FrontConnection, UnreadRequest } from './front-connection.ts';
import { rawReply } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';

/**
 * Requests of one connection that wait for the one before. At the first number reading stops, and
 * at the second it continues.
 */
const MANY_WAITING = 64;
const FEW_WAITING = 16;
/**
 * Bytes read before the connection stopped are still parsed; requests above this number are cut
 * off.
 */
const MOST_WAITING = 4_096;

/**
 * One connection of a client of HTTP/1.1: the order of its requests, and its end. It listens once
 * for the end of its socket, for any number of requests.
 */
export class H1Connection {
  readonly front: FrontConnection;
  readonly socket: Duplex;
  readonly #clock: Clock;
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** True while the connection is not read because too many requests wait. */
  #held = false;
  /** The deadline of a head that was late while other requests waited. */
  #late: Timer | null = null;
  #gathering = false;
  #lingering: Timer | null = null;
  /** True when the connection ends with the current answer. */
  ending = false;
  /**
   * The request that was read last. Nothing after it is served where it asked for another protocol.
   */
  last: IncomingMessage | null = null;
  lastOfAll = false;
  /** The answer to send when the parser has failed after the last request, or inside of it. */
  failed: LocalReply | null = null;
  /** The request that is served now. */
  running: IncomingMessage | null = null;
  /**
   * Ends it without an answer of its own: after the end of the socket, or for an answer that
   * replaces its own.
   */
  onCut: (() => void) | null = null;
  /** True when the running request has the head of its answer. */
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

  /** Queues a request for its turn; false where too many wait. */
  take(request: IncomingMessage, serve: () => Promise<void>): boolean {
    if (this.#waiting >= MOST_WAITING) return false;
    this.#late?.cancel();
    this.last = request;
    // Node drops the bytes in the same read after a request that asks for another protocol.
    this.lastOfAll = request.headers.upgrade !== undefined;
    this.#waiting++;
    if (this.#waiting >= MANY_WAITING) {
      this.#held = true;
      this.socket.pause();
    }
    // The body waits in the socket until its turn; each exchange notices a client that goes away.
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

  /** Sends the writes of this turn together: the head of an answer and its first bytes. */
  gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.socket.cork();
    queueMicrotask(this.#uncork);
  }

  readonly #uncork = (): void => {
    this.#gathering = false;
    this.socket.uncork();
  };

  /** Ends the connection within an answer, and sends what was written of it before. */
  cut(): void {
    if (this.#gathering) this.socket.uncork();
    this.socket.destroy();
  }

  /** Call it when the answer of the running request is sent. */
  done(): void {
    this.running = this.onCut = null;
    this.answering = false;
  }

  /**
   * Handles a late head, during which the connection may not have been read: once no other request
   * is left, it gets the full time again.
   */
  endWhenAlone(ms: number, late: UnreadRequest & { readonly reply: LocalReply }): void {
    this.inTurn(() => {
      this.#late = this.#clock.after(ms, () => {
        if (!this.isIdle || this.ending) return;
        this.front.onUnread(late);
        this.end(late.reply);
      });
    });
  }

  /**
   * Answers in place of the codec and ends the connection; a request whose answer has begun is cut
   * off.
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
   * Lets the client read the last answer and drops what it still sends. A lingering connection ends
   * after a second, or with the client.
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
