import type { Socket } from 'node:net';
import { adopt } from './adopt.ts';
import { withStacks } from './without-stacks.ts';

const READ = 64 * 1024;
/** The size of a read after one that was full: a byte of bulk costs a tenth less. */
const LARGE_READ = 256 * 1024;
/**
 * With more connections than this, each read is small: what TLS does not take of a read is copied,
 * and waits as long as TLS does.
 */
const FEW = 64;

let room: Buffer | null = null;
let small: Buffer | null = null;
/** Connections that are read into the shared buffer. */
let open = 0;

/**
 * Reads sockets of this thread into one buffer, one read at a time: for those under TLS, which
 * takes what it gets in the same call. It holds encrypted bytes only. Reads of their own would take
 * 64 KB each: since Node 24.22 the plain text of TLS comes in slices of 64 KB that many records
 * share, and a read of a socket between two of them makes Node begin another slice
 * (docs/decisions/small-messages.md).
 */
export class SharedReader {
  readonly onread: { readonly buffer: () => Buffer; readonly callback: (bytes: number) => boolean };
  /**
   * The memory belongs to the next read of any socket when the call is over. `isFull`: more may be
   * there already.
   */
  onBytes: ((chunk: Buffer, isFull: boolean) => void) | null = null;
  /** The memory that Node was given for the next read. */
  #given: Buffer;
  #isOpen = true;

  /** Call `close` when it is not used any more. */
  constructor() {
    open++;
    this.#given = smallRoom();
    this.onread = { buffer: () => this.#given, callback: (bytes) => this.#onRead(bytes) };
  }

  close(): void {
    if (this.#isOpen) open--;
    this.#isOpen = false;
  }

  #onRead(bytes: number): boolean {
    withStacks();
    const given = this.#given;
    const isFull = bytes === given.length;
    // Node asks for the next memory when this call is over.
    this.#given = isFull && open <= FEW ? largeRoom() : smallRoom();
    this.onBytes?.(isFull ? given : given.subarray(0, bytes), isFull);
    return true;
  }
}

function largeRoom(): Buffer {
  return (room ??= Buffer.allocUnsafeSlow(LARGE_READ));
}

function smallRoom(): Buffer {
  return (small ??= largeRoom().subarray(0, READ));
}

/**
 * Moves the connection of a socket into one that reads into the shared buffer. Returns null where
 * that cannot be done at this moment. Never call it inside of an event of the socket.
 */
export function readShared(raw: Socket, reader: SharedReader): { readonly socket: Socket; readonly rest: Buffer | null } | null {
  const isBusy = raw.writableLength > 0 || raw.writableEnded || raw.readableEnded;
  return isBusy || raw.destroyed || raw.errored !== null ? null : adopt(raw, reader);
}
