import type { Socket } from 'node:net';
import { ignoreError } from '../base/ignore-error.ts';
import { resetTcp } from './reset.ts';

/** Connections that are served in one turn when the room opens: others get theirs in between. */
const IN_A_TURN = 16;

/**
 * Holds connections that were accepted before there is a configuration to judge them by. None of
 * their bytes is read. It has no limit of its own: each connection has its place among the sessions
 * of the process before it enters.
 */
export class WaitingRoom {
  readonly #serve: (socket: Socket) => void;
  readonly #turnAway: (socket: Socket) => void;
  #waiting: Socket[] = [];
  #isOpen: boolean;

  constructor(options: {
    /** False holds each connection until `open`. */
    readonly isOpen: boolean;
    readonly serve: (socket: Socket) => void;
    /** Called for each connection that is reset: it gives its place back. */
    readonly turnAway: (socket: Socket) => void;
  }) {
    this.#isOpen = options.isOpen;
    this.#serve = options.serve;
    this.#turnAway = options.turnAway;
  }

  enter(socket: Socket): void {
    if (this.#isOpen) return this.#serve(socket);
    socket.on('error', ignoreError);
    this.#waiting.push(socket);
  }

  /** Serves those that wait, in their order, and each later one at once. */
  open(): void {
    this.#isOpen = true;
    for (const socket of this.#waiting.splice(0, IN_A_TURN)) this.#serve(socket);
    if (this.#waiting.length > 0) setImmediate(() => this.open());
  }

  /** Resets those that wait; returns how many there were. */
  close(): number {
    const waiting = this.#waiting.splice(0);
    for (const socket of waiting) {
      this.#turnAway(socket);
      resetTcp(socket);
    }
    return waiting.length;
  }
}
