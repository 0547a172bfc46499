import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { H2 } from './exchange.ts';
import { MAX_HEAD_BYTES } from './front-connection.ts';

/** The bytes around the fields of a head: its frames and their padding. */
const AROUND_HEAD_BYTES = 16 * 1024;

export interface SlowClientLimits {
  /** From the preface until the client has acknowledged the settings of the egress. */
  readonly settingsMs: number;
  /** From the first byte of the head of a request to its last. */
  readonly headMs: number;
}

export interface Lateness {
  readonly why: string;
  /** The code for the client. */
  readonly code: number;
}

/** A head of which not all bytes have come. */
interface OpenHead {
  readonly stream: number;
  readonly sinceMs: number;
  /** Bytes of the connection when it was noticed. */
  readonly readBytes: number;
  /** True when the client was asked whether it is still sending it. */
  asked: boolean;
}

/**
 * Finds a client of HTTP/2 that does not finish its settings or the head of a request. Node's
 * library has no timeout for them, and reports no head before all of it has come. It does count the
 * stream of a head when the head begins. A stream that was counted and not reported has a head that
 * is not complete, or one that the library has refused. A PING tells them apart: between the frames
 * of a head no client can answer it.
 */
export class SlowClient {
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #limits: SlowClientLimits;
  readonly #openedMs: number;
  #settled = false;
  #readBytes = 0;
  /** The last stream whose head is complete or was refused. */
  #over = 0;
  #open: OpenHead | null = null;

  constructor(session: ServerHttp2Session, socket: Socket, limits: SlowClientLimits, nowMs: number) {
    this.#session = session;
    this.#socket = socket;
    this.#limits = limits;
    this.#openedMs = nowMs;
  }

  /** Call it when the head of this stream is complete. */
  headIsOver(stream: number): void {
    this.#over = Math.max(this.#over, stream);
    if (this.#open !== null && this.#open.stream <= this.#over) this.#open = null;
  }

  /** True while a head is on its way that is not larger than a head may be. */
  get readsHead(): boolean {
    return this.#open !== null && this.#socket.bytesRead - this.#open.readBytes <= MAX_HEAD_BYTES + AROUND_HEAD_BYTES;
  }

  /** Returns what the client is late with; call it regularly. */
  look(nowMs: number): Lateness | null {
    const { settingsMs, headMs } = this.#limits;
    this.#settled ||= !this.#session.pendingSettingsAck;
    if (!this.#settled && nowMs - this.#openedMs >= settingsMs)
      return { why: `the client did not acknowledge the settings of HTTP/2 within ${settingsMs} ms`, code: H2.settingsTimeout };
    this.#findOpen(nowMs);
    const open = this.#open;
    if (open === null) return null;
    if (nowMs - open.sinceMs >= headMs)
      return { why: `the head of stream ${open.stream} was not complete after ${headMs} ms`, code: H2.cancel };
    if (!open.asked) open.asked = this.#session.ping((error) => error === null && this.headIsOver(open.stream));
    return null;
  }

  #findOpen(nowMs: number): void {
    const { bytesRead } = this.#socket;
    if (this.#open !== null || bytesRead === this.#readBytes) return;
    const { lastProcStreamID: stream = 0 } = this.#session.state;
    if (stream > this.#over) this.#open = { stream, sinceMs: nowMs, readBytes: this.#readBytes, asked: false };
    this.#readBytes = bytesRead;
  }
}
