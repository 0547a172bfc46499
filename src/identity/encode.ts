import { Buffer } from 'node:buffer';
import { createHash, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import forge from 'node-forge';
import { ipBytes } from '../base/ip-bytes.ts';
import { GENERAL_NAMES, KEY_USAGES, OID } from './der.ts';
import type { GeneralNameKind, KeyUsage } from './der.ts';

/**
 * Builds a certificate as bytes. node-forge's own certificate writer throws on EC keys and rebuilds
 * the issuer's name, so only its ASN.1 is used: names and keys of others are copied raw, and
 * node:crypto signs.
 */
export interface CertificateContent {
  /** Raw Name of the issuer, exactly the subject of its certificate. */
  readonly issuer: Uint8Array;
  readonly subject: readonly NamePart[];
  readonly publicKey: KeyObject;
  /** Milliseconds since the Unix epoch; the certificate keeps whole seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly serial: bigint;
  readonly altNames: readonly AltName[];
  /** Null writes no basicConstraints. */
  readonly ca: { readonly pathLength: number | null } | null;
  readonly keyUsage: readonly KeyUsage[] | null;
  /** Object identifiers. */
  readonly extendedKeyUsage: readonly string[] | null;
  readonly subjectKeyId: Uint8Array | null;
  readonly authorityKeyId: Uint8Array | null;
  readonly more: readonly RawExtension[];
}

/** `['CN', 'default']`; the order of the parts is kept. */
export type NamePart = readonly [type: 'O' | 'OU' | 'CN' | 'emailAddress', value: string];

export interface AltName {
  readonly kind: GeneralNameKind;
  /**
   * The text of a uri, dns or email name, or an address; for every kind, the content may also be
   * bytes.
   */
  readonly value: string | Uint8Array;
}

export interface RawExtension {
  readonly oid: string;
  readonly critical: boolean;
  /** The DER inside the OCTET STRING. */
  readonly value: Uint8Array;
}

export type Digest = 'sha1' | 'sha256' | 'sha384' | 'sha512';

export function encodeCertificate(content: CertificateContent, key: KeyObject, digest: Digest): Buffer {
  const algorithm = signatureAlgorithm(key, digest);
  const tbs = seq([
    explicit(0, [integer(2n)]),
    integer(content.serial),
    algorithm.identifier(),
    parsed(content.issuer),
    seq([time(content.notBefore), time(content.notAfter)]),
    nameOf(content.subject),
    parsed(content.publicKey.export({ type: 'spki', format: 'der' })),
    explicit(3, [seq(extensionsOf(content))]),
  ]);
  const bytes = toBytes(tbs);
  return toBytes(seq([parsed(bytes), algorithm.identifier(), bitString(sign(algorithm.digest, bytes, key))]));
}

export function encodeName(parts: readonly NamePart[]): Buffer {
  return toBytes(nameOf(parts));
}

/** Computes the key identifier of RFC 5280 section 4.2.1.2, method 1. */
export function keyIdOf(publicKey: KeyObject): Buffer {
  const spki = forge.asn1.fromDer(binary(publicKey.export({ type: 'spki', format: 'der' })), KEEP_BIT_STRINGS);
  const bits = Array.isArray(spki.value) ? spki.value[1]?.value : undefined;
  if (typeof bits !== 'string') throw new Error('read a public key: it is no SubjectPublicKeyInfo');
  return createHash('sha1')
    .update(Buffer.from(bits.slice(1), 'latin1'))
    .digest();
}

type Node = forge.asn1.Asn1;
const { Class, Type } = forge.asn1;

/**
 * Without this option forge tries to read DER inside of bit strings. Its typings know only an older
 * form of the parameter.
 */
const KEEP_BIT_STRINGS = { decodeBitStrings: false } as unknown as boolean;

interface SignatureAlgorithm {
  readonly digest: Digest | null;
  identifier(): Node;
}

const RSA: Readonly<Record<Digest, string>> = {
  sha1: '1.2.840.113549.1.1.5',
  sha256: '1.2.840.113549.1.1.11',
  sha384: '1.2.840.113549.1.1.12',
  sha512: '1.2.840.113549.1.1.13',
};
const ECDSA: Readonly<Record<Digest, string>> = {
  sha1: '1.2.840.10045.4.1',
  sha256: '1.2.840.10045.4.3.2',
  sha384: '1.2.840.10045.4.3.3',
  sha512: '1.2.840.10045.4.3.4',
};
const ED25519 = '1.3.101.112';

function signatureAlgorithm(key: KeyObject, digest: Digest): SignatureAlgorithm {
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return { digest, identifier: () => seq([oid(RSA[digest]), leaf(Type.NULL, '')]) };
    case 'ec':
      return { digest, identifier: () => seq([oid(ECDSA[digest])]) };
    case 'ed25519':
      return { digest: null, identifier: () => seq([oid(ED25519)]) };
    default:
      throw new Error(`sign a certificate: a CA key of type ${key.asymmetricKeyType ?? 'unknown'} (RSA, EC or Ed25519)`);
  }
}

