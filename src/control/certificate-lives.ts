import type { X509Certificate } from 'node:crypto';
import { readableCertificates } from '../admin/envoy/certificates.ts';
import type { Endpoint } from '../model/cluster.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { ContentHash } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { CertificateFact } from '../observe/alarms/alarm-facts.ts';
import type { WorkerPool } from './worker-pool.ts';

type Life = Pick<CertificateFact, 'notBefore' | 'notAfter'>;

/**
 * The lives of all certificates that the egress uses or trusts. Each text is read once, and those
 * of services only when the configuration has changed.
 */
export class CertificateLives {
  readonly #workers: Pick<WorkerPool, 'credentials' | 'secret'>;
  readonly #ofMesh = new WeakMap<MeshCredentials, readonly CertificateFact[]>();
  #snapshot: Snapshot | null = null;
  #ofServices: readonly CertificateFact[] = [];

  constructor(workers: Pick<WorkerPool, 'credentials' | 'secret'>) {
    this.#workers = workers;
  }

  /** Works in steps: ten thousand services may have as many CAs. */
  *list(snapshot: Snapshot): Generator<void, readonly CertificateFact[]> {
    if (this.#snapshot !== snapshot) this.#ofServices = yield* this.#readServices(snapshot);
    this.#snapshot = snapshot;
    return [...this.#workers.credentials.flatMap((each) => this.#meshFacts(each)), ...this.#ofServices];
  }

  #meshFacts(credentials: MeshCredentials): readonly CertificateFact[] {
    const known = this.#ofMesh.get(credentials);
    if (known !== undefined) return known;
    const { mesh, notBefore, notAfter, trust, trustDomains } = credentials;
    const bundles = trustDomains ?? [{ name: mesh, trust }];
    const found = [
      { name: 'certificate-expires', subject: mesh, notBefore, notAfter } as const,
      ...bundles.flatMap((bundle): CertificateFact[] => {
        const life = longest(readableCertificates(bundle.trust));
        const subject = trustDomains === undefined ? mesh : `${mesh}, trust domain ${bundle.name}`;
        return life === null ? [] : [{ name: 'client-trust-expires', subject, ...life }];
      }),
    ];
    this.#ofMesh.set(credentials, found);
    return found;
  }

  *#readServices({ routes, clusters }: Snapshot): Generator<void, readonly CertificateFact[]> {
    const lives = new Map<string, Life | null>();
    const lifeOf = (kind: 'leaf' | 'bundle', hash: ContentHash): Life | null => {
      const key = `${kind} ${hash}`;
      const known = lives.get(key);
      if (known !== undefined) return known;
      const all = readableCertificates(this.#workers.secret(hash) ?? '');
      const life = kind === 'bundle' ? longest(all) : longest(all.slice(0, 1));
      lives.set(key, life);
      return life;
    };
    const found = new Map<string, CertificateFact>();
    for (const route of routes.values()) {
      yield;
      if (route.kind !== 'terminate') continue;
      for (const { tls } of clusters.get(route.cluster)?.endpoints ?? [])
        for (const fact of serviceFacts(route, tls, lifeOf)) found.set(`${fact.name} ${fact.subject}`, fact);
    }
    return [...found.values()];
  }
}

function* serviceFacts(
  { mesh, destination }: Route,
  tls: Endpoint['tls'],
  lifeOf: (kind: 'leaf' | 'bundle', hash: ContentHash) => Life | null,
): Generator<CertificateFact> {
  if (tls === null) return;
  const subject = `${mesh}/${destination}`;
  const own = tls.clientCertificate === null ? null : lifeOf('leaf', tls.clientCertificate.cert);
  if (own !== null) yield { name: 'service-certificate-expires', subject, ...own };
  const trust = tls.trust.kind === 'bundle' ? lifeOf('bundle', tls.trust.ca) : null;
  if (trust !== null) yield { name: 'service-trust-expires', subject, ...trust };
}

/** During a rotation a bundle has the old CA beside the new one: the last to end counts. */
function longest(certificates: readonly X509Certificate[]): Life | null {
  const lives = certificates.map(({ validFrom, validTo }) => ({
    notBefore: Date.parse(validFrom),
    notAfter: Date.parse(validTo),
  }));
  return lives.sort((a, b) => b.notAfter - a.notAfter)[0] ?? null;
}
