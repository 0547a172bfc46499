import type { Readable } from 'node:stream';
import { Chain, ChainEntry } from '../../base/chain.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';

/** The most bytes that a peer may spend on frames without a request or a body. */
const MOST_BYTES = 16 * 1024;
const BYTES_PER_SECOND = 2 * 1024;
/** Allowance for each stream: windows, its reset, its end, priorities. */
const BYTES_PER_STREAM = 512;
/**
 * Allowance for each piece that is written to the peer, which answers it with windows and pings.
 */
const BYTES_PER_WRITE = 64;
/** One byte of allowance for this many written bytes. */
const WRITTEN_PER_BYTE = 16;
/** Size of a frame, padding included. */
const BYTES_PER_FRAME = 9 + 256;
/**
 * An unread stream stores frames that are not counted. The allowance is for nine bytes in each on
 * average, the size of its head: a smaller frame takes far more memory than it has bytes.
 */
const BYTES_PER_WAITING = 2;
/** The size of one read of Node. */
const BYTES_PER_READ = 64 * 1024;
/**
 * A peer that does not know yet that its streams were cut off sends at most the window of each, and
 * of the connection.
 */
const BYTES_ON_THE_WAY = 256 * 1024;
const MOST_ON_THE_WAY = 1024 * 1024;

/** The reason for ending the connection of a flood. */
export const FLOOD = 'a flood of bytes without a request';

/**
 * Bounds the bytes that a connection spends without a request: pings, settings, priorities,
 * windows, unknown frames, interim answers, extensions of chunks. The libraries bound some kinds
 * and do not report others; all of them are bytes that were read and belong to no head and no body.
 */
export class ControlBudget {
  readonly #mostBytes: number;
  readonly #streams = new Chain<ChainEntry<Readable>>();
  #readBytes = 0;
  #earned = 0;
  #excess = 0;
  /**
   * The bytes that may still come on streams that were cut off; they count until they have come.
   */
  #onTheWay = 0;
  #lookedAtMs: number;

  constructor(nowMs: number, mostBytes: number = MOST_BYTES) {
    this.#lookedAtMs = nowMs;
    this.#mostBytes = mostBytes;
  }

  /** Call it when a request has begun. */
  begun(headBytes: number): void {
    this.#earned += headBytes + BYTES_PER_STREAM;
  }

  /**
   * Counts what waits in this stream unread. Call `leave` with what it returns when the stream is
   * closed.
   */
  enter(stream: Readable): ChainEntry<Readable> {
    const entry = new ChainEntry(stream);
    this.#streams.add(entry);
    return entry;
  }

  leave(entry: ChainEntry<Readable>): void {
    if (this.#streams.remove(entry)) this.#earned += entry.value.readableLength * BYTES_PER_WAITING;
  }

  /** Call it when a stream is cut off on this side while its peer may still be sending. */
  cutOff(): void {
    this.#onTheWay = Math.min(this.#onTheWay + BYTES_ON_THE_WAY, MOST_ON_THE_WAY);
  }

  /** Counts a piece of a body, or a head that ends something. */
  body(bytes: number): void {
    this.#earned += bytes + BYTES_PER_FRAME;
  }

  written(bytes: number): void {
    this.#earned += BYTES_PER_WRITE + bytes / WRITTEN_PER_BYTE;
  }

  /**
   * Tells whether the connection has spent too much, given the bytes read so far. `midRead`: the
   * last of them are not parsed yet.
   */
  isSpent(readBytes: number, nowMs: number, midRead = false): boolean {
    const earned = this.#earned + ((nowMs - this.#lookedAtMs) / 1_000) * BYTES_PER_SECOND;
    this.#excess = Math.max(0, this.#excess + readBytes - this.#readBytes - earned);
    const late = Math.min(this.#onTheWay, this.#excess);
    this.#onTheWay -= late;
    this.#excess -= late;
    this.#readBytes = readBytes;
    this.#earned = 0;
    this.#lookedAtMs = nowMs;
    const most = this.#mostBytes + (midRead ? BYTES_PER_READ : 0);
    if (this.#excess <= most) return false;
    let waiting = 0;
    for (const { value } of this.#streams) waiting += value.readableLength;
    return this.#excess > most + waiting * BYTES_PER_WAITING;
  }
}

/** Returns the most bytes that a head took, with the bytes around names and values. */
export function bytesOf(headers: FlatHeaders): number {
  return headers.reduce((bytes, text) => bytes + text.length + 16, 0);
}
