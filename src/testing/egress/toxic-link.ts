import type { Socket } from 'node:net';
import type { ActiveToxic, Toxic, ToxicWorld } from './toxics.ts';

/** The most bytes that wait in a toxic; the sender has to wait at this number. */
const MAX_QUEUED_BYTES = 1_048_576;
/** Interval of the parts in which a slow link sends a large piece, as in toxiproxy. */
const PART_MS = 100;

interface Piece {
  /** Null for the end of the stream. */
  readonly bytes: Buffer | null;
  /** When it was read. */
  readonly at: number;
}

export interface ToxicLinkOptions extends ToxicWorld {
  readonly stream: 'upstream' | 'downstream';
  readonly from: Socket;
  readonly to: Socket;
  /** Returns the active toxics of both streams, in the order in which they were added. */
  readonly toxics: () => readonly ActiveToxic[];
  /** Ends both directions. */
  readonly cut: (how: 'close' | 'reset') => void;
  /** Called when the end of the stream was passed on. */
  readonly onDone: () => void;
}

/**
 * One direction of a connection: passes bytes on in order, through the toxics that are active at
 * that moment.
 */
export class ToxicLink {
  readonly #options: ToxicLinkOptions;
  readonly #queue: Piece[] = [];
  readonly #hits = new Map<ActiveToxic, boolean>();
  readonly #sent = new Map<ActiveToxic, number>();
  readonly #releases = new Set<() => void>();
  #queuedBytes = 0;
  #wake: (() => void) | null = null;
  #over = false;

