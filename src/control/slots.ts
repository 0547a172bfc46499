import type { SlotChange } from '../model/messages.ts';
import { SLOTS } from '../traffic/breakers.ts';

/**
 * Assigns places in the shared memory to names. A place is assigned again only when no connection
 * or request holds a part of it.
 */
export class Slots {
  readonly #byName = new Map<string, number>();
  readonly #released: number[] = [];
  readonly #isFree: (slot: number) => boolean;
  #next = 0;

  constructor(isFree: (slot: number) => boolean) {
    this.#isFree = isFree;
  }

  /** Returns all slots, for a data side that starts. */
  get all(): SlotChange {
    return { set: [...this.#byName], removed: [] };
  }

  /**
   * Throws without a free place: a limit without effect is worse than a change that does not go
   * live.
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
