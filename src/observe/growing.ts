/**
 * A sum of what ended and what is open, which do not change in the same moment, as one that only
 * grows.
 */
export class Growing {
  #most = 0;

  of(ended: number, open: number): number {
    this.#most = Math.max(this.#most, ended + open);
    return this.#most;
  }
}
