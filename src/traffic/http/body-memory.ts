import { getHeapStatistics } from 'node:v8';

/** The bytes of bodies after which their memory is worth a small collection. */
const WORTH_BYTES = 4 * 1024 * 1024;

/** The memory of a thread. */
export interface YoungMemory {
  /** Returns the bytes that live outside of the heap. */
  readonly outside: () => number;
  /** Collects what is young, which takes about a millisecond. */
  readonly collect: () => void;
}

/**
 * Frees the memory of bodies of HTTP/2. `node:http2` hands out views of one memory for each read,
 * so that no other code knows when that memory is free. Left to itself V8 marks the whole heap for
 * every 15 MB of it, which costs more than all other work for the bytes.
 */
export class BodyMemory {
  readonly #memory: YoungMemory;
  #bytes = 0;
  /** Bytes outside of the heap after the last collection. */
  #kept = 0;

  constructor(memory: YoungMemory) {
    this.#memory = memory;
  }

  /** Call it for each piece of a body, with its length. */
  readonly came = (bytes: number): void => {
    this.#bytes += bytes;
    if (this.#bytes < WORTH_BYTES) return;
    this.#bytes = 0;
    setImmediate(this.#look);
  };

  /** Does nothing where V8 has just collected by itself. */
  readonly #look = (): void => {
    const { outside, collect } = this.#memory;
    const now = outside();
    this.#kept = Math.min(this.#kept, now);
    if (now - this.#kept < WORTH_BYTES / 2) return;
    collect();
    this.#kept = outside();
  };
}

/**
 * Call it for each piece of a body of HTTP/2, with its length. Does nothing where `gc` is not
 * exposed, as in programs that embed the egress.
 */
export const bodyCame: (bytes: number) => void =
  globalThis.gc === undefined
    ? () => {}
    : new BodyMemory({
        outside: () => getHeapStatistics().external_memory,
        collect: () => void globalThis.gc?.({ type: 'minor' }),
      }).came;
