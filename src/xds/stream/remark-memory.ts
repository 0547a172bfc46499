import type { AdsType } from '../messages/ads-state.ts';

/** The remarks on each resource, so that each is logged once for as long as it is true. */
export class RemarkMemory {
  readonly #said: Readonly<Record<AdsType, Map<string, ReadonlySet<string>>>> = {
    cluster: new Map(),
    endpoint: new Map(),
    listener: new Map(),
    secret: new Map(),
  };

  /** Returns the remarks that were not made on this resource the last time. */
  fresh(type: AdsType, name: string, remarks: readonly string[]): readonly string[] {
    const before = this.#said[type].get(name);
    if (remarks.length === 0) this.#said[type].delete(name);
    else this.#said[type].set(name, new Set(remarks));
    return remarks.filter((remark) => before?.has(remark) !== true);
  }

  /** Forgets the resources that no longer exist. */
  keepOnly(type: AdsType, known: ReadonlyMap<string, unknown>): void {
    for (const name of this.#said[type].keys()) if (!known.has(name)) this.#said[type].delete(name);
  }
}
