import type { Socket } from 'node:net';

/** Counts the bytes of a direction. */
export interface Meter {
  add(bytes: number): void;
}

/** Moves what one socket receives into another, with buffers of the pool. */
export interface Reader {
  /** Starts to read. */
  start(source: Socket, sink: Socket, options: { readonly intoTls: boolean; readonly meter: Meter }): void;
  /** Writes what was read and is not written yet, because the source has ended. */
  flush(): void;
  /**
   * Returns the buffers, because the source is closed; a write in progress returns its own when it
   * is done or given up.
   */
  close(): void;
}
