import type { Hash64 } from '../../model/endpoint-view.ts';
import { Word64 } from './word-64.ts';

/**
 * Computes the 64-bit MurmurHash2 of a text's UTF-8 bytes, with the seed of libstdc++'s std::hash,
 * which Envoy uses too.
 */
export function murmurHash2(text: string): Hash64 {
  const bytes = Buffer.from(text);
  const { length } = bytes;
  const part = new Word64();
  const hash = new Word64().set(0, 0xc70f6907).xor(part.set(0, length).multiply(M));
  let at = 0;
  for (; at + 8 <= length; at += 8) {
    part
      .set(bytes.readUInt32LE(at + 4), bytes.readUInt32LE(at))
      .multiply(M)
      .xorShifted(47)
      .multiply(M);
    hash.xor(part).multiply(M);
  }
  if (at < length) {
    const low = Math.min(4, length - at);
    const high = length - at - low;
    part.set(high > 0 ? bytes.readUIntLE(at + 4, high) : 0, bytes.readUIntLE(at, low));
    hash.xor(part).multiply(M);
  }
  return hash.xorShifted(47).multiply(M).xorShifted(47);
}

const M: Hash64 = { hi: 0xc6a4a793, lo: 0x5bd1e995 };
