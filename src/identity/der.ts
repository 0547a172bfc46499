import { Buffer } from 'node:buffer';
import { Unreadable, Walker } from './der-walker.ts';
import type { Element } from './der-walker.ts';

/**
 * Reads the fields that the checks need from the DER bytes of a certificate. It parses no text
 * form: text quotes and joins what an attacker wrote. It reads strictly and in bounds, never
 * throws, and judges nothing: OpenSSL checks chain and signatures, verify.ts the rules. It does not
 * use node-forge, so that data sides need not load it.
 */
export function readCertificate(der: Uint8Array, maxAltNames: number = MAX_ALT_NAMES): DerResult {
  try {
    const bytes = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
    return { kind: 'certificate', certificate: certificateOf(bytes, maxAltNames) };
  } catch (error) {
    if (error instanceof Unreadable) return { kind: 'unreadable', why: error.message };
    throw error;
  }
}

export type DerResult =
  { readonly kind: 'certificate'; readonly certificate: DerCertificate } | { readonly kind: 'unreadable'; readonly why: string };

export interface DerCertificate {
  /** Raw Name, tag and length included. Compare and copy it, do not show it. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** Raw SubjectPublicKeyInfo, tag and length included. */
  readonly publicKeyInfo: Buffer;
  /** Milliseconds since the Unix epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Keyed by object identifier. A certificate that has the same extension twice is unreadable. */
  readonly extensions: ReadonlyMap<string, DerExtension>;
  /** Every subject alternative name in its order; empty without the extension. */
  readonly altNames: readonly GeneralName[];
  /** Null without the extension: every use is allowed. */
  readonly keyUsage: ReadonlySet<KeyUsage> | null;
  /** Object identifiers; null without the extension. */
  readonly extendedKeyUsage: readonly string[] | null;
  readonly isCa: boolean;
  /** Null without the extension. */
  readonly subjectKeyId: Buffer | null;
}

export interface DerExtension {
  readonly critical: boolean;
  /** The DER inside the OCTET STRING. */
  readonly value: Buffer;
}

export interface GeneralName {
  readonly kind: GeneralNameKind;
  /** The content without tag and length. */
  readonly bytes: Buffer;
}

export type GeneralNameKind = 'other' | 'email' | 'dns' | 'x400' | 'directory' | 'edi' | 'uri' | 'ip' | 'registered-id';

export type KeyUsage =
  | 'digitalSignature'
  | 'nonRepudiation'
  | 'keyEncipherment'
  | 'dataEncipherment'
  | 'keyAgreement'
  | 'keyCertSign'
  | 'cRLSign'
  | 'encipherOnly'
  | 'decipherOnly';

/** Ordered by their bits, RFC 5280 section 4.2.1.3. */
export const KEY_USAGES: readonly KeyUsage[] = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
];

/** Ordered by their context tags, RFC 5280 section 4.2.1.6. */
export const GENERAL_NAMES: readonly GeneralNameKind[] = [
  'other',
  'email',
  'dns',
  'x400',
  'directory',
  'edi',
  'uri',
  'ip',
  'registered-id',
];

export const OID = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/**
 * The most names of a certificate; the limit bounds the work of one handshake. A client of Kuma has
 * one name for each service and each tag value, far fewer than this.
 */
export const MAX_ALT_NAMES = 1_000;
const MAX_EXTENSIONS = 100;

const TAG = {
  boolean: 0x01,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  version: 0xa0,
  issuerUniqueId: 0x81,
  subjectUniqueId: 0x82,
  extensions: 0xa3,
} as const;

function certificateOf(der: Buffer, maxAltNames: number): DerCertificate {
  const file = new Walker(der, 'certificate');
  const outer = new Walker(file.next(TAG.sequence).body, 'certificate');
  file.end();
  const tbs = new Walker(outer.next(TAG.sequence).body, 'tbsCertificate');
  outer.next(TAG.sequence);
  outer.next(TAG.bitString);
  outer.end();

  if (tbs.nextIs(TAG.version)) tbs.next();
  tbs.next(0x02);
  tbs.next(TAG.sequence);
  const issuer = tbs.next(TAG.sequence).raw;
  const validity = new Walker(tbs.next(TAG.sequence).body, 'validity');
  const notBefore = timeOf(validity.next());
  const notAfter = timeOf(validity.next());
  validity.end();
  const subject = tbs.next(TAG.sequence).raw;
  const publicKeyInfo = tbs.next(TAG.sequence).raw;
  if (tbs.nextIs(TAG.issuerUniqueId)) tbs.next();
  if (tbs.nextIs(TAG.subjectUniqueId)) tbs.next();
  const extensions = tbs.done ? new Map<string, DerExtension>() : extensionsOf(tbs.next(TAG.extensions).body);
  tbs.end();

  const value = (oid: string): Buffer | null => extensions.get(oid)?.value ?? null;
  return {
    issuer,
    subject,
    publicKeyInfo,
    notBefore,
    notAfter,
    extensions,
    altNames: altNamesOf(value(OID.subjectAltName), maxAltNames),
    keyUsage: keyUsageOf(value(OID.keyUsage)),
    extendedKeyUsage: extendedKeyUsageOf(value(OID.extendedKeyUsage)),
    isCa: isCaOf(value(OID.basicConstraints)),
    subjectKeyId: subjectKeyIdOf(value(OID.subjectKeyId)),
  };
}

