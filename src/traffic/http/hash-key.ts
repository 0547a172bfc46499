import type { Hash64 } from '../../model/endpoint-view.ts';
import type { HashPolicy } from '../../model/http-route.ts';
import { Word64 } from '../../routing/balancers/word-64.ts';
import { xxHash64 } from '../../routing/balancers/xx-hash-64.ts';
import type { RequestHead } from './exchange.ts';
import { valuesOf } from '../../wire/flat-headers.ts';

export interface RequestHash {
  /** Null where no policy gives a key; the pick is then random. */
  readonly key: Hash64 | null;
  /** `Set-Cookie` values for the answer, by which the client returns to the same endpoint. */
  readonly cookies: readonly string[];
}

export interface HashedClient {
  /** Its address. */
  readonly client: string;
  /**
   * Returns the value of a cookie for this connection: requests that come before the client has
   * the cookie go to one endpoint, as in Envoy.
   */
  newCookie(): string;
}

/** Hashes a request as Envoy does: each policy adds its hash to those before it. */
export function requestHash(
  policies: readonly HashPolicy[],
  { headers, path }: Pick<RequestHead, 'headers' | 'path'>,
  from: HashedClient,
): RequestHash {
  let sum: Word64 | null = null;
  const cookies: string[] = [];
  for (const policy of policies) {
    const text = textOf(policy, { headers, path, from, cookies });
    if (text !== null) {
      const hash = xxHash64(text);
      sum = sum === null ? new Word64().set(hash.hi, hash.lo) : sum.rotateLeft(1).xor(hash);
    }
    if (policy.terminal === true && sum !== null) break;
  }
  return { key: sum, cookies };
}

interface Facts extends Pick<RequestHead, 'headers' | 'path'> {
  readonly from: HashedClient;
  readonly cookies: string[];
}

function textOf(policy: HashPolicy, { headers, path, from, cookies }: Facts): string | null {
  switch (policy.kind) {
    case 'header': {
      const values = valuesOf(headers, policy.name);
      return values.length === 0 ? null : values.toSorted().join(',');
    }
    case 'query': {
      const at = path.indexOf('?');
      const pairs = at < 0 ? [] : path.slice(at + 1).split('&');
      const found = pairs.find((pair) => pair === policy.name || pair.startsWith(`${policy.name}=`));
      return found === undefined ? null : found.slice(policy.name.length + 1);
    }
    case 'cookie': {
      const pairs = valuesOf(headers, 'cookie').flatMap((each) => each.split(';').map((pair) => pair.trim()));
      const found = pairs.find((pair) => pair.startsWith(`${policy.name}=`))?.slice(policy.name.length + 1);
      const sent = found?.replace(/^"(.*)"$/, '$1') ?? '';
      // Envoy takes an empty cookie for none.
      if (sent !== '') return sent;
      if (policy.lifetimeMs === undefined) return null;
      const value = from.newCookie();
      const age = policy.lifetimeMs === 0 ? '' : `; Max-Age=${Math.round(policy.lifetimeMs / 1_000)}`;
      cookies.push(`${policy.name}="${value}"${age}${policy.path === undefined ? '' : `; Path=${policy.path}`}; HttpOnly`);
      return value;
    }
    case 'source-ip':
      return from.client;
    default:
      return policy satisfies never;
  }
}
