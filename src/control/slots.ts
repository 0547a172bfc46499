import type { SlotChange } from '../model/messages.ts';
import { SLOTS } from '../traffic/breakers.ts';

/**
 * Which name has which place in the shared memory. A place is given away again only when nobody
 * holds anything there.
 */
export class Slots {
  readonly #byName = new Map<string, number>();
  readonly #released: number[] = [];
  readonly #isFree: (slot: number) => boolean;
  #next = 0;

  constructor(isFree: (slot: number) => boolean) {
    this.#isFree = isFree;
  }

  /** Everything there is, for a data side that starts. */
  get all(): SlotChange {
    return { set: [...this.#byName], removed: [] };
  }

  /**
   * Throws where there is no place left: a limit that does not hold is worse than a change that
   * does not go live.
   */
  add(names: Iterable<string>): SlotChange {
    const set: [string, number][] = [];
    for (const name of names) {
      if (this.#byName.has(name)) continue;
      const slot = this.#take();
      this.#byName.set(name, slot);
      set.push([name, slot]);
    }
    return { set, removed: [] };
  }

  remove(names: Iterable<string>): SlotChange {
    const removed: string[] = [];
    for (const name of names) {
      const slot = this.#byName.get(name);
      if (slot === undefined) continue;
      this.#byName.delete(name);
      this.#released.push(slot);
      removed.push(name);
    }
    return { set: [], removed };
  }

  #take(): number {
    if (this.#next < SLOTS) return this.#next++;
    const at = this.#released.findIndex((slot) => this.#isFree(slot));
    const slot = at < 0 ? undefined : this.#released.splice(at, 1)[0];
    if (slot === undefined) throw new Error(`there is room for the limits of ${SLOTS} clusters or routes, and no more`);
    return slot;
  }
}