function extensionsOf(body: Buffer): Map<string, DerExtension> {
  const wrapper = new Walker(body, 'extensions');
  const list = new Walker(wrapper.next(TAG.sequence).body, 'extensions');
  wrapper.end();
  const extensions = new Map<string, DerExtension>();
  while (!list.done) {
    if (extensions.size === MAX_EXTENSIONS) throw new Unreadable(`extensions: more than ${MAX_EXTENSIONS}`);
    const item = new Walker(list.next(TAG.sequence).body, 'extension');
    const oid = oidOf(item.next(TAG.oid).body);
    const critical = item.nextIs(TAG.boolean) && item.next().body[0] !== 0;
    const value = item.next(TAG.octetString).body;
    item.end();
    // Two readers, one of which takes the first and one the last, would see two identities.
    if (extensions.has(oid)) throw new Unreadable(`extension ${oid}: there twice`);
    extensions.set(oid, { critical, value });
  }
  return extensions;
}

function altNamesOf(value: Buffer | null, most: number): readonly GeneralName[] {
  if (value === null) return [];
  const names: GeneralName[] = [];
  const list = sequence(value, 'subjectAltName');
  while (!list.done) {
    if (names.length === most) throw new Unreadable(`subjectAltName: more than ${most} names`);
    const { tag, body } = list.next();
    const kind = (tag & 0xc0) === 0x80 ? GENERAL_NAMES[tag & 0x1f] : undefined;
    if (kind === undefined) throw new Unreadable(`subjectAltName: unknown kind of name, tag ${tag}`);
    names.push({ kind, bytes: body });
  }
  return names;
}

function keyUsageOf(value: Buffer | null): ReadonlySet<KeyUsage> | null {
  if (value === null) return null;
  const outer = new Walker(value, 'keyUsage');
  const bits = outer.next(TAG.bitString).body;
  outer.end();
  if (bits.length === 0) throw new Unreadable('keyUsage: an empty bit string');
  return new Set(KEY_USAGES.filter((_, i) => ((bits[1 + (i >> 3)] ?? 0) & (0x80 >> (i & 7))) !== 0));
}

function extendedKeyUsageOf(value: Buffer | null): readonly string[] | null {
  if (value === null) return null;
  const oids: string[] = [];
  const list = sequence(value, 'extendedKeyUsage');
  while (!list.done) oids.push(oidOf(list.next(TAG.oid).body));
  return oids;
}

function isCaOf(value: Buffer | null): boolean {
  if (value === null) return false;
  const list = sequence(value, 'basicConstraints');
  return list.nextIs(TAG.boolean) && list.next().body[0] !== 0;
}

function subjectKeyIdOf(value: Buffer | null): Buffer | null {
  if (value === null) return null;
  const outer = new Walker(value, 'subjectKeyIdentifier');
  const id = outer.next(TAG.octetString).body;
  outer.end();
  return id;
}

function sequence(value: Buffer, what: string): Walker {
  const outer = new Walker(value, what);
  const list = outer.next(TAG.sequence).body;
  outer.end();
  return new Walker(list, what);
}

/**
 * Arcs beyond 2^53 lose digits; the object identifiers that the code looks up have smaller arcs.
 */
function oidOf(bytes: Buffer): string {
  if (bytes.length === 0 || bytes.length > 64) throw new Unreadable('object identifier: empty or absurdly long');
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of bytes) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [head = 0, ...rest] = arcs;
  const first = Math.min(Math.floor(head / 40), 2);
  return [first, head - first * 40, ...rest].join('.');
}

/**
 * RFC 5280 section 4.1.2.5: the time has seconds and the zone Z; two-digit years below 50 belong to
 * this century.
 */
function timeOf({ tag, body }: Element): number {
  const text = body.toString('latin1');
  const full =
    tag === TAG.utcTime && /^\d{12}Z$/.test(text)
      ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}`
      : tag === TAG.generalizedTime && /^\d{14}Z$/.test(text)
        ? text
        : null;
  if (full === null) throw new Unreadable('validity: not a time as RFC 5280 writes it');
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full) ?? [];
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(time)) throw new Unreadable('validity: no such time');
  return time;
}
