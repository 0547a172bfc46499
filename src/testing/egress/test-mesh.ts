import { Buffer } from 'node:buffer';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { amount, anything, byName, listOf, name as required, oneOf, options, text } from '../../base/shape.ts';
import type { Check, ShapeChecks } from '../../base/shape.ts';
import { createCa, dataplaneUris, issueCertificate, meshCaSubject, selfSigned } from '../../identity/issue.ts';
import type { CertificateAndKey, CertificateRequest, KeyType } from '../../identity/issue.ts';

/** A mesh in memory: its CA, client certificates in Kuma's form, and deliberately bad ones. */
export interface TestMesh {
  readonly name: string;
  /** The present one: `rotate` brings another. */
  readonly ca: CertificateAndKey;
  /** YAML documents: the Mesh with mTLS and zone egress, and the Secrets of its CA. */
  readonly resources: string;
  /** Issues the certificate of a data plane with this service, or with several. */
  client(service: string | readonly string[], options?: ClientOptions): CertificateAndKey;
  /** Issues a certificate that no egress may accept for this mesh. */
  badClient(kind: BadClient, service?: string): CertificateAndKey;
  /** Issues any other certificate; absent fields are as in `client('frontend')`. */
  issue(request: Partial<CertificateRequest>, key?: KeyObject): CertificateAndKey;
  /** Replaces the CA; certificates issued before lead to the old one. */
  rotate(): Promise<void>;
}

export interface ClientOptions {
  readonly tags?: Readonly<Record<string, string>>;
  readonly extraUris?: readonly string[];
}

export const BAD_CLIENTS = [
  'expired',
  'not-yet-valid',
  'self-signed',
  'wrong-ca',
  'no-spiffe-id',
  'wrong-mesh',
  'server-only',
  'ca-as-leaf',
] as const;

export type BadClient = (typeof BAD_CLIENTS)[number];

/** A certificate with its key, PEM. */
export const certificateAndKey: Check = options<CertificateAndKey>({ cert: text, key: text }, ['cert', 'key']);

const testMeshOptions: Check = options<TestMeshOptions>({
  keyType: oneOf(['rsa', 'ec']),
  nowMs: amount,
  lifetimeMs: amount,
  ca: certificateAndKey,
});

const meshClientOptions: Check = options<ClientOptions>({ tags: byName(text), extraUris: listOf(text) });

const CERTIFICATE: ShapeChecks<CertificateRequest> = {
  caCert: text,
  caKey: anything,
  publicKey: anything,
  notBefore: anything,
  notAfter: anything,
  subject: listOf(anything),
  uris: listOf(text),
  dns: listOf(text),
  emails: listOf(text),
  ips: listOf(text),
  altNames: listOf(anything),
  serial: anything,
  ca: anything,
  keyUsage: listOf(text),
  eku: listOf(text),
  extensions: listOf(anything),
  digest: text,
};

const certificateRequest: Check = options<Partial<CertificateRequest>>(CERTIFICATE);

const HOUR_MS = 3_600_000;

export interface TestMeshOptions {
  readonly keyType?: KeyType;
  readonly nowMs?: number;
  readonly lifetimeMs?: number;
  readonly ca?: CertificateAndKey;
}

/** Throws TypeError for a misspelt option, as its functions do. */
export async function createTestMesh(name: string, given: TestMeshOptions = {}): Promise<TestMesh> {
  required(name, 'createTestMesh: name');
  testMeshOptions(given, 'createTestMesh');
  const { keyType = 'ec', nowMs = Date.now(), lifetimeMs = 24 * HOUR_MS } = given;
  const makeCa = (): Promise<CertificateAndKey> => createCa({ mesh: name, keyType, nowMs });
  let ca = given.ca ?? (await makeCa());
  let caKey = createPrivateKey(ca.key);

  function issue(request: Partial<CertificateRequest>, key: KeyObject = newKey()): CertificateAndKey {
    certificateRequest(request, 'issue');
    const cert = issueCertificate({ ...frontend, caCert: ca.cert, caKey, publicKey: key, ...request });
    return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
  }
  const frontend = {
    uris: dataplaneUris(name, ['frontend'], {}),
    notBefore: nowMs - 10_000,
    notAfter: nowMs + lifetimeMs,
    keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'],
    eku: ['serverAuth', 'clientAuth'],
  } as const;

  return {
    name,
    get ca() {
      return ca;
    },
    get resources() {
      return resourcesOf(name, ca);
    },
    client(service, more = {}) {
      meshClientOptions(more, 'client');
      const { tags = {}, extraUris = [] } = more;
      const services = typeof service === 'string' ? [service] : service;
      return issue({ uris: [...dataplaneUris(name, services, tags), ...extraUris] });
    },
    badClient: (kind, service = 'frontend') => badClient(kind, { name, service, nowMs, issue, leaf: frontend }),
    issue,
    async rotate() {
      ca = await makeCa();
      caKey = createPrivateKey(ca.key);
    },
  };
}

type Issue = (request: Partial<CertificateRequest>) => CertificateAndKey;

/** Makes a client whose certificate is wrong in this one respect. */
function badClient(
  kind: BadClient,
  of: {
    readonly name: string;
    readonly service: string;
    readonly nowMs: number;
    readonly issue: Issue;
    readonly leaf: Omit<Parameters<typeof selfSigned>[0], 'key'>;
  },
): CertificateAndKey {
  const { name, service, nowMs, issue, leaf } = of;
  oneOf(BAD_CLIENTS)(kind, 'badClient: kind');
  const uris = dataplaneUris(name, [service], {});
  switch (kind) {
    case 'expired':
      return issue({ uris, notBefore: nowMs - 2 * HOUR_MS, notAfter: nowMs - HOUR_MS });
    case 'not-yet-valid':
      return issue({ uris, notBefore: nowMs + HOUR_MS, notAfter: nowMs + 2 * HOUR_MS });
    case 'self-signed':
      return selfSigned({ ...leaf, uris, key: newKey() });
    case 'wrong-ca': {
      const rogue = rogueCa(name, nowMs);
      return issue({ uris, caCert: rogue.cert, caKey: rogue.key });
    }
    case 'no-spiffe-id':
      return issue({ uris: [`kuma://kuma.io/service/${service}`] });
    case 'wrong-mesh':
      return issue({ uris: [`spiffe://not-${name}/${service}`] });
    case 'server-only':
      return issue({ uris, eku: ['serverAuth'] });
    case 'ca-as-leaf':
      return issue({ uris, ca: { pathLength: null } });
    default:
      return kind satisfies never;
  }
}

/** Makes a CA that differs from that of the mesh only in its key. */
function rogueCa(name: string, nowMs: number): CertificateAndKey {
  return selfSigned({
    key: newKey(),
    subject: meshCaSubject(name),
    uris: [`spiffe://${name}`],
    notBefore: nowMs - 10_000,
    notAfter: nowMs + 240 * HOUR_MS,
    serial: 0n,
    ca: { pathLength: null },
    keyUsage: ['keyCertSign', 'cRLSign'],
  });
}

function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

function resourcesOf(name: string, { cert, key }: CertificateAndKey): string {
  const secret = (part: string, pem: string): string =>
    `type: Secret\nmesh: ${name}\nname: ${name}.ca-builtin-${part}-ca-1\ndata: ${Buffer.from(pem).toString('base64')}\n`;
  return [
    `type: Mesh
name: ${name}
mtls:
  enabledBackend: ca-1
  backends: [{ name: ca-1, type: builtin }]
routing: { zoneEgress: true }
`,
    secret('cert', cert),
    secret('key', key),
  ].join('---\n');
}
