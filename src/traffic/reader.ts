import type { Socket } from 'node:net';

/** Counts the bytes of a direction. */
export interface Meter {
  add(bytes: number): void;
}

/** Moves what one socket receives into another, with buffers of the pool. */
export interface Reader {
  /** Nothing is read before. */
  start(source: Socket, sink: Socket, options: { readonly intoTls: boolean; readonly meter: Meter }): void;
  /** Writes what was read and is not written yet: the source has ended. */
  flush(): void;
  /**
   * The source is closed. Gives the buffers back; a write that is still under way gives back its
   * own when it is done or given up.
   */
  close(): void;
}
