/**
 * The connection ends at this many records without payload, as in BoringSSL and rustls. Every
 * record with payload cancels one of them.
 */
const MAX_USELESS = 32;
/**
 * The count is forgotten after this much time below the limit: a connection that lives for days may
 * get new keys and tickets now and then.
 */
const FORGET_MS = 10_000;

/**
 * The peer keeps sending records without payload: key updates, empty records, warnings, tickets.
 */
export class UselessRecords extends Error {
  readonly code = 'ERR_USELESS_RECORDS';

  constructor() {
    super(`more than ${MAX_USELESS} records without a byte in them`);
    this.name = 'UselessRecords';
  }
}

/** Counts the records of one connection that brought nothing. */
export class UselessCount {
  #count = 0;
  #since = 0;

  /**
   * Counts records that brought something. While the peer takes no bytes, they cancel nothing: TLS
   * stores an answer to each record that asks for one.
   */
  useful(records: number, isTaken: boolean): void {
    if (isTaken && this.#count > 0) this.#count = Math.max(0, this.#count - records);
  }

  /** Counts records that brought nothing. Returns true where they are too many. */
  useless(records: number): boolean {
    if (records === 0) return false;
    const now = performance.now();
    if (this.#count === 0 || now - this.#since > FORGET_MS) {
      this.#count = 0;
      this.#since = now;
    }
    this.#count += records;
    return this.#count > MAX_USELESS;
  }
}
