import type { Clock } from '../base/clock.ts';
import type { MeshName } from '../model/names.ts';

/**
 * Making a certificate takes some milliseconds; a session that needs one waits for it at most so
 * long.
 */
const WAIT_MS = 2_000;
/**
 * Where nothing came, sessions are refused without waiting for so long, and then it is asked for
 * again.
 */
const REST_MS = 3_000;

interface Renewal {
  /** Monotonic. */
  readonly askedAt: number;
  readonly waiting: Set<() => void>;
}

/**
 * Certificates that a session found out of date: asked for once, however many sessions need one,
 * and waited for.
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
   * Calls `done` when a certificate came, or is not to be waited for; gives back how to stop
   * waiting.
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
