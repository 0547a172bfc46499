import type { Socket } from 'node:net';

/**
 * The part of libuv's handle that this room uses. Node does not document it: each use has a way
 * without it.
 */
export interface SocketHandle {
  readonly fd?: number;
  /** Reads into this memory until `onread` returns another one. */
  useUserBuffer?(memory: Buffer): void;
  getpeername?(out: object): number;
  /** Node's function that gets each read, and returns the buffer of the next one. */
  onread?: (this: unknown, bytes: unknown) => unknown;
}

/** Returns null where the socket has none: it is closed, or was adopted. */
export function handleOf(socket: Socket): SocketHandle | null {
  return (socket as unknown as { readonly _handle?: SocketHandle | null })._handle ?? null;
}
