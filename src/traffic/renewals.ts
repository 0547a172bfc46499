import type { Clock } from '../base/clock.ts';
import type { MeshName } from '../model/names.ts';

/** The most time that a session waits for a certificate. Making one takes some milliseconds. */
const WAIT_MS = 2_000;
/**
 * After a wait without a result, sessions are refused at once for this long; then the certificate
 * is asked for again.
 */
const REST_MS = 3_000;

interface Renewal {
  /** On the monotonic clock. */
  readonly askedAt: number;
  readonly waiting: Set<() => void>;
}

/**
 * Certificates that sessions found out of date. Each is asked for once, for any number of sessions
 * that wait for it.
 */
export class Renewals {
  readonly #clock: Clock;
  readonly #ask: (mesh: MeshName) => void;
  readonly #asked = new Map<MeshName, Renewal>();

  constructor(clock: Clock, ask: (mesh: MeshName) => void) {
    this.#clock = clock;
    this.#ask = ask;
  }

  /**
   * Calls `done` when a certificate came, or the wait is over; returns the function that stops the
   * wait.
   */
  whenRenewed(mesh: MeshName, done: () => void): () => void {
    const now = this.#clock.now();
    let renewal = this.#asked.get(mesh);
    const isNew = renewal === undefined || now - renewal.askedAt >= WAIT_MS + REST_MS;
    if (renewal === undefined || isNew) renewal = { askedAt: now, waiting: renewal?.waiting ?? new Set() };
    const left = renewal.askedAt + WAIT_MS - now;
    if (left <= 0) {
      done();
      return () => {};
    }
    const { waiting } = renewal;
    this.#asked.set(mesh, renewal);
    waiting.add(done);
    const timer = this.#clock.after(left, done);
    if (isNew) this.#ask(mesh);
    return () => {
      timer.cancel();
      waiting.delete(done);
    };
  }

  renewed(mesh: MeshName): void {
    const waiting = this.#asked.get(mesh)?.waiting ?? [];
    this.#asked.delete(mesh);
    for (const done of [...waiting]) done();
  }
}
