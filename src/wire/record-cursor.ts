/**
 * The cursor stops after each record of at most this length. Records without payload (a key update,
 * an alert, an empty record) have 16 to 50 bytes unless they are padded.
 */
const SMALL = 64;
const HEADER = 5;

/**
 * Follows a stream of TLS records by their headers, which are never encrypted. Bytes that are not
 * TLS are read as records too, with lengths taken from them: the TLS library ends such a
 * connection.
 */
export class RecordCursor {
  /** Number of records that ended in the last step. */
  ended = 0;
  /** Number of header bytes seen so far. */
  #header = 0;
  #length = 0;
  #left = 0;

  /**
   * Returns the first of these offsets: after the `most`th record that ends in `bytes` from `at`
   * on, after the first small record, the end of `bytes`.
   */
  step(bytes: Uint8Array, at: number, most: number): number {
    this.ended = 0;
    while (at < bytes.length) {
      if (this.#header < HEADER) {
        const byte = bytes[at++] ?? 0;
        if (++this.#header === 4) this.#length = byte << 8;
        if (this.#header < HEADER) continue;
        this.#length |= byte;
        this.#left = this.#length;
      }
      const here = Math.min(this.#left, bytes.length - at);
      at += here;
      this.#left -= here;
      if (this.#left > 0) break;
      this.#header = 0;
      this.ended++;
      if (this.#length <= SMALL || this.ended >= most) break;
    }
    return at;
  }
}
