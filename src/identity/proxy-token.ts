/**
 * Makes and checks tokens by which a proxy proves its identity to a control plane: JWT, RS256,
 * claims named as the fields of Kuma's Go structs (`pkg/tokens/builtin/zone/token.go`,
 * `.../issuer/token.go`), in their order. The bytes of header and claims are those of `kumactl
 * generate`.
 */
import { Buffer } from 'node:buffer';
import { createPrivateKey, createPublicKey, randomUUID, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Identifies a zone proxy of Kuma 2.x. */
export interface ZoneTokenSubject {
  /** Empty for any zone. */
  readonly zone: string;
  readonly scope: readonly string[];
}

/** Identifies a Dataplane; each field that is not empty binds the token to it. */
export interface DataplaneTokenSubject {
  readonly mesh: string;
  readonly name: string;
  readonly tags: Readonly<Record<string, readonly string[]>>;
  readonly proxyType: string;
  readonly workload: string;
}

export interface TokenLife {
  /** Seconds since the Unix epoch. */
  readonly expiresAt: number;
  /** Seconds since the Unix epoch. The token is issued at the same second. */
  readonly notBefore: number;
}

export interface SigningKey {
  readonly key: KeyObject;
  /** The number at the end of the name of the secret with the key, such as `1`. */
  readonly kid: string;
}

/** Kuma dates a token five seconds back, so that a slightly slow clock accepts it. */
const BACK_DATED_SECONDS = 5;

/** Returns the validity of a token made now; `nowMs` is in milliseconds since the Unix epoch. */
export function tokenLife(nowMs: number, validForMs: number): TokenLife {
  const now = Math.floor(nowMs / 1_000);
  return { expiresAt: now + Math.floor(validForMs / 1_000), notBefore: now - BACK_DATED_SECONDS };
}

export function zoneToken({ zone, scope }: ZoneTokenSubject, life: TokenLife, key: SigningKey): string {
  return signed({ Zone: zone, Scope: scope, ...registered(life) }, key);
}

export function dataplaneToken(subject: DataplaneTokenSubject, life: TokenLife, key: SigningKey): string {
  const { name, mesh, proxyType, workload } = subject;
  // Go writes the keys of a map in order.
  const tags = Object.fromEntries(Object.entries(subject.tags).sort(([a], [b]) => (a < b ? -1 : 1)));
  return signed({ Name: name, Mesh: mesh, Tags: tags, Type: proxyType, Workload: workload, ...registered(life) }, key);
}

function registered({ expiresAt, notBefore }: TokenLife): object {
  return { exp: expiresAt, nbf: notBefore, iat: notBefore, jti: randomUUID() };
}

function signed(claims: object, { key, kid }: SigningKey): string {
  const text = `${encode({ alg: 'RS256', kid, typ: 'JWT' })}.${encode(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
}

/**
 * Returns the life that a token claims, in milliseconds since the Unix epoch; null where the text
 * is no token, or one that does not expire.
 */
export function claimedLife(token: string): { readonly issuedAt: number | null; readonly expiresAt: number } | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    const { exp, iat, nbf }: Readonly<Record<string, unknown>> = typeof claims === 'object' ? { ...claims } : {};
    const from = typeof iat === 'number' ? iat : nbf;
    return typeof exp === 'number' ? { issuedAt: typeof from === 'number' ? from * 1_000 : null, expiresAt: exp * 1_000 } : null;
  } catch {
    return null;
  }
}

/** Tells whether `key` signed the token. A text that is no token has no valid signature. */
export function isSignedBy(token: string, key: KeyObject): boolean {
  const [header = '', claims = '', signature = ''] = token.split('.');
  return verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'));
}

/**
 * Reads the private key of a file from `generate signing-key` or `kumactl generate signing-key`, as
 * PEM or as base64 of PEM. Throws an error without any part of the text.
 */
export function signingKeyIn(text: string): KeyObject {
  const pem = pemIn(text);
  const key = rsaKey(() => createPrivateKey(pem));
  if (key === null) throw new Error('the file holds no RSA private key in PEM');
  return key;
}

/** Reads the public key of a file: PEM or base64 of PEM, a public key or that of a private key. */
export function publicKeyIn(text: string): KeyObject {
  const pem = pemIn(text);
  const key = rsaKey(() => createPublicKey(pem));
  if (key === null) throw new Error('the file holds no RSA public key in PEM');
  return key;
}

function rsaKey(read: () => KeyObject): KeyObject | null {
  try {
    const key = read();
    return key.asymmetricKeyType === 'rsa' ? key : null;
  } catch {
    return null;
  }
}

function pemIn(text: string): string {
  const trimmed = text.trim();
  return trimmed.startsWith('-----BEGIN') ? trimmed : Buffer.from(trimmed, 'base64').toString('utf8');
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
