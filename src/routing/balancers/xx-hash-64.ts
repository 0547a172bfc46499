import type { Hash64 } from '../../model/endpoint-view.ts';
import { Word64 } from './word-64.ts';

/**
 * Computes XXH64 of a text's UTF-8 bytes; the seed is below 2^32. Collisions are easy to make:
 * never use it for security.
 */
export function xxHash64(text: string, seed = 0): Hash64 {
  const bytes = Buffer.from(text);
  const { length } = bytes;
  const hash = new Word64();
  const part = new Word64();
  let at = 0;
  if (length >= 32) at = longPart(hash, bytes, seed);
  else hash.set(0, seed).add(P5);
  hash.add(part.set(0, length));
  for (; at + 8 <= length; at += 8) {
    part
      .set(bytes.readUInt32LE(at + 4), bytes.readUInt32LE(at))
      .multiply(P2)
      .rotateLeft(31)
      .multiply(P1);
    hash.xor(part).rotateLeft(27).multiply(P1).add(P4);
  }
  if (at + 4 <= length) {
    hash
      .xor(part.set(0, bytes.readUInt32LE(at)).multiply(P1))
      .rotateLeft(23)
      .multiply(P2)
      .add(P3);
    at += 4;
  }
  for (; at < length; at++)
    hash
      .xor(part.set(0, bytes.readUInt8(at)).multiply(P5))
      .rotateLeft(11)
      .multiply(P1);
  return hash.xorShifted(33).multiply(P2).xorShifted(29).multiply(P3).xorShifted(32);
}

const P1: Hash64 = { hi: 0x9e3779b1, lo: 0x85ebca87 };
const P2: Hash64 = { hi: 0xc2b2ae3d, lo: 0x27d4eb4f };
const P3: Hash64 = { hi: 0x165667b1, lo: 0x9e3779f9 };
const P4: Hash64 = { hi: 0x85ebca77, lo: 0xc2b2ae63 };
const P5: Hash64 = { hi: 0x27d4eb2f, lo: 0x165667c5 };
/** 2^64 - P1; adding it subtracts P1. */
const MINUS_P1: Hash64 = { hi: 0x61c8864e, lo: 0x7a143579 };

/** Runs four lanes over all whole blocks of 32 bytes and returns the offset of the rest. */
function longPart(hash: Word64, bytes: Buffer, seed: number): number {
  const lane = (): Word64 => new Word64().set(0, seed);
  const lanes = [lane().add(P1).add(P2), lane().add(P2), lane(), lane().add(MINUS_P1)];
  const input = new Word64();
  let at = 0;
  while (at + 32 <= bytes.length) {
    for (const each of lanes) {
      input.set(bytes.readUInt32LE(at + 4), bytes.readUInt32LE(at)).multiply(P2);
      each.add(input).rotateLeft(31).multiply(P1);
      at += 8;
    }
  }
  const part = new Word64();
  for (const [i, each] of lanes.entries()) hash.add(part.set(each.hi, each.lo).rotateLeft([1, 7, 12, 18][i] ?? 0));
  for (const each of lanes) hash.xor(each.multiply(P2).rotateLeft(31).multiply(P1)).multiply(P1).add(P4);
  return at;
}
