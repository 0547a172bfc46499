/**
 * Issues and checks dataplane tokens as Kuma's control plane does: each mesh has a signing key of
 * its own. The texts of the refusals are recorded.
 */
import { Buffer } from 'node:buffer';
import { generateKeyPair } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { dataplaneToken, isSignedBy, tokenLife } from '../../identity/proxy-token.ts';

export interface DataplaneTokenRequest {
  readonly mesh: string;
  /** Absent binds the token to no name. */
  readonly name?: string;
  /** Absent binds the token to no workload. */
  readonly workload?: string;
  /** Absent means 30 days; a negative value makes an expired token. */
  readonly validForMs?: number;
}

export interface DataplaneTokens {
  issue(request: DataplaneTokenRequest): Promise<string>;
  /** Returns why the token does not authenticate this Dataplane; null when it does. */
  refusal(token: string, of: TokenHolder): string | null;
}

export interface TokenHolder {
  readonly mesh: string;
  readonly name: string;
  /** Its label `kuma.io/workload`; empty without one. */
  readonly workload: string;
}

const KEY_ID = '1';
const DAY_MS = 24 * 3_600_000;
const generate = promisify(generateKeyPair);

/** `wall` returns milliseconds since the Unix epoch. */
export function createDataplaneTokens({ wall }: { readonly wall: () => number }): DataplaneTokens {
  const keys = new Map<string, { readonly privateKey: KeyObject; readonly publicKey: KeyObject }>();
  return {
    async issue({ mesh, name = '', workload = '', validForMs = 30 * DAY_MS }) {
      const pair = keys.get(mesh) ?? (await generate('rsa', { modulusLength: 2_048 }));
      keys.set(mesh, pair);
      const life = tokenLife(wall(), validForMs);
      return dataplaneToken({ mesh, name, tags: {}, proxyType: '', workload }, life, { key: pair.privateKey, kid: KEY_ID });
    },
    refusal(token, { mesh, name, workload }) {
      const key = keys.get(mesh);
      if (key === undefined)
        return `there is no signing key with KID 1. Secret of name "dataplane-token-signing-key-${mesh}-1" in mesh "${mesh}" is not found. If signing key was rotated, regenerate the token`;
      if (token.split('.').length !== 3)
        return 'could not parse token: token is malformed: token contains an invalid number of segments';
      if (!isSignedBy(token, key.publicKey))
        return 'could not parse token: token signature is invalid: crypto/rsa: verification error';
      const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Readonly<
        Record<string, unknown>
      >;
      if (Number(claims['exp'] ?? Infinity) * 1_000 <= wall())
        return 'could not parse token: token has invalid claims: token is expired';
      const [ofName, ofWorkload] = [textOf(claims['Name']), textOf(claims['Workload'])];
      if (ofName !== '' && ofName !== name) return `proxy name from requestor: ${name} is different than in token: ${ofName}`;
      if (ofWorkload !== '' && workload === '') return 'dataplane has no workload label required by the token';
      if (ofWorkload !== '' && ofWorkload !== workload)
        return `dataplane workload "${workload}" is not allowed with this token. Allowed workload in token is "${ofWorkload}"`;
      if (ofWorkload === '' && workload !== '')
        return `dataplane with "kuma.io/workload" label "${workload}" derives its identity from the workload, so it requires a workload-bound token`;
      return null;
    },
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
