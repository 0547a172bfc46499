import type { Problem } from '../base/problem.ts';
import type { MeshCredentials, TrustedDomain } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { beginOf, expiryOf, identityProblem, makeCredentials, meshOrigin } from './mesh-credentials.ts';
import type { MeshIdentity } from './mesh-identity.ts';
import { readBundle, readPrivateKey, readTrust } from './pem.ts';

/**
 * A certificate that the control plane issues and sends. The egress does not renew it: the next
 * configuration brings another one.
 */
export class GivenIdentity implements MeshIdentity {
  readonly credentials: MeshCredentials;

  constructor(credentials: MeshCredentials) {
    this.credentials = credentials;
  }

  start(): void {}

  refresh(): void {}

  close(): void {}
}

export type GivenIdentityRead =
  | { readonly kind: 'good'; readonly credentials: MeshCredentials }
  /**
   * Problems are warnings: an error in one mesh must not keep a whole configuration from going
   * live.
   */
  | { readonly kind: 'bad'; readonly problems: readonly Problem[] };

/**
 * Reads PEM texts, the leaf first. Accepts an expired leaf: each session that needs it then reports
 * that it is expired.
 */
export function readGiven(
  parts: {
    readonly mesh: MeshName;
    readonly trust: string;
    readonly trustDomains?: readonly TrustedDomain[];
    readonly cert: string;
    readonly key: string;
  },
  nowMs: number,
): GivenIdentityRead {
  const { mesh } = parts;
  const bad = (message: string): GivenIdentityRead => ({
    kind: 'bad',
    problems: [identityProblem(meshOrigin(mesh), `mesh ${mesh} is not served: ${message}`, 'warning')],
  });
  const trust = readTrust(parts.trust, nowMs);
  if (trust.kind === 'bad') return bad(`the CA bundle that was sent: ${trust.why}`);
  // A domain whose bundle cannot be used has no clients; other domains are not affected.
  const trustDomains = parts.trustDomains?.flatMap(({ name, trust }) => {
    const read = readTrust(trust, nowMs);
    return read.kind === 'bad' ? [] : [{ name, trust: read.pem }];
  });
  const chain = readBundle(parts.cert);
  if (chain.kind === 'bad') return bad(`the certificate that was sent: ${chain.why}`);
  const key = readPrivateKey(parts.key);
  const [leaf] = chain.certificates;
  if (key === null || leaf === undefined) return bad('the private key that was sent cannot be read');
  if (!leaf.checkPrivateKey(key)) return bad('the certificate that was sent does not belong to its key');
  const made = makeCredentials({
    mesh,
    file: meshOrigin(mesh),
    trust: trust.pem,
    ...(trustDomains === undefined ? {} : { trustDomains }),
    cert: chain.pem,
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    notBefore: beginOf(leaf),
    notAfter: expiryOf(leaf),
  });
  if (made.kind === 'made') return { kind: 'good', credentials: made.credentials };
  return bad(made.problems.map(({ message }) => message).join('; '));
}
