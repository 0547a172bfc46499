import type { Socket } from 'node:net';
import { freeMemory } from './free-memory.ts';

/** Pieces of one write that have at most this much together go to the kernel as one. */
const GATHERED = 32 * 1024;

export type Done = (error?: Error | null) => void;

interface Piece {
  readonly chunk: Buffer;
  readonly done: Done | undefined;
}

/**
 * Writes what TLS has encrypted. Where Node hands over one write in several pieces, each in memory
 * of its own, a short one goes to the kernel as one.
 */
export class TlsWrites {
  #pieces: Piece[] | null = null;

  /** Until `send`, pieces are gathered. */
  gather(): void {
    this.#pieces ??= [];
  }

  add(to: Socket, chunk: Buffer, done: Done | undefined): void {
    if (this.#pieces === null) write(to, chunk, done);
    else this.#pieces.push({ chunk, done });
  }

  send(to: Socket): void {
    const pieces = this.#pieces;
    this.#pieces = null;
    if (pieces === null) return;
    const length = pieces.reduce((sum, { chunk }) => sum + chunk.length, 0);
    if (pieces.length === 1 || length > GATHERED) {
      for (const { chunk, done } of pieces) write(to, chunk, done);
      return;
    }
    const all = Buffer.allocUnsafeSlow(length);
    let at = 0;
    for (const { chunk } of pieces) {
      at += chunk.copy(all, at);
      freeMemory(chunk);
    }
    write(to, all, (error) => {
      for (const { done } of pieces) done?.(error);
    });
  }
}

/** Frees the memory when the kernel has taken all of it, or the write was given up for good. */
function write(to: Socket, chunk: Buffer, done: Done | undefined): void {
  to.write(chunk, (error) => {
    freeMemory(chunk);
    done?.(error);
  });
}
