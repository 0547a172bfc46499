import type { Socket } from 'node:net';
import { adopt } from './adopt.ts';
import { withStacks } from './without-stacks.ts';

/** The most bytes of one read. */
export const FULL_READ: number = 64 * 1024;

let room: Buffer | null = null;

/**
 * Reads sockets of this thread into one buffer, one read at a time: for those under TLS, which
 * takes what it gets in the same call. It holds encrypted bytes only. Reads of their own would take
 * 64 KB each: since Node 24.22 the plain text of TLS comes in slices of 64 KB that many records
 * share, and a read of a socket between two of them makes Node begin another slice
 * (docs/decisions/small-messages.md).
 */
export class SharedReader {
  readonly onread: { readonly buffer: () => Buffer; readonly callback: (bytes: number) => boolean };
  /** The memory belongs to the next read of any socket when the call is over. */
  onBytes: ((chunk: Buffer) => void) | null = null;

  constructor() {
    this.onread = { buffer: sharedRoom, callback: (bytes) => this.#onRead(bytes) };
  }

  #onRead(bytes: number): boolean {
    withStacks();
    const all = sharedRoom();
    this.onBytes?.(bytes === all.length ? all : all.subarray(0, bytes));
    return true;
  }
}

function sharedRoom(): Buffer {
  return (room ??= Buffer.allocUnsafeSlow(FULL_READ));
}

/**
 * Moves the connection of a socket into one that reads into the shared buffer. Returns null where
 * that cannot be done at this moment. Never call it inside of an event of the socket.
 */
export function readShared(raw: Socket, reader: SharedReader): { readonly socket: Socket; readonly rest: Buffer | null } | null {
  const isBusy = raw.writableLength > 0 || raw.writableEnded || raw.readableEnded;
  return isBusy || raw.destroyed || raw.errored !== null ? null : adopt(raw, reader);
}
