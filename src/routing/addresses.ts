import { Buffer } from 'node:buffer';
import { ipBytes } from '../base/ip-bytes.ts';

/**
 * The kind of network an IP address belongs to. Judged on bytes, never on text, so that two
 * spellings of one address get one class. An IPv6 form that carries an IPv4 address (mapped,
 * translated, NAT64, compatible, 6to4, Teredo) has the class of that address.
 */
export type AddressClass =
  /** 0.0.0.0/8 and `::`. On Linux a connection to 0.0.0.0 or `::` reaches the machine itself. */
  | 'unspecified'
  | 'loopback'
  /**
   * Includes the addresses outside of the link-local blocks at which clouds serve credentials to
   * their machines.
   */
  | 'link-local'
  | 'multicast'
  | 'broadcast'
  | 'private'
  /** 100.64.0.0/10. */
  | 'shared'
  | 'documentation'
  | 'benchmarking'
  | 'reserved'
  | 'global'
  /** Not an IP address. */
  | 'invalid';

interface Block {
  readonly bytes: Buffer;
  readonly bits: number;
}

type Rule = readonly [Block, AddressClass];

/** Classes to which a name must not resolve, unless a CIDR block of the settings allows it. */
const FORBIDDEN: ReadonlySet<AddressClass> = new Set<AddressClass>([
  'unspecified',
  'loopback',
  'link-local',
  'multicast',
  'broadcast',
  'invalid',
]);

// The first rule that matches decides.
const V4: readonly Rule[] = rules(
  ['0.0.0.0/8', 'unspecified'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['100.100.100.200/32', 'link-local'], // Alibaba Cloud metadata
  ['168.63.129.16/32', 'link-local'], // Azure WireServer
  ['192.0.0.192/32', 'link-local'], // Oracle Cloud Classic metadata
  ['10.0.0.0/8', 'private'],
  ['172.16.0.0/12', 'private'],
  ['192.168.0.0/16', 'private'],
  ['100.64.0.0/10', 'shared'],
  ['192.0.2.0/24', 'documentation'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['198.18.0.0/15', 'benchmarking'],
  ['192.0.0.0/24', 'reserved'],
  ['192.88.99.0/24', 'reserved'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['240.0.0.0/4', 'reserved'],
  ['0.0.0.0/0', 'global'],
);

const V6: readonly Rule[] = rules(
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['fe80::/10', 'link-local'],
  ['fd00:ec2::254/128', 'link-local'], // AWS metadata
  ['fd20:ce::254/128', 'link-local'], // Google Cloud metadata
  ['ff00::/8', 'multicast'],
  ['fc00::/7', 'private'],
  ['fec0::/10', 'private'],
  ['2001:db8::/32', 'documentation'],
  ['3fff::/20', 'documentation'],
  ['2001:2::/48', 'benchmarking'],
  ['2001::/23', 'reserved'],
  ['2000::/3', 'global'],
  ['::/0', 'reserved'],
);

/**
 * IPv6 blocks that carry an IPv4 address, with the offset of its first byte. Teredo stores the
 * address with all bits flipped.
 */
const CARRIERS: readonly { readonly block: Block; readonly offset: number; readonly flip: number }[] = [
  { block: block('::ffff:0:0/96'), offset: 12, flip: 0 },
  { block: block('::ffff:0:0:0/96'), offset: 12, flip: 0 },
  { block: block('64:ff9b::/96'), offset: 12, flip: 0 },
  // The local-use NAT64 block has no fixed place for the address. Read as /96, every shorter form
  // ends in zeros: it is unspecified, and so refused.
  { block: block('64:ff9b:1::/48'), offset: 12, flip: 0 },
  { block: block('2002::/16'), offset: 2, flip: 0 },
  { block: block('2001::/32'), offset: 12, flip: 0xff },
  { block: block('::/96'), offset: 12, flip: 0 },
];

export function addressClass(ip: string): AddressClass {
  const bytes = ipBytes(ip);
  return bytes === null ? 'invalid' : classOf(bytes);
}

/**
 * Tells whether an address must not be dialled that a name resolved to. A text that is no IP
 * address is forbidden too.
 */
export function isForbiddenWhenResolved(ip: string, allowedCidrs: readonly string[]): boolean {
  const bytes = ipBytes(ip);
  if (bytes === null) return true;
  if (!FORBIDDEN.has(classOf(bytes))) return false;
  const plain = unmapped(bytes);
  return !allowedCidrs.some((cidr) => {
    const allowed = parseCidr(cidr);
    return allowed !== null && contains(allowed, plain);
  });
}

/**
 * Compares bytes: an IPv4-mapped address equals the IPv4 address, and a zone (`%eth0`) is ignored.
 */
export function sameAddress(a: string, b: string): boolean {
  const one = ipBytes(a);
  const other = ipBytes(b);
  if (one === null || other === null) return false;
  const bytes = unmapped(one);
  const others = unmapped(other);
  return bytes.length === others.length && bytes.every((byte, i) => byte === others[i]);
}

/** Accepts `address/bits` and a single address. */
export function isCidr(text: string): boolean {
  return parseCidr(text) !== null;
}

function classOf(bytes: Buffer): AddressClass {
  if (bytes.length === 4) return firstOf(V4, bytes);
  // `::` and `::1` lie in the IPv4-compatible block but carry no IPv4 address.
  if (bytes.every((byte, i) => byte === 0 || (i === 15 && byte === 1))) return firstOf(V6, bytes);
  const carrier = CARRIERS.find(({ block }) => contains(block, bytes));
  if (carrier === undefined) return firstOf(V6, bytes);
  const { offset, flip } = carrier;
  return firstOf(V4, Buffer.from(bytes.subarray(offset, offset + 4).map((byte) => byte ^ flip)));
}

function firstOf(list: readonly Rule[], bytes: Buffer): AddressClass {
  for (const [range, name] of list) {
    if (contains(range, bytes)) return name;
  }
  return 'invalid';
}

function unmapped(bytes: Buffer): Buffer {
  const mapped = CARRIERS[0];
  return mapped !== undefined && contains(mapped.block, bytes) ? bytes.subarray(12) : bytes;
}

function contains({ bytes, bits }: Block, address: Buffer): boolean {
  if (bytes.length !== address.length) return false;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) {
    if (bytes[i] !== address[i]) return false;
  }
  const rest = bits & 7;
  return rest === 0 || (bytes[whole] ?? 0) >> (8 - rest) === (address[whole] ?? 0) >> (8 - rest);
}

function rules(...list: readonly (readonly [string, AddressClass])[]): readonly Rule[] {
  return list.map(([cidr, name]) => [block(cidr), name]);
}

function block(cidr: string): Block {
  const parsed = parseCidr(cidr);
  if (parsed === null) throw new TypeError(`not a CIDR block: ${cidr}`);
  return parsed;
}

function parseCidr(text: string): Block | null {
  const slash = text.indexOf('/');
  const bytes = ipBytes(slash < 0 ? text : text.slice(0, slash));
  if (bytes === null || text.includes('%')) return null;
  const most = bytes.length * 8;
  if (slash < 0) return { bytes, bits: most };
  const digits = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits) || Number(digits) > most) return null;
  return { bytes, bits: Number(digits) };
}