  constructor(options: ToxicLinkOptions) {
    this.#options = options;
    const { from } = options;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.on('end', () => this.#take(null));
    for (const active of options.toxics()) this.added(active);
    void this.#run();
  }

  /** Call it for a toxic that is added while the connection is open. */
  added(active: ActiveToxic): void {
    const { toxic } = active;
    if (this.#over || !this.#isHit(active)) return;
    const { cut } = this.#options;
    if (toxic.type === 'reset_peer') this.#after(toxic.timeout ?? 0, active, () => cut('reset'));
    if (toxic.type === 'timeout') {
      if (toxic.timeout > 0) this.#after(toxic.timeout, active, () => cut('close'));
      this.#releases.add(active.onRemoved(() => cut('close')));
    }
  }

  /** Leaves both sockets open: their owner ends them. */
  end(): void {
    this.#over = true;
    this.#queue.length = 0;
    for (const release of [...this.#releases]) release();
    this.#releases.clear();
    this.#wake?.();
  }

  #take(bytes: Buffer | null): void {
    if (this.#over) return;
    this.#queue.push({ bytes, at: this.#options.clock.now() });
    this.#queuedBytes += bytes?.length ?? 0;
    if (this.#queuedBytes > MAX_QUEUED_BYTES) this.#options.from.pause();
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { from, to } = this.#options;
    while (!this.#over) {
      const piece = this.#queue.shift();
      if (piece === undefined) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = null;
        continue;
      }
      if (piece.bytes === null) {
        await this.#close();
        if (this.#over) return;
        this.end();
        to.end();
        return this.#options.onDone();
      }
      await this.#through(0, piece.bytes, piece.at);
      this.#queuedBytes -= piece.bytes.length;
      if (this.#queuedBytes <= MAX_QUEUED_BYTES && from.isPaused()) from.resume();
    }
  }

  async #close(): Promise<void> {
    for (const active of this.#mine()) {
      if (active.toxic.type === 'slow_close') await this.#sleep(active.toxic.delay, active);
    }
  }

  /** Passes bytes through the toxics from number `i` on, then to the sink. */
  async #through(i: number, bytes: Buffer, at: number): Promise<void> {
    const active = this.#mine()[i];
    if (this.#over || bytes.length === 0) return;
    if (active === undefined) return this.#write(bytes);
    const { toxic } = active;
    switch (toxic.type) {
      case 'latency': {
        const { jitter = 0, latency } = toxic;
        const due = at + Math.max(0, latency + (jitter === 0 ? 0 : (this.#options.random() * 2 - 1) * jitter));
        await this.#sleep(due - this.#options.clock.now(), active);
        return this.#through(i + 1, bytes, at);
      }
      case 'bandwidth':
        return this.#slowly(i, bytes, active, toxic.rate);
      case 'slicer':
        return this.#sliced(i, bytes, active, toxic);
      case 'limit_data': {
        const sent = this.#sent.get(active) ?? 0;
        const allowed = bytes.subarray(0, Math.max(0, toxic.bytes - sent));
        this.#sent.set(active, sent + allowed.length);
        await this.#through(i + 1, allowed, at);
        if (sent + bytes.length >= toxic.bytes) this.#finish();
        return;
      }
      case 'timeout':
        // Dropped, as by a firewall that drops packets.
        return;
      case 'reset_peer':
      case 'slow_close':
      case 'refuse':
      case 'tls_expired':
        return this.#through(i + 1, bytes, at);
      default:
        toxic satisfies never;
    }
  }

  async #slowly(i: number, bytes: Buffer, active: ActiveToxic, rate: number): Promise<void> {
    // `rate` KB in a second are `rate` bytes in a millisecond.
    const part = Math.max(1, Math.floor(rate * PART_MS));
    for (let start = 0; start < bytes.length && !this.#over; start += part) {
      const piece = bytes.subarray(start, active.removed ? bytes.length : start + part);
      await this.#sleep(rate === 0 ? Infinity : piece.length / rate, active);
      await this.#through(active.removed ? i : i + 1, active.removed ? bytes.subarray(start) : piece, this.#options.clock.now());
      if (active.removed) return;
    }
  }

  async #sliced(i: number, bytes: Buffer, active: ActiveToxic, toxic: Extract<Toxic, { type: 'slicer' }>): Promise<void> {
    const { average_size: average, size_variation: variation = 0, delay = 0 } = toxic;
    for (let start = 0; start < bytes.length && !this.#over;) {
      const size = Math.max(1, Math.round(average + (this.#options.random() * 2 - 1) * Math.min(variation, average)));
      const end = active.removed ? bytes.length : start + size;
      await this.#through(active.removed ? i : i + 1, bytes.subarray(start, end), this.#options.clock.now());
      start = end;
      if (delay > 0 && start < bytes.length) await this.#sleep(delay / 1_000, active);
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    const { to } = this.#options;
    if (to.destroyed || to.writableEnded || to.write(bytes)) return;
    await this.#until((done) => {
      to.once('drain', done);
      return () => to.removeListener('drain', done);
    });
  }

  /** Bytes written before still arrive. */
  #finish(): void {
    const { from, to } = this.#options;
    this.end();
    to.end();
    from.destroy();
  }

  #sleep(ms: number, active: ActiveToxic): Promise<void> {
    if (ms <= 0 || active.removed) return Promise.resolve();
    return this.#until((done) => {
      const timer = ms === Infinity ? null : this.#options.clock.after(ms, done);
      const off = active.onRemoved(done);
      return () => {
        timer?.cancel();
        off();
      };
    });
  }

  /**
   * Waits for what `start` sets up, or for the end of the link. `start` returns the function that
   * undoes it.
   */
  #until(start: (done: () => void) => () => void): Promise<void> {
    if (this.#over) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        undo();
        this.#releases.delete(done);
        resolve();
      };
      this.#releases.add(done);
      const undo = start(done);
    });
  }

  #after(ms: number, active: ActiveToxic, fn: () => void): void {
    const timer = this.#options.clock.after(ms, fn);
    this.#releases.add(() => timer.cancel());
    this.#releases.add(active.onRemoved(() => timer.cancel()));
  }

  #mine(): readonly ActiveToxic[] {
    return this.#options.toxics().filter((active) => this.#isHit(active));
  }

  /** Drawn once for each connection. */
  #isHit(active: ActiveToxic): boolean {
    if ((active.toxic.stream ?? 'downstream') !== this.#options.stream) return false;
    const known = this.#hits.get(active);
    if (known !== undefined) return known;
    const hit = this.#options.random() < (active.toxic.toxicity ?? 1);
    this.#hits.set(active, hit);
    return hit;
  }
}
