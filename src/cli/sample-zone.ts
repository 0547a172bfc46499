import { createCa, generateKey, issueCertificate, issueDataplaneIdentity, selfSigned } from '../identity/issue.ts';
import type { CertificateAndKey } from '../identity/issue.ts';
import { encodeHashSni, encodeTagSni } from '../wire/sni.ts';
import type { FileToWrite } from './write-files.ts';

const DAY_MS = 24 * 3_600_000;
/**
 * Lifetime of client certificates and those of the fakes; a sample zone that is kept for longer has
 * to be generated again.
 */
const LIFETIME_MS = 365 * DAY_MS;

/** The addresses of the sample zone's servers, all on loopback. */
export const SAMPLE_PORTS = { egress: 10_002, admin: 9_901, ingress: 10_011, externalTls: 10_012, externalTcp: 10_013 } as const;

export interface SampleZone {
  readonly files: readonly FileToWrite[];
  /** Certificates of the fakes around the egress. */
  readonly backend: CertificateAndKey;
  readonly externalTls: CertificateAndKey;
  readonly externalCa: CertificateAndKey;
  readonly meshCa: CertificateAndKey;
  readonly clients: Readonly<Record<'frontend' | 'batch' | 'till', CertificateAndKey>>;
  readonly sni: Readonly<Record<'backend' | 'legacy' | 'api' | 'misspelt' | 'ledger', string>>;
}

/**
 * Makes two meshes, another zone, an external service over TLS that demands a client certificate,
 * and one over plain TCP, with new keys each time. Over 60 lines: a list of the parts of the zone.
 */
export async function sampleZone(): Promise<SampleZone> {
  const nowMs = Date.now();
  const [meshCa, paymentsCa, externalCa] = await Promise.all([
    createCa({ mesh: 'default', keyType: 'ec', nowMs }),
    createCa({ mesh: 'payments', keyType: 'ec', nowMs }),
    externalAuthority(nowMs),
  ]);
  const [frontend, batch, till, backend, externalTls, externalClient] = await Promise.all([
    meshLeaf(meshCa, { mesh: 'default', service: 'frontend', nowMs }),
    meshLeaf(meshCa, { mesh: 'default', service: 'batch', nowMs }),
    meshLeaf(paymentsCa, { mesh: 'payments', service: 'till', nowMs }),
    meshLeaf(meshCa, { mesh: 'default', service: 'backend', nowMs }),
    externalLeaf(externalCa, { nowMs, dns: ['api.partner.test'], eku: 'serverAuth' }),
    externalLeaf(externalCa, { nowMs, dns: ['egress.partner.test'], eku: 'clientAuth' }),
  ]);
  const certificates: Readonly<Record<string, CertificateAndKey>> = {
    frontend,
    batch,
    till,
    backend,
    'external-api': externalTls,
    'external-client': externalClient,
  };
  return {
    backend,
    externalTls,
    externalCa,
    meshCa,
    clients: { frontend, batch, till },
    sni: {
      backend: encodeTagSni({ 'kuma.io/service': 'backend', mesh: 'default' }),
      legacy: encodeTagSni({ 'kuma.io/service': 'legacy', mesh: 'default' }),
      api: encodeTagSni({ 'kuma.io/service': 'api', mesh: 'default' }),
      misspelt: encodeTagSni({ 'kuma.io/service': 'backedn', mesh: 'default' }),
      ledger: encodeHashSni({ kind: 'mes', name: 'ledger', mesh: 'payments', port: 9_000 }),
    },
    files: [
      { path: 'resources/10-meshes.yaml', text: MESHES },
      { path: 'resources/20-zone.yaml', text: ZONE },
      { path: 'resources/30-external-services.yaml', text: EXTERNAL_SERVICES },
      { path: 'resources/40-permissions.yaml', text: PERMISSIONS },
      { path: 'resources/50-secrets.yaml', text: secrets({ meshCa, paymentsCa, externalCa, externalClient }), secret: true },
      { path: 'certs/default-ca.crt', text: meshCa.cert },
      { path: 'certs/payments-ca.crt', text: paymentsCa.cert },
      { path: 'certs/external-ca.crt', text: externalCa.cert },
      ...Object.entries(certificates).flatMap(([name, { cert, key }]) => [
        { path: `certs/${name}.crt`, text: cert },
        { path: `certs/${name}.key`, text: key, secret: true },
      ]),
    ],
  };
}

function meshLeaf(
  ca: CertificateAndKey,
  { mesh, service, nowMs }: { readonly mesh: string; readonly service: string; readonly nowMs: number },
): Promise<CertificateAndKey> {
  return issueDataplaneIdentity({
    mesh,
    services: [service],
    tags: {},
    caCert: ca.cert,
    caKey: ca.key,
    keyType: 'ec',
    lifetimeMs: LIFETIME_MS,
    nowMs,
  });
}

