import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { hasErrors } from '../base/problem.ts';
import type { Problem } from '../base/problem.ts';
import { isValidAt } from '../model/credentials.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { ContentHash, MeshName } from '../model/names.ts';
import type { IdentitySource, Mesh, Secrets, Snapshot } from '../model/snapshot.ts';
import { readIdentityFolder } from './read-identity-folder.ts';
import { identityProblem, meshOrigin } from './mesh-credentials.ts';
import { FolderIdentity } from './folder-identity.ts';
import { GivenIdentity, readGiven } from './given-identity.ts';
import { IssuedIdentity, issueCredentials } from './issued-identity.ts';
import type { IssueSource, IssuedTrust } from './issued-identity.ts';
import { sameCredentials } from './mesh-identity.ts';
import type { MeshIdentity } from './mesh-identity.ts';
import { readBundle, readPrivateKey, readTrust } from './pem.ts';

/**
 * Makes or reads the egress's own certificates, one for each mesh, renews them and publishes them.
 * It does not touch connections.
 */
export interface KeyStore {
  /**
   * Prepares the certificates for a configuration. Changes nothing yet, and reuses certificates
   * that are still good.
   */
  prepare(snapshot: Snapshot, secrets: Secrets): Promise<Prepared>;
  /**
   * Keeps these certificates fresh from now on, and no others. `prepared` must come from this
   * store.
   */
  commit(prepared: Prepared): void;
  /** Called when a session found the certificate of a mesh out of date. */
  refresh(mesh: MeshName): void;
  close(): void;
}

export interface Prepared {
  /** Each error names the one mesh that it refuses. */
  readonly problems: readonly Problem[];
  /** One entry for each mesh without an error. */
  readonly credentials: readonly MeshCredentials[];
}

export interface KeyStoreOptions {
  readonly clock: Clock;
  /**
   * Called with new credentials of a mesh: at a commit for each that changed, later for every
   * renewal.
   */
  readonly onCredentials: (credentials: MeshCredentials) => void;
  readonly onRemoved: (mesh: MeshName) => void;
  /** Called for a problem after a commit; the last good credentials stay in use. */
  readonly onProblem: (problem: Problem) => void;
}

/** An identity with the input that it was made from. The same input keeps the same identity. */
interface Held {
  readonly identity: MeshIdentity;
  readonly trust: ContentHash;
  readonly trustDomains: Mesh['trustDomains'] | undefined;
  readonly source: IdentitySource;
}

export function createKeyStore(options: KeyStoreOptions): KeyStore {
  return new Store(options);
}

class Store implements KeyStore {
  readonly #options: KeyStoreOptions;
  #held: ReadonlyMap<MeshName, Held> = new Map();
  readonly #prepared = new WeakMap<Prepared, ReadonlyMap<MeshName, Held>>();
  #closed = false;

  constructor(options: KeyStoreOptions) {
    this.#options = options;
  }

