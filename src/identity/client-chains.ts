import { X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { MeshCredentials } from '../model/credentials.ts';
import { chainTimes, sentChain } from './check-chain.ts';
import type { Times } from './check-chain.ts';
import { readBundle } from './pem.ts';

/** Number of certificates; each takes about 4 KB. */
const REMEMBERED = 1_000;

interface Known {
  readonly certificate: X509Certificate;
  /** When all certificates of its chain are valid; null where it has none that is known here. */
  readonly times: Times | null;
  /** True when the chain is the one that the client sent. */
  readonly learned: boolean;
}

/**
 * Remembers when the chains of client certificates are valid, by content and generation of trust. A
 * session that is resumed brings no chain, and OpenSSL does not look at it again. Its verdict at
 * the full handshake was about the same certificate and the same trust, as the ticket says; only
 * the time has changed since. The signatures are checked once for each certificate, which also
 * keeps out a certificate that the mesh never issued, in a ticket that was made with a stolen key.
 */
export class ClientChains {
  readonly #known = new LRUCache<string, Known>({ max: REMEMBERED });
  readonly #anchors = new WeakMap<MeshCredentials, readonly X509Certificate[]>();

  /** Learns the chain of a client that a full handshake has verified. */
  learn(credentials: MeshCredentials, certificate: X509Certificate): void {
    const key = keyOf(credentials, certificate.raw);
    const known = this.#known.get(key);
    if (known !== undefined && (known.learned || known.times !== null)) return;
    this.#check(key, credentials, { chain: sentChain(certificate), learned: true });
  }

  /**
   * Returns the certificate of a session where its chain is valid at this time, and null where that
   * is not known: a chain over certificates that clients send is known only to the data side that
   * has seen it. Throws where the bytes are no certificate.
   */
  validAt(credentials: MeshCredentials, leaf: Buffer, nowMs: number): X509Certificate | null {
    const key = keyOf(credentials, leaf);
    const known = this.#known.get(key) ?? this.#check(key, credentials, { chain: [new X509Certificate(leaf)], learned: false });
    const { certificate, times } = known;
    return times !== null && times.from <= nowMs && nowMs <= times.until ? certificate : null;
  }

  #check(key: string, credentials: MeshCredentials, { chain, learned }: Chain): Known {
    const known = { certificate: chain[0], times: chainTimes(chain, this.#anchorsOf(credentials)), learned };
    this.#known.set(key, known);
    return known;
  }

  #anchorsOf(credentials: MeshCredentials): readonly X509Certificate[] {
    const known = this.#anchors.get(credentials);
    if (known !== undefined) return known;
    const read = readBundle(credentials.trust);
    const anchors = read.kind === 'bundle' ? read.certificates : [];
    this.#anchors.set(credentials, anchors);
    return anchors;
  }
}

interface Chain {
  readonly chain: readonly [X509Certificate, ...X509Certificate[]];
  readonly learned: boolean;
}

function keyOf({ generation }: MeshCredentials, der: Buffer): string {
  return `${generation}\n${der.toString('latin1')}`;
}
