import { quote } from '../base/key-material.ts';
import { contentHash, meshName } from '../model/names.ts';
import type { Mesh as ModelMesh } from '../model/snapshot.ts';
import type { DataSource } from './data-source.ts';
import type { Findings } from './findings.ts';
import type { CaBackend } from './kinds/mesh.ts';
import type { Loader, ReadFile } from './load.ts';
import type { PemPair, PemStore } from './pem.ts';
import type { MeshResources } from './resource-set.ts';

/** Kuma's lifetime of a workload certificate. */
const DEFAULT_LIFETIME_MS = 24 * 3_600_000;

/** The folders of certificates for an egress that does not hold the CA keys. */
export interface IdentityFolders {
  readonly path: string;
  readonly readFile: ReadFile | undefined;
}

/**
 * Reads what terminating the mTLS of a mesh needs. Where a part is missing, which is reported, only
 * the terminated routes of the mesh are refused.
 */
export function meshIdentityOf(
  resources: MeshResources,
  backend: CaBackend,
  folders: IdentityFolders | null,
  loader: Loader,
  pems: PemStore,
  all: Findings,
): ModelMesh {
  const name = meshName(resources.mesh.meta.name);
  const findings = all.within(`Mesh ${name}`);
  const identity =
    folders === null ? issued(resources, backend, loader, findings) : fromFolder(resources, backend, folders, pems, findings);
  // Returns null without a report: the error of the Mesh itself is reported and rejects the whole
  // configuration.
  return (
    identity ?? { name, trust: contentHash(''), identity: { kind: 'none', why: findings.broken() ?? 'its backend is not valid' } }
  );
}

function issued(resources: MeshResources, backend: CaBackend, loader: Loader, findings: Findings): ModelMesh | null {
  const name = resources.mesh.meta.name;
  const sources = sourcesOf(resources, backend, findings);
  const pair = sources === null ? null : loader.pair(resources, { ...sources, use: 'issuer' }, findings);
  if (sources === null || pair === null) return null;
  const problem = caProblem(pair);
  if (problem !== null) {
    findings.error(sources.cert.at, sources.cert.path, problem);
    return null;
  }
  return {
    name: meshName(name),
    trust: pair.cert,
    identity: {
      kind: 'issue',
      caCert: pair.cert,
      caKey: pair.key,
      lifetimeMs: backend.expirationMs ?? DEFAULT_LIFETIME_MS,
    },
  };
}

function sourcesOf(
  { mesh, secrets }: MeshResources,
  backend: CaBackend,
  findings: Findings,
): { readonly cert: DataSource; readonly key: DataSource } | null {
  const name = mesh.meta.name;
  if (backend.type === 'provided') {
    const { cert, key } = backend;
    if (cert === undefined) findings.error(backend.at, `${backend.path}.conf.cert`, 'has to be defined');
    if (key === undefined) findings.error(backend.at, `${backend.path}.conf.key`, 'has to be defined');
    return cert === undefined || cert === null || key === undefined || key === null ? null : { cert, key };
  }
  const twoWays =
    'put the CA certificate and key among the resources as Secrets, or keep the key away and give a folder of certificates (--identities)';
  if (backend.type !== 'builtin') {
    const message = `a CA of type ${quote(backend.type)} cannot issue here: give a folder of certificates (--identities)`;
    if (backend.type !== '') findings.error(backend.at, `${backend.path}.type`, message);
    return null;
  }
  const certName = `${name}.ca-builtin-cert-${backend.name}`;
  const keyName = `${name}.ca-builtin-key-${backend.name}`;
  const missing = [certName, keyName].filter((secret) => !secrets.has(secret));
  if (missing.length > 0) {
    const what = missing.map(quote).join(' and ');
    const message = `no certificate for the egress: mesh ${quote(name)} has no Secret ${what}; ${twoWays}`;
    findings.error(backend.at, backend.path, message);
    return null;
  }
  const source = (secret: string): DataSource => ({
    kind: 'secret',
    value: secret,
    path: secrets.get(secret)?.field ?? 'data',
    at: secrets.get(secret)?.at ?? backend.at,
  });
  return { cert: source(certName), key: source(keyName) };
}

/**
 * Accepts serial number 0, which Kuma's builtin CAs have; the first certificate is the one that
 * signs.
 */
function caProblem({ certificates }: PemPair): string | null {
  return certificates[0]?.ca === true
    ? null
    : "basic constraint 'CA' must be set to 'true' (see X509-SVID: 4.1. Basic Constraints)";
}

function fromFolder(
  { mesh }: MeshResources,
  backend: CaBackend,
  { path, readFile }: IdentityFolders,
  pems: PemStore,
  findings: Findings,
): ModelMesh | null {
  const folder = `${path}/${mesh.meta.name}`;
  const read = (file: string): string | null => {
    const found = readFile === undefined ? { error: 'files are not read here' } : readFile(`${folder}/${file}`);
    if ('text' in found) return found.text;
    findings.error(backend.at, backend.path, `identity of the egress: ${folder}/${file}: ${found.error}`);
    return null;
  };
  const [ca, cert, key] = [read('ca.crt'), read('tls.crt'), read('tls.key')];
  if (ca === null || cert === null || key === null) return null;
  const bundle = pems.bundle(ca);
  if (bundle.kind === 'problem') findings.error(backend.at, backend.path, `${folder}/ca.crt ${bundle.message}`);
  // The pair is only checked and not kept: it is read again whenever it changes.
  const problem = pems.pairProblem(cert, key);
  if (problem !== null) {
    findings.error(backend.at, backend.path, `${folder}/${problem.of === 'cert' ? 'tls.crt' : 'tls.key'} ${problem.message}`);
  }
  if (bundle.kind === 'problem') return null;
  // A pair that does not fit may be in the middle of a replacement. It is read again, and the last
  // good pair stays in use until then.
  return { name: meshName(mesh.meta.name), trust: bundle.hash, identity: { kind: 'folder', path: folder } };
}