  async prepare(snapshot: Snapshot, secrets: Secrets): Promise<Prepared> {
    const meshes = [...snapshot.meshes.values()];
    const results = await Promise.all(meshes.map((mesh) => this.#prepareMesh(mesh, secrets)));
    const problems: Problem[] = [];
    const held = new Map<MeshName, Held>();
    for (const [i, mesh] of meshes.entries()) {
      const result = results[i];
      if (result === undefined) continue;
      const refuses = `Mesh ${mesh.name}`;
      const isRefused = result.identity === null;
      problems.push(...result.problems.map((each) => (isRefused && each.severity === 'error' ? { ...each, refuses } : each)));
      if (result.identity !== null) {
        const { trust, trustDomains, identity: source } = mesh;
        held.set(mesh.name, { identity: result.identity, trust, trustDomains, source });
      }
    }
    const credentials = [...held.values()].map(({ identity }) => identity.credentials);
    const prepared = Object.freeze({ problems, credentials });
    // There is nothing to commit where every mesh has an error.
    if (held.size > 0 || !hasErrors(problems)) this.#prepared.set(prepared, held);
    return prepared;
  }

  commit(prepared: Prepared): void {
    const next = this.#prepared.get(prepared);
    if (next === undefined) throw new Error('commit of credentials: they were not prepared here, or all have errors');
    if (this.#closed) return;
    const old = this.#held;
    this.#held = next;
    const handedOut = new Map(prepared.credentials.map((credentials) => [credentials.mesh, credentials]));
    for (const [mesh, { identity }] of old) {
      if (next.get(mesh)?.identity !== identity) identity.close();
      if (!next.has(mesh)) this.#options.onRemoved(mesh);
    }
    for (const [mesh, { identity }] of next) {
      const { credentials } = identity;
      // A renewal since `prepare` may have published newer credentials: they must not be replaced
      // by the prepared ones.
      const known = [old.get(mesh)?.identity.credentials, handedOut.get(mesh)];
      identity.start();
      if (known.some((one) => one === undefined || !sameCredentials(one, credentials))) this.#options.onCredentials(credentials);
    }
  }

  refresh(mesh: MeshName): void {
    this.#held.get(mesh)?.identity.refresh();
  }

  close(): void {
    this.#closed = true;
    for (const { identity } of this.#held.values()) identity.close();
    this.#held = new Map();
  }

  #prepareMesh(mesh: Mesh, secrets: Secrets): Promise<MeshResult> {
    switch (mesh.identity.kind) {
      case 'issue':
        return this.#prepareIssued(mesh, mesh.identity, secrets);
      case 'folder':
        return this.#prepareFolder(mesh, mesh.identity.path);
      case 'given':
        return Promise.resolve(this.#prepareGiven(mesh, mesh.identity, secrets));
      case 'none':
        return Promise.resolve({ identity: null, problems: [] });
      default:
        return mesh.identity satisfies never;
    }
  }

  async #prepareIssued(mesh: Mesh, source: Extract<IdentitySource, { kind: 'issue' }>, secrets: Secrets): Promise<MeshResult> {
    const nowMs = this.#options.clock.wall();
    const held = this.#held.get(mesh.name);
    const sameSource = held !== undefined && sameIssueSource(held.source, source);
    const isGood = held !== undefined && isValidAt(held.identity.credentials, nowMs);
    if (isGood && sameSource && sameTrust(held, mesh)) {
      return { identity: held.identity, problems: [] };
    }
    const read = readIssueSource(mesh, source, secrets, nowMs);
    if (read.kind === 'bad') return { identity: null, problems: read.problems };
    const issued = await issueCredentials(read.source, read.trust, nowMs);
    if (issued.kind === 'bad') return { identity: null, problems: issued.problems };
    const problems: Problem[] = [];
    const { notAfter } = issued.credentials;
    if (notAfter + 1_000 < nowMs + source.lifetimeMs) {
      const message = `the CA of mesh ${mesh.name} ends ${new Date(notAfter).toISOString()}, sooner than a certificate of ${source.lifetimeMs / 1_000} s would`;
      problems.push(identityProblem(meshOrigin(mesh.name), message, 'warning'));
    }
    return { identity: new IssuedIdentity(read.source, issued, this.#deps()), problems };
  }

  /**
   * Always reads the files: an operator who asks for a reload wants the problems of this moment.
   * `ca.crt` is the trust here; the CA of the Mesh is ignored.
   */
  async #prepareFolder(mesh: Mesh, path: string): Promise<MeshResult> {
    const read = await readIdentityFolder(mesh.name, path, this.#options.clock.wall());
    const held = this.#held.get(mesh.name)?.identity;
    // The pair of files is being replaced; the previous certificate is better than none.
    if (read.kind === 'bad') {
      return { identity: held instanceof FolderIdentity && held.path === path ? held : null, problems: read.problems };
    }
    const same = held instanceof FolderIdentity && held.path === path && sameCredentials(held.credentials, read.credentials);
    return { identity: same ? held : new FolderIdentity(path, read, this.#deps()), problems: [] };
  }

  /**
   * Prepares what a control plane sent. A fault in it is a warning: other meshes must not wait for
   * this one.
   */
  #prepareGiven(mesh: Mesh, source: Extract<IdentitySource, { kind: 'given' }>, secrets: Secrets): MeshResult {
    const held = this.#held.get(mesh.name);
    if (held !== undefined && sameTrust(held, mesh) && sameGivenSource(held.source, source)) {
      const { identity } = held;
      return { identity, problems: identity instanceof GivenIdentity ? identity.problems : [] };
    }
    const { name, trust } = mesh;
    const text = (hash: ContentHash): string => secrets.get(hash) ?? '';
    const trustDomains = mesh.trustDomains?.map((each) => ({ name: each.name, trust: text(each.trust) }));
    const parts = {
      mesh: name,
      trust: text(trust),
      ...(trustDomains === undefined ? {} : { trustDomains }),
      cert: text(source.cert),
      key: text(source.key),
    };
    const given = readGiven(parts, this.#options.clock.wall());
    if (given.kind === 'good') return { identity: new GivenIdentity(given), problems: given.problems };
    // With the same trust, the previous certificate is better than none.
    const before = held !== undefined && sameTrust(held, mesh) && held.source.kind === 'given' ? held.identity : null;
    return { identity: before, problems: given.problems };
  }

  #deps(): ConstructorParameters<typeof FolderIdentity>[2] {
    const { clock, onCredentials, onProblem } = this.#options;
    return { clock, events: { onCredentials, onProblem } };
  }
}

interface MeshResult {
  readonly identity: MeshIdentity | null;
  readonly problems: readonly Problem[];
}

type ReadSource =
  | { readonly kind: 'read'; readonly source: IssueSource; readonly trust: IssuedTrust }
  | { readonly kind: 'bad'; readonly problems: readonly Problem[] };

function readIssueSource(
  mesh: Mesh,
  { caCert, caKey, lifetimeMs, id }: Extract<IdentitySource, { kind: 'issue' }>,
  secrets: Secrets,
  nowMs: number,
): ReadSource {
  const { name } = mesh;
  const problems: Problem[] = [];
  const complain = (message: string): void => void problems.push(identityProblem(meshOrigin(name), message));
  const trust = readTrust(secrets.get(mesh.trust) ?? '', nowMs);
  const cas = readBundle(secrets.get(caCert) ?? '');
  const key = readPrivateKey(secrets.get(caKey) ?? '');
  if (trust.kind === 'bad') complain(`the trust bundle of mesh ${name}: ${trust.why}`);
  if (cas.kind === 'bad') complain(`the CA certificate of mesh ${name}: ${cas.why}`);
  if (key === null) complain(`the CA key of mesh ${name}: it is no private key that can be read without a passphrase`);
  if (trust.kind === 'bad' || cas.kind === 'bad' || key === null) return { kind: 'bad', problems };

  const ca = cas.certificates.find((certificate) => certificate.checkPrivateKey(key));
  if (ca === undefined) complain(`the CA key of mesh ${name} does not belong to its CA certificate`);
  else if (!ca.ca) complain(`the CA certificate of mesh ${name} is no CA certificate`);
  if (ca === undefined || problems.length > 0) return { kind: 'bad', problems };
  // Clients may trust a root above the CA: they need the certificates in between, and have the root
  // itself.
  const chain = [ca, ...cas.certificates.filter((certificate) => certificate !== ca)].filter(
    (certificate) => !isRoot(certificate),
  );
  const pem = (certificates: readonly X509Certificate[]): string => certificates.map(String).join('');
  const keyText = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const source = { mesh: name, caCert: pem([ca]), caKey: keyText, lifetimeMs, ...(id === undefined ? {} : { id }) };
  return {
    kind: 'read',
    source: { ...source, chain: pem(chain) },
    trust: { trust: trust.pem, ...domainsOf(mesh, secrets, nowMs) },
  };
}

/** A domain whose bundle cannot be used has no clients; other domains are not affected. */
function domainsOf({ trustDomains }: Mesh, secrets: Secrets, nowMs: number): Pick<IssuedTrust, 'trustDomains'> {
  if (trustDomains === undefined) return {};
  return {
    trustDomains: trustDomains.flatMap(({ name, trust }) => {
      const read = readTrust(secrets.get(trust) ?? '', nowMs);
      return read.kind === 'bad' ? [] : [{ name, trust: read.pem }];
    }),
  };
}

function isRoot(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate);
}

function sameIssueSource(a: IdentitySource, b: IdentitySource): boolean {
  return (
    a.kind === 'issue' &&
    b.kind === 'issue' &&
    a.caCert === b.caCert &&
    a.caKey === b.caKey &&
    a.lifetimeMs === b.lifetimeMs &&
    a.id === b.id
  );
}

/** Another name of a domain is another trust, even with the same bundle. */
function sameTrust(a: Pick<Held, 'trust' | 'trustDomains'>, b: Mesh): boolean {
  return a.trust === b.trust && JSON.stringify(a.trustDomains) === JSON.stringify(b.trustDomains);
}

function sameGivenSource(a: IdentitySource, b: IdentitySource): boolean {
  return a.kind === 'given' && b.kind === 'given' && a.cert === b.cert && a.key === b.key;
}