function extensionsOf(content: CertificateContent): Node[] {
  const { ca, keyUsage, extendedKeyUsage, subjectKeyId, authorityKeyId, altNames } = content;
  const list: Node[] = [];
  const add = (id: string, critical: boolean, value: Node): void => void list.push(extension(id, critical, toBytes(value)));
  if (ca !== null) {
    add(OID.basicConstraints, true, seq([bool(true), ...(ca.pathLength === null ? [] : [integer(BigInt(ca.pathLength))])]));
  }
  if (keyUsage !== null) add(OID.keyUsage, true, keyUsageBits(keyUsage));
  if (extendedKeyUsage !== null) add(OID.extendedKeyUsage, false, seq(extendedKeyUsage.map((id) => oid(id))));
  if (subjectKeyId !== null) add(OID.subjectKeyId, false, leaf(Type.OCTETSTRING, binary(subjectKeyId)));
  if (authorityKeyId !== null) add(OID.authorityKeyId, false, seq([context(0, binary(authorityKeyId))]));
  // RFC 5280 section 4.1.2.6: the alternative names of a certificate without a subject are
  // critical.
  if (altNames.length > 0) add(OID.subjectAltName, content.subject.length === 0, seq(altNames.map(generalName)));
  for (const { oid: id, critical, value } of content.more) list.push(extension(id, critical, value));
  return list;
}

function extension(id: string, critical: boolean, value: Uint8Array): Node {
  return seq([oid(id), ...(critical ? [bool(true)] : []), leaf(Type.OCTETSTRING, binary(value))]);
}

function keyUsageBits(usages: readonly KeyUsage[]): Node {
  const bits = usages.map((usage) => KEY_USAGES.indexOf(usage));
  const highest = Math.max(0, ...bits);
  const bytes = Buffer.alloc(1 + (highest >> 3) + 1);
  bytes[0] = 7 - (highest & 7);
  for (const bit of bits) bytes[1 + (bit >> 3)] = (bytes[1 + (bit >> 3)] ?? 0) | (0x80 >> (bit & 7));
  return leaf(Type.BITSTRING, binary(bytes));
}

function generalName({ kind, value }: AltName): Node {
  const bytes = typeof value !== 'string' ? Buffer.from(value) : kind === 'ip' ? address(value) : Buffer.from(value, 'latin1');
  const tag = GENERAL_NAMES.indexOf(kind);
  if (kind !== 'directory' && kind !== 'other' && kind !== 'x400' && kind !== 'edi') return context(tag, binary(bytes));
  return forge.asn1.create(Class.CONTEXT_SPECIFIC, tag, true, [parsed(bytes)]);
}

function address(text: string): Buffer {
  const bytes = ipBytes(text);
  if (bytes === null) throw new Error(`write a certificate: ${text} is no IP address`);
  return bytes;
}

const NAME_OIDS: Readonly<Record<NamePart[0], string>> = {
  O: '2.5.4.10',
  OU: '2.5.4.11',
  CN: '2.5.4.3',
  emailAddress: '1.2.840.113549.1.9.1',
};

function nameOf(parts: readonly NamePart[]): Node {
  return seq(
    parts.map(([type, value]) => {
      const text = leaf(type === 'emailAddress' ? Type.IA5STRING : Type.UTF8, binary(Buffer.from(value, 'utf8')));
      return forge.asn1.create(Class.UNIVERSAL, Type.SET, true, [seq([oid(NAME_OIDS[type]), text])]);
    }),
  );
}

/** RFC 5280 section 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050. */
function time(ms: number): Node {
  const date = new Date(ms);
  return date.getUTCFullYear() < 2050
    ? leaf(Type.UTCTIME, forge.asn1.dateToUtcTime(date))
    : leaf(Type.GENERALIZEDTIME, forge.asn1.dateToGeneralizedTime(date));
}

function integer(value: bigint): Node {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  const positive = (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.from([0]), bytes]);
  return leaf(Type.INTEGER, binary(positive));
}

function bitString(bytes: Uint8Array): Node {
  return leaf(Type.BITSTRING, `\0${binary(bytes)}`);
}

function bool(value: boolean): Node {
  return leaf(Type.BOOLEAN, value ? '\xff' : '\0');
}

function oid(id: string): Node {
  return leaf(Type.OID, forge.asn1.oidToDer(id).getBytes());
}

function seq(children: Node[]): Node {
  return forge.asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, children);
}

function explicit(tag: number, children: Node[]): Node {
  return forge.asn1.create(Class.CONTEXT_SPECIFIC, tag, true, children);
}

function context(tag: number, value: string): Node {
  return forge.asn1.create(Class.CONTEXT_SPECIFIC, tag, false, value);
}

function leaf(type: forge.asn1.Type, value: string): Node {
  return forge.asn1.create(Class.UNIVERSAL, type, false, value);
}

/** Parses a name or key of another certificate; writing the result gives the same bytes again. */
function parsed(der: Uint8Array): Node {
  return forge.asn1.fromDer(binary(der), KEEP_BIT_STRINGS);
}

function toBytes(node: Node): Buffer {
  return Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1');
}

/** Converts bytes to forge's form: a string with one character for each byte. */
function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
