import type { X509Certificate } from 'node:crypto';
import type { Problem } from '../base/problem.ts';
import type { MeshCredentials, TrustedDomain } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { readCertificate } from './der.ts';
import { parseSpiffeId } from './spiffe.ts';
import { beginOf, expiryOf, identityProblem, makeCredentials, meshOrigin } from './mesh-credentials.ts';
import type { MeshIdentity } from './mesh-identity.ts';
import { readBundle, readPrivateKey, readTrust } from './pem.ts';

/**
 * A certificate that the control plane issues and sends. The egress does not renew it: the next
 * configuration brings another one.
 */
export class GivenIdentity implements MeshIdentity {
  readonly credentials: MeshCredentials;
  /** Warnings about it, for as long as it is used. */
  readonly problems: readonly Problem[];

  constructor({ credentials, problems }: Extract<GivenIdentityRead, { kind: 'good' }>) {
    this.credentials = credentials;
    this.problems = problems;
  }

  start(): void {}

  refresh(): void {}

  close(): void {}
}

export type GivenIdentityRead =
  | { readonly kind: 'good'; readonly credentials: MeshCredentials; readonly problems: readonly Problem[] }
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
  const warning = (message: string): Problem => identityProblem(meshOrigin(mesh), message, 'warning');
  const bad = (message: string): GivenIdentityRead => ({
    kind: 'bad',
    problems: [warning(`mesh ${mesh} is not served: ${message}`)],
  });
  const problems: Problem[] = [];
  const trust = readTrust(parts.trust, nowMs);
  if (trust.kind === 'bad') return bad(`the CA bundle that was sent: ${trust.why}`);
  // A domain whose bundle cannot be used has no clients; other domains are not affected.
  const trustDomains = parts.trustDomains?.flatMap(({ name, trust }) => {
    const read = readTrust(trust, nowMs);
    if (read.kind === 'bundle') return [{ name, trust: read.pem }];
    const todo = `clients of this trust domain are refused until its MeshTrust has a CA that is valid`;
    problems.push(warning(`mesh ${mesh}: the bundle of trust domain ${name}: ${read.why}; ${todo}`));
    return [];
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
  const untrusted = untrustedDomain(leaf, parts.trustDomains);
  if (untrusted !== null) problems.push(warning(`mesh ${mesh}: ${untrusted}`));
  if (made.kind === 'made') return { kind: 'good', credentials: made.credentials, problems };
  return bad(made.problems.map(({ message }) => message).join('; '));
}

/** Clients trust the same bundles: without one for the egress's own domain none verifies it. */
function untrustedDomain(leaf: X509Certificate, trustDomains: readonly TrustedDomain[] | undefined): string | null {
  if (trustDomains === undefined) return null;
  const read = readCertificate(leaf.raw);
  if (read.kind === 'unreadable') return null;
  const own = read.certificate.altNames.flatMap(({ kind, bytes }) => {
    const id = kind === 'uri' ? parseSpiffeId(bytes.toString('latin1')) : null;
    return id?.kind === 'spiffe' ? [id.trustDomain] : [];
  });
  const [domain] = own;
  const known = trustDomains.map(({ name }) => name);
  if (domain === undefined || known.includes(domain)) return null;
  return `the certificate of this egress is of trust domain ${domain}, and no MeshTrust trusts it (there are those of ${known.join(', ')}): clients of ${domain} are refused, and no client verifies this egress; create a MeshTrust for ${domain}`;
}
