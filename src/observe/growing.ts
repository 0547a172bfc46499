/**
 * A sum of ended and open sessions that never falls. The two are not updated together, so the
 * maximum is kept.
 */
export class Growing {
  #most = 0;

  of(ended: number, open: number): number {
    this.#most = Math.max(this.#most, ended + open);
    return this.#most;
  }
}
