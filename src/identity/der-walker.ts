/** Thrown for bytes that are not DER; readCertificate catches it. */
export class Unreadable extends Error {}

export interface Element {
  readonly tag: number;
  readonly body: Buffer;
  /** Tag and length included. */
  readonly raw: Buffer;
}

/**
 * Walks the elements of one constructed body, strictly and in bounds: single-byte tags, definite
 * lengths in their shortest form. `what` names the body in messages.
 */
export class Walker {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at = 0;

  constructor(bytes: Buffer, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  nextIs(tag: number): boolean {
    return this.#bytes[this.#at] === tag;
  }

  next(tag?: number): Element {
    const start = this.#at;
    const found = this.#byte();
    if (tag !== undefined && found !== tag) throw this.#error(`tag ${found} where ${tag} belongs`);
    // Certificates have no multi-byte tags.
    if ((found & 0x1f) === 0x1f) throw this.#error('a multi-byte tag');
    const length = this.#length();
    const bodyStart = this.#at;
    if (length > this.#bytes.length - bodyStart) throw this.#error('a length beyond its container');
    this.#at = bodyStart + length;
    return { tag: found, body: this.#bytes.subarray(bodyStart, this.#at), raw: this.#bytes.subarray(start, this.#at) };
  }

  end(): void {
    if (!this.done) throw this.#error('bytes after the end');
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 4) throw this.#error('an indefinite or absurd length');
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 256 ** (count - 1)) throw this.#error('a length that is not in its shortest form');
    return length;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw this.#error('a cut element');
    this.#at++;
    return byte;
  }

  #error(found: string): Unreadable {
    return new Unreadable(`${this.#what}: ${found}`);
  }
}
