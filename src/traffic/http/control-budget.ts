/** The most bytes that a client may spend on frames without a request or a body. */
const MOST_BYTES = 16 * 1024;
const BYTES_PER_SECOND = 2 * 1024;
/** Allowance for each stream: windows, its reset, its end, priorities. */
const BYTES_PER_STREAM = 512;
/**
 * Allowance for each piece that is written to the client, which answers it with windows and pings.
 */
const BYTES_PER_WRITE = 64;
/** One byte of allowance for this many written bytes. */
const WRITTEN_PER_BYTE = 16;
/** Size of a frame, padding included. */
const BYTES_PER_FRAME = 9 + 256;

/**
 * Bounds the bytes that an HTTP/2 connection spends on frames without a request: pings, settings,
 * priorities, windows, unknown frames. The library bounds some kinds and does not report others;
 * all of them are bytes that were read and belong to no head and no body.
 */
export class ControlBudget {
  #readBytes = 0;
  #earned = 0;
  #excess = 0;
  #lookedAtMs: number;

  constructor(nowMs: number) {
    this.#lookedAtMs = nowMs;
  }

  stream(headBytes: number): void {
    this.#earned += headBytes + BYTES_PER_STREAM;
  }

  body(bytes: number): void {
    this.#earned += bytes + BYTES_PER_FRAME;
  }

  written(bytes: number): void {
    this.#earned += BYTES_PER_WRITE + bytes / WRITTEN_PER_BYTE;
  }

  /** Tells whether the connection has spent too much, given the bytes read so far. */
  isSpent(readBytes: number, nowMs: number): boolean {
    const earned = this.#earned + ((nowMs - this.#lookedAtMs) / 1_000) * BYTES_PER_SECOND;
    this.#excess = Math.max(0, this.#excess + readBytes - this.#readBytes - earned);
    this.#readBytes = readBytes;
    this.#earned = 0;
    this.#lookedAtMs = nowMs;
    return this.#excess > MOST_BYTES;
  }
}
