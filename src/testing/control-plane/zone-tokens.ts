/**
 * Issues and checks zone tokens as Kuma's control plane does: JWT, RS256, key id "1". The texts of
 * the refusals are those of a real one; refusals that were never recorded have similar texts.
 */
import { Buffer } from 'node:buffer';
import { generateKeyPair } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { isSignedBy, tokenLife, zoneToken } from '../../identity/proxy-token.ts';

export interface ZoneTokenRequest {
  /** Absent means the zone of the control plane; empty means any zone. */
  readonly zone?: string;
  /** Absent means only `egress`. */
  readonly scope?: readonly string[];
  /** Absent means 30 days; a negative value makes an expired token. */
  readonly validForMs?: number;
  /** Absent means five seconds ago, as in Kuma. */
  readonly notBefore?: number;
}

export interface ZoneTokens {
  /** SPKI PEM of the signing key, for a control plane (or a test) that verifies by itself. */
  readonly publicKey: string;
  issue(request?: ZoneTokenRequest): string;
  /**
   * Returns why the token does not authenticate a zone egress, with Kuma's text; null when it does.
   */
  refusal(token: string): string | null;
  /** Refuses a token with this `jti` from now on. */
  revoke(token: string): void;
}

interface Claims {
  readonly Zone?: string;
  readonly Scope?: readonly string[];
  readonly exp?: number;
  readonly nbf?: number;
  readonly jti?: string;
}

const KEY_ID = '1';
const DAY_MS = 24 * 3_600_000;
const PREFIX =
  "could not parse token. kuma-cp runs with an in-memory database and its state isn't preserved between restarts. " +
  'Keep in mind that an in-memory database cannot be used with multiple instances of the control plane: ';

const generate = promisify(generateKeyPair);

/** `wall` returns milliseconds since the Unix epoch. */
export async function createZoneTokens(options: { readonly zone: string; readonly wall: () => number }): Promise<ZoneTokens> {
  const { zone, wall } = options;
  const { privateKey, publicKey } = await generate('rsa', { modulusLength: 2_048 });
  const revoked = new Set<string>();
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    issue(request = {}) {
      const life = tokenLife(wall(), request.validForMs ?? 30 * DAY_MS);
      const notBefore = request.notBefore === undefined ? life.notBefore : Math.floor(request.notBefore / 1_000);
      const subject = { zone: request.zone ?? zone, scope: request.scope ?? ['egress'] };
      return zoneToken(subject, { ...life, notBefore }, { key: privateKey, kid: KEY_ID });
    },
    refusal(token) {
      const parsed = parse(token, publicKey, wall() / 1_000);
      if (typeof parsed === 'string') return PREFIX + parsed;
      if (parsed.jti !== undefined && revoked.has(parsed.jti)) return 'token is revoked';
      const scope = parsed.Scope ?? [];
      if (!scope.includes('egress')) {
        return `token cannot be used to authenticate zone entity (egress is out of token's scope: [${scope.join(' ')}])`;
      }
      const of = parsed.Zone ?? '';
      return of === '' || of === zone ? null : `zone from requestor: ${zone} is different than in token: ${of}`;
    },
    revoke(token) {
      const { jti } = decode(token.split('.')[1] ?? '') as Claims;
      if (jti !== undefined) revoked.add(jti);
    },
  };
}

/** Returns the claims, or golang-jwt's error. */
function parse(token: string, key: KeyObject, nowSeconds: number): Claims | string {
  const [header = '', payload = ''] = token.split('.');
  if (token.split('.').length !== 3) return 'token is malformed: token contains an invalid number of segments';
  for (const [part, what] of [
    [header, 'header'],
    [payload, 'claim'],
  ] as const) {
    const wrong = part.search(/[^A-Za-z0-9_-]/);
    if (wrong >= 0) return `token is malformed: could not base64 decode ${what}: illegal base64 data at input byte ${wrong}`;
  }
  let head: unknown;
  let claims: Claims;
  try {
    head = decode(header);
    claims = decode(payload) as Claims;
  } catch {
    return 'token is malformed: could not JSON decode header: invalid character';
  }
  const { alg, kid } = head as { readonly alg?: unknown; readonly kid?: unknown };
  if (kid === undefined) return 'token is unverifiable: error while executing keyfunc: JWT token must have kid header';
  if (typeof kid !== 'string')
    return 'token is unverifiable: error while executing keyfunc: JWT token kid header must be a string';
  if (kid !== KEY_ID)
    return `token is unverifiable: error while executing keyfunc: there is no signing key with KID ${kid}. GlobalSecret of name "zone-token-signing-key-${kid}" is not found. If signing key was rotated, regenerate the token`;
  if (alg !== 'RS256') return `token signature is invalid: signing method ${String(alg)} is invalid`;
  if (!isSignedBy(token, key)) return 'token signature is invalid: crypto/rsa: verification error';
  if ((claims.exp ?? Infinity) <= nowSeconds) return 'token has invalid claims: token is expired';
  if ((claims.nbf ?? 0) > nowSeconds) return 'token has invalid claims: token is not valid yet';
  return claims;
}

function decode(part: string): unknown {
  return JSON.parse(Buffer.from(part, 'base64url').toString());
}
