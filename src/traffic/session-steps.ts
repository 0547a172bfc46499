import { Refused } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';

type Undo = () => void;

/**
 * The steps of one session, one at a time. Each is a promise that an event from outside may end:
 * the deadline, a client that goes away, a shutdown. A step starts something and returns the
 * function that removes its listeners; that function runs once, however the step ends.
 */
export class SessionSteps {
  #endStep: ((error: Refused) => void) | null = null;
  #ended: Refused | null = null;

  step<T>(start: (done: (value: T) => void, fail: (error: Refused) => void) => Undo): Promise<T> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    return new Promise<T>((resolve, reject) => {
      let undo: Undo | null = null;
      let settled = false;
      const settle = (): boolean => {
        if (settled) return false;
        settled = true;
        this.#endStep = null;
        undo?.();
        return true;
      };
      const fail = (error: Refused): void => {
        if (settle()) reject(error);
      };
      this.#endStep = fail;
      undo = start((value) => {
        if (settle()) resolve(value);
      }, fail);
      if (settled) undo();
    });
  }

  /** Throws where the session was ended between two steps; for code outside of a step. */
  check(): void {
    if (this.#ended !== null) throw this.#ended;
  }

  /** Why the egress ended the session; null where it did not. */
  get endedBy(): Refusal | null {
    return this.#ended?.refusal ?? null;
  }

  /** Ends the current step and every later one. The first reason stays. */
  end(refusal: Refusal): void {
    this.#ended ??= new Refused(refusal);
    this.#endStep?.(this.#ended);
  }
}
