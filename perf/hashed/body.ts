// Bodies that both ends know: blocks of 64 KB, each with its number and the id of its request, so
// that a block that is missing, doubled, swapped or of another request changes the hash.
import { createHash } from 'node:crypto';

const BLOCK_BYTES = 65_536;
const PATTERN = pattern();

export interface Digest {
  readonly bytes: number;
  readonly sha256: string;
}

function pattern(): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES);
  for (let i = 0, seed = 1; i < bytes.length; i += 4) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(seed, i);
  }
  return bytes;
}

/** Makes the pieces of a body, one when it is asked for. */
export function* piecesOf(id: number, length: number): Generator<Buffer> {
  for (let at = 0, block = 0; at < length; block++) {
    const piece = Buffer.from(PATTERN.subarray(0, Math.min(BLOCK_BYTES, length - at)));
    if (piece.length >= 8) {
      piece.writeUInt32LE(id >>> 0, 0);
      piece.writeUInt32LE(block, 4);
    } else piece.fill(id & 0xff);
    at += piece.length;
    yield piece;
  }
}

/** Counts and hashes what passes. */
export class Digester {
  #hash = createHash('sha256');
  bytes = 0;

  add(piece: Buffer): void {
    this.bytes += piece.length;
    this.#hash.update(piece);
  }

  done(): Digest {
    return { bytes: this.bytes, sha256: this.#hash.digest('hex') };
  }
}

export function digestOf(id: number, length: number): Digest {
  const digester = new Digester();
  for (const piece of piecesOf(id, length)) digester.add(piece);
  return digester.done();
}
