/**
 * Formats moments as ISO 8601 with milliseconds. Only the first moment of each second costs a
 * conversion.
 */
export class IsoTime {
  #second = Number.NaN;
  /** `2026-01-31T12:00:05.` */
  #start = '';

  /** `wallMs` in milliseconds since the Unix epoch. */
  of(wallMs: number): string {
    const second = Math.floor(wallMs / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#start = new Date(second * 1_000).toISOString().slice(0, -4);
    }
    const ms = Math.floor(wallMs - second * 1_000);
    return `${this.#start}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`;
  }
}
