/** What a program or library of Linux says of itself. */
export interface Elf {
  /** The processor that it is for, by Debian's name: amd64, arm64; null is any other. */
  readonly architecture: Architecture | null;
  /** The loader that the kernel starts for it; null for a library and for a static program. */
  readonly interpreter: string | null;
  /** The libraries that it is linked with, by name. */
  readonly needed: readonly string[];
}

export type Architecture = 'amd64' | 'arm64';

const MACHINES: Readonly<Record<number, Architecture>> = { 0x3e: 'amd64', 0xb7: 'arm64' };
/** Types of segments of a program. */
const LOAD = 1;
const DYNAMIC = 2;
const INTERPRETER = 3;
/** Entries of the dynamic segment. */
const NEEDED = 1;
const STRINGS = 5;

export function isElf(bytes: Buffer): boolean {
  return bytes.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
}

/**
 * Reads the headers without running anything, so that an image can be made of programs for another
 * processor than that of this machine.
 */
export function readElf(bytes: Buffer): Elf {
  if (!isElf(bytes)) throw new Error('not a program of Linux: it does not begin with \\x7fELF');
  if (bytes[4] !== 2 || bytes[5] !== 1) throw new Error('a program of 32 bits, or one with the high byte first: not read here');
  const architecture = MACHINES[bytes.readUInt16LE(18)] ?? null;
  const segments = segmentsOf(bytes);
  const loader = segments.find(({ type }) => type === INTERPRETER);
  return {
    architecture,
    interpreter: loader === undefined ? null : textAt(bytes, loader.offset),
    needed: neededOf(bytes, segments),
  };
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

function segmentsOf(bytes: Buffer): readonly Segment[] {
  const [start, size, count] = [long(bytes, 32), bytes.readUInt16LE(54), bytes.readUInt16LE(56)];
  return Array.from({ length: count }, (_, place) => {
    const at = start + place * size;
    return {
      type: bytes.readUInt32LE(at),
      offset: long(bytes, at + 8),
      address: long(bytes, at + 16),
      size: long(bytes, at + 32),
    };
  });
}

function neededOf(bytes: Buffer, segments: readonly Segment[]): readonly string[] {
  const dynamic = segments.find(({ type }) => type === DYNAMIC);
  if (dynamic === undefined) return [];
  const entries = Array.from({ length: Math.floor(dynamic.size / 16) }, (_, place) => {
    const at = dynamic.offset + place * 16;
    return { tag: long(bytes, at), value: long(bytes, at + 8) };
  });
  const address = entries.find(({ tag }) => tag === STRINGS)?.value ?? 0;
  const load = segments.find((each) => each.type === LOAD && each.address <= address && address < each.address + each.size);
  if (load === undefined) return [];
  const strings = load.offset + address - load.address;
  return entries.filter(({ tag }) => tag === NEEDED).map(({ value }) => textAt(bytes, strings + value));
}

function long(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

function textAt(bytes: Buffer, at: number): string {
  return bytes.toString('latin1', at, bytes.indexOf(0, at));
}
