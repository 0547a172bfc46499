/**
 * Read buffers, lent while a direction needs one. A direction starts so small that a thousand idle
 * ones take little memory, and grows only while its reads fill the buffer. Bulk speed depends on
 * the size of one read (64 KB cost twice the CPU per byte of 1 MB); untouched pages cost nothing.
 */
export const SIZES: readonly number[] = [2 * 1024, 16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024];

/** Number of unused buffers kept ready, for each size. */
const KEPT: readonly number[] = [1_024, 128, 32, 8, 4];

/**
 * Up to this size every request is met. Larger buffers have a common bound, however many
 * connections have a fast source and a slow sink.
 */
const ALWAYS = 16 * 1024;
const LARGE_BYTES = 64 * 1024 * 1024;

export class BufferPool {
  readonly #free: Buffer[][] = SIZES.map(() => []);
  #lent = 0;
  #made = 0;
  /** Bytes of lent buffers above ALWAYS. */
  #large = 0;
  readonly #mostLarge: number;

  constructor(mostLarge: number = LARGE_BYTES) {
    this.#mostLarge = mostLarge;
  }

  /** Number of lent buffers; zero when nothing leaked. */
  get lent(): number {
    return this.#lent;
  }

  /** Number of buffers ever made; constant while traffic does not change. */
  get made(): number {
    return this.#made;
  }

  /**
   * Lends a buffer. `step` is an index into SIZES; where all large buffers are lent, a smaller one
   * is returned. Its content is arbitrary.
   */
  take(step: number): Buffer {
    let size = SIZES[step] ?? 0;
    while (size > ALWAYS && this.#large + size > this.#mostLarge) size = SIZES[--step] ?? 0;
    if (size > ALWAYS) this.#large += size;
    this.#lent++;
    const free = this.#free[step]?.pop();
    if (free !== undefined) return free;
    this.#made++;
    return Buffer.allocUnsafeSlow(size);
  }

  give(buffer: Buffer): void {
    const { length } = buffer;
    this.#lent--;
    if (length > ALWAYS) this.#large -= length;
    const step = SIZES.indexOf(length);
    const free = this.#free[step];
    if (free !== undefined && free.length < (KEPT[step] ?? 0)) free.push(buffer);
  }
}
