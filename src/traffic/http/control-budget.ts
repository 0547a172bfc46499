/** Bytes of frames that carry no request and no body which a client may be ahead with. */
const MOST_BYTES = 16 * 1024;
const BYTES_PER_SECOND = 2 * 1024;
/** Of each stream: windows, its reset, its end, priorities. */
const BYTES_PER_STREAM = 512;
/** Of each piece that is written to the client: windows and pings that it answers it with. */
const BYTES_PER_WRITE = 64;
/** The same by the length of what is written. */
const WRITTEN_PER_BYTE = 16;
/** Of a frame, of a padded one too. */
const BYTES_PER_FRAME = 9 + 256;

/**
 * What a connection of HTTP/2 spends on frames that ask for nothing: pings, settings, priorities,
 * windows, frames that no one knows. The library bounds some of them, and tells of others nothing;
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

  /** Whether the connection has spent too much, now that it was read so far. */
  isSpent(readBytes: number, nowMs: number): boolean {
    const earned = this.#earned + ((nowMs - this.#lookedAtMs) / 1_000) * BYTES_PER_SECOND;
    this.#excess = Math.max(0, this.#excess + readBytes - this.#readBytes - earned);
    this.#readBytes = readBytes;
    this.#earned = 0;
    this.#lookedAtMs = nowMs;
    return this.#excess > MOST_BYTES;
  }
}
