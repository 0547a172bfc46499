/**
 * Read buffers, lent for as long as a direction needs one. A direction starts so small that a thousand idle ones hold little, and grows only while its reads fill the buffer;
 * what counts for bulk is the size of one read (64 KB cost twice the CPU per byte of 1 MB), and untouched pages cost nothing.
 */
export const SIZES: readonly number[] = [2 * 1024, 16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024];

/** How many buffers of each size stay ready when nobody uses them. */
const KEPT: readonly number[] = [1_024, 256, 32, 8, 8];

export class BufferPool {
  readonly #free: Buffer[][] = SIZES.map(() => []);
  #lent = 0;
  #made = 0;

  /** Buffers that are out: zero when nothing leaked. */
  get lent(): number {
    return this.#lent;
  }

  /** Buffers that had to be made, ever: does not grow while bytes flow as they did before. */
  get made(): number {
    return this.#made;
  }

  /** `step` is an index into SIZES. The content is whatever was there before. */
  take(step: number): Buffer {
    this.#lent++;
    const free = this.#free[step]?.pop();
    if (free !== undefined) return free;
    this.#made++;
    return Buffer.allocUnsafeSlow(SIZES[step] ?? 2 * 1024);
  }

  give(buffer: Buffer): void {
    this.#lent--;
    const step = SIZES.indexOf(buffer.length);
    const free = this.#free[step];
    if (free !== undefined && free.length < (KEPT[step] ?? 0)) free.push(buffer);
  }
}
