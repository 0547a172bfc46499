/**
 * A record of at most this length is stopped behind: what brings nothing (a key update, an alert,
 * an empty record) has 16 to 50 bytes where it is not padded.
 */
const SMALL = 64;
const HEADER = 5;

/**
 * Follows a stream of TLS records by their headers, which are never encrypted. What is not TLS has
 * records too, of the lengths that its bytes say: the TLS library ends such a connection.
 */
export class RecordCursor {
  /** Records that ended in the last step. */
  ended = 0;
  /** Bytes of the header that were seen. */
  #header = 0;
  #length = 0;
  #left = 0;

  /**
   * Gives the offset behind the `most`th record that ends in `bytes` from `at` on, behind the first
   * small one, or the end of `bytes`.
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