const MESHES = `# A mesh without mTLS has nothing to do with a zone egress; routing.zoneEgress sends traffic to other zones through it.
type: Mesh
name: default
mtls:
  enabledBackend: ca-1
  backends:
  - { name: ca-1, type: builtin }
routing:
  zoneEgress: true
---
type: Mesh
name: payments
mtls:
  enabledBackend: ca-1
  backends:
  - { name: ca-1, type: builtin }
`;

const ZONE = `# This zone's egress, and the ingress of another zone with what it offers.
type: ZoneEgress
name: egress-east
zone: east
networking:
  address: 127.0.0.1
  port: ${SAMPLE_PORTS.egress}
  admin: { port: ${SAMPLE_PORTS.admin} }
---
type: ZoneIngress
name: ingress-west
zone: west
networking:
  address: 127.0.0.1
  port: ${SAMPLE_PORTS.ingress}
  advertisedAddress: 127.0.0.1
  advertisedPort: ${SAMPLE_PORTS.ingress}
availableServices:
- mesh: default
  instances: 1
  tags: { kuma.io/service: backend, kuma.io/zone: west }
`;

const EXTERNAL_SERVICES = `type: ExternalService
mesh: default
name: api
tags: { kuma.io/service: api, kuma.io/protocol: tcp }
networking:
  address: 127.0.0.1:${SAMPLE_PORTS.externalTls}
  tls:
    enabled: true
    serverName: api.partner.test
    caCert: { secret: partner-ca }
    clientCert: { secret: partner-client-cert }
    clientKey: { secret: partner-client-key }
---
type: ExternalService
mesh: default
name: legacy
tags: { kuma.io/service: legacy, kuma.io/protocol: tcp }
networking:
  address: 127.0.0.1:${SAMPLE_PORTS.externalTcp}
---
type: MeshExternalService
mesh: payments
name: ledger
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints:
  - { address: 127.0.0.1, port: ${SAMPLE_PORTS.externalTcp} }
`;

const PERMISSIONS = `# Without a permission no client reaches an ExternalService. A MeshExternalService is open to its mesh unless routing.defaultForbidMeshExternalServiceAccess.
type: TrafficPermission
mesh: default
name: frontend-to-outside
sources:
- match: { kuma.io/service: frontend }
destinations:
- match: { kuma.io/service: api }
- match: { kuma.io/service: legacy }
`;

function secrets(of: Readonly<Record<'meshCa' | 'paymentsCa' | 'externalCa' | 'externalClient', CertificateAndKey>>): string {
  const list: readonly (readonly [mesh: string, name: string, text: string])[] = [
    ['default', 'default.ca-builtin-cert-ca-1', of.meshCa.cert],
    ['default', 'default.ca-builtin-key-ca-1', of.meshCa.key],
    ['payments', 'payments.ca-builtin-cert-ca-1', of.paymentsCa.cert],
    ['payments', 'payments.ca-builtin-key-ca-1', of.paymentsCa.key],
    ['default', 'partner-ca', of.externalCa.cert],
    ['default', 'partner-client-cert', of.externalClient.cert],
    ['default', 'partner-client-key', of.externalClient.key],
  ];
  const documents = list.map(
    ([mesh, name, text]) => `type: Secret\nmesh: ${mesh}\nname: ${name}\ndata: ${Buffer.from(text).toString('base64')}\n`,
  );
  return `# Throw-away keys, made for this sample.\n${documents.join('---\n')}`;
}

async function externalAuthority(nowMs: number): Promise<CertificateAndKey> {
  return selfSigned({
    key: await generateKey('ec'),
    subject: [['CN', 'Partner CA']],
    notBefore: nowMs - 60_000,
    notAfter: nowMs + 2 * LIFETIME_MS,
    ca: { pathLength: null },
    keyUsage: ['keyCertSign', 'cRLSign'],
  });
}

async function externalLeaf(
  ca: CertificateAndKey,
  of: { readonly nowMs: number; readonly dns: readonly string[]; readonly eku: 'serverAuth' | 'clientAuth' },
): Promise<CertificateAndKey> {
  const key = await generateKey('ec');
  const cert = issueCertificate({
    caCert: ca.cert,
    caKey: ca.key,
    publicKey: key,
    subject: [['CN', of.dns[0] ?? '']],
    dns: of.dns,
    notBefore: of.nowMs - 60_000,
    notAfter: of.nowMs + LIFETIME_MS,
    keyUsage: ['digitalSignature'],
    eku: [of.eku],
  });
  return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }) as string };
}
