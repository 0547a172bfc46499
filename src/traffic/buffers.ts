/**
 * Read buffers, lent for as long as a direction needs one. A direction starts so small that a
 * thousand idle ones hold little, and grows only while its reads fill the buffer; what counts for
 * bulk is the size of one read (64 KB cost twice the CPU per byte of 1 MB), and untouched pages
 * cost nothing.
 */
export const SIZES: readonly number[] = [2 * 1024, 16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024];

/** How many unused buffers of each size stay ready. */
const KEPT: readonly number[] = [1_024, 128, 32, 8, 4];

/**
 * Up to this size everybody gets what they ask for; the larger ones together are bounded, however
 * many connections have a fast source and a slow sink.
 */
const ALWAYS = 16 * 1024;
const LARGE_BYTES = 64 * 1024 * 1024;

export class BufferPool {
  readonly #free: Buffer[][] = SIZES.map(() => []);
  #lent = 0;
  #made = 0;
  /** Bytes of the buffers above ALWAYS that are out. */
  #large = 0;
  readonly #mostLarge: number;

  constructor(mostLarge: number = LARGE_BYTES) {
    this.#mostLarge = mostLarge;
  }

  /** Buffers that are out: zero when nothing leaked. */
  get lent(): number {
    return this.#lent;
  }

  /** Buffers that had to be made, ever: does not grow while bytes flow as they did before. */
  get made(): number {
    return this.#made;
  }

  /**
   * `step` is an index into SIZES; where the large ones are all lent it is a smaller one. The
   * content is whatever was there before.
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
