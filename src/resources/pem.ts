import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { certificateBlocks } from '../base/certificate-blocks.ts';
import { hashOf } from '../model/hash-of.ts';
import type { ContentHash } from '../model/names.ts';
import { pairUseProblem, trustProblem } from './tls-material.ts';
import type { PairUse } from './tls-material.ts';

/**
 * Certificates and keys that the snapshot refers to: PEM by content hash. Checking the same text
 * again costs a look-up.
 */
export interface PemStore {
  readonly secrets: ReadonlyMap<ContentHash, string>;
  /** Checks a bundle of at least one certificate. */
  bundle(text: string): PemBundle | PemProblem;
  /** Checks a chain with the key of its first certificate; both must be fit for `use`. */
  pair(cert: string, key: string, use: PairUse): PemPair | PemProblem;
  /** Makes the same check and keeps nothing. */
  pairProblem(cert: string, key: string): PemProblem | null;
}

export interface PemBundle {
  readonly kind: 'bundle';
  readonly hash: ContentHash;
  readonly certificates: readonly X509Certificate[];
}

export interface PemPair {
  readonly kind: 'pair';
  readonly cert: ContentHash;
  readonly key: ContentHash;
  readonly certificates: readonly X509Certificate[];
}

/** Never quotes the text. */
export interface PemProblem {
  readonly kind: 'problem';
  /** The half of a pair that the problem is about. */
  readonly of: 'cert' | 'key';
  readonly message: string;
}

export function createPemStore(): PemStore {
  const secrets = new Map<ContentHash, string>();
  const bundles = new Map<ContentHash, PemBundle | PemProblem>();
  const keys = new Map<ContentHash, KeyObject | null>();
  const usable = new Map<string, string | null>();
  const useProblem = (cert: string, key: string, { hash, certificates }: PemBundle, use: PairUse): string | null => {
    const [leaf] = certificates;
    const id = `${hash} ${hashOf(key)} ${use}`;
    const known = usable.get(id);
    if (known !== undefined || leaf === undefined) return known ?? null;
    const problem = pairUseProblem(cert, key, leaf, use);
    usable.set(id, problem);
    return problem;
  };
  const keep = (text: string): ContentHash => {
    const hash = hashOf(text);
    secrets.set(hash, text);
    return hash;
  };
  const read = (text: string): PemBundle | PemProblem => {
    const hash = hashOf(text);
    const known = bundles.get(hash) ?? readBundle(text, hash);
    bundles.set(hash, known);
    return known;
  };
  const check = (cert: string, key: string): PemBundle | PemProblem => {
    const bundle = read(cert);
    if (bundle.kind === 'problem') return bundle;
    const keyHash = hashOf(key);
    const known = keys.get(keyHash);
    const keyObject = known === undefined ? readKey(key) : known;
    keys.set(keyHash, keyObject);
    if (keyObject === null)
      return { kind: 'problem', of: 'key', message: 'holds no private key that can be read (PEM, not encrypted)' };
    const fits = bundle.certificates[0]?.checkPrivateKey(keyObject) === true;
    return fits ? bundle : { kind: 'problem', of: 'key', message: 'is not the key of the certificate' };
  };
  return {
    secrets,
    bundle(text) {
      const bundle = read(text);
      if (bundle.kind === 'problem' || secrets.has(bundle.hash)) return bundle;
      const problem = trustProblem(text);
      if (problem !== null) return { kind: 'problem', of: 'cert', message: problem };
      keep(text);
      return bundle;
    },
    pair(cert, key, use) {
      const bundle = check(cert, key);
      if (bundle.kind === 'problem') return bundle;
      const problem = useProblem(cert, key, bundle, use);
      if (problem !== null) return { kind: 'problem', of: 'cert', message: problem };
      return { kind: 'pair', cert: keep(cert), key: keep(key), certificates: bundle.certificates };
    },
    pairProblem(cert, key) {
      const bundle = check(cert, key);
      return bundle.kind === 'problem' ? bundle : null;
    },
  };
}

function readBundle(text: string, hash: ContentHash): PemBundle | PemProblem {
  const { blocks, isCutOff } = certificateBlocks(text);
  if (isCutOff) return { kind: 'problem', of: 'cert', message: 'holds a certificate that is cut off' };
  if (blocks.length === 0) return { kind: 'problem', of: 'cert', message: 'holds no certificate in PEM form' };
  const certificates: X509Certificate[] = [];
  for (const [i, block] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return { kind: 'problem', of: 'cert', message: `certificate ${i + 1} of ${blocks.length} cannot be read` };
    }
  }
  return { kind: 'bundle', hash, certificates };
}

function readKey(text: string): KeyObject | null {
  try {
    return createPrivateKey(text);
  } catch {
    // The library's reason could only be about the content of the key.
    return null;
  }
}
