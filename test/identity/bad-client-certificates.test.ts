/**
 * Every client certificate that must not pass, against the real TLS server of a mesh, on TLS 1.2
 * and 1.3.
 */
import { Buffer } from 'node:buffer';
import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import t from 'tap';
import type { RefusalCode } from '../../src/base/refusal.ts';
import { issueCertificate, meshCaSubject, selfSigned } from '../../src/identity/issue.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import { verifyClient } from '../../src/identity/verify.ts';
import { meshName } from '../../src/model/names.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { VERSIONS, credentialsFor, startMeshServer } from './mesh-server.ts';

const HOUR = 3_600_000;
const now = Date.now();
const mesh = await createTestMesh('default');
const payments = await createTestMesh('payments');
const good = ['spiffe://default/frontend'];
const ecKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

interface Bad {
  readonly what: string;
  readonly client: CertificateAndKey | null;
  readonly code: RefusalCode;
  readonly detail: RegExp;
  readonly nowMs?: number;
}

const bad: Bad[] = [
  { what: 'none at all', client: null, code: 'no-client-certificate', detail: /sent no certificate/ },

  ...untrusted('leads to another CA or to none', /does not lead to the CA of mesh default/, {
    'self-signed': mesh.badClient('self-signed'),
    'of this mesh by the CA of another mesh': payments.issue({ uris: good }),
    'by a rogue CA with the same subject and serial number': issuedBy(rogueCa()),
    'by an intermediate that is not sent': issuedBy(intermediate()),
    'with one flipped bit in its signature': flipped(mesh.client('frontend')),
    'by an intermediate whose CA allows none below it': withChain(intermediate({ pathLength: 0 }), {}),
    'by an intermediate that is no CA': chained(issuedBy(mesh.client('frontend')), mesh.client('frontend')),
    'by an expired intermediate': chained(
      issuedBy(intermediate({ notBefore: now - 2 * HOUR, notAfter: now - HOUR })),
      intermediate({ notBefore: now - 2 * HOUR, notAfter: now - HOUR }),
    ),
    'outside the name constraint of its intermediate': throughIntermediate({ extensions: [onlyHost('elsewhere')] }),
    expired: mesh.badClient('expired'),
    'not valid yet': mesh.badClient('not-yet-valid'),
    'for servers only': mesh.badClient('server-only'),
    'for code signing only': mesh.issue({ eku: ['codeSigning'] }),
    'for any purpose, but not for TLS clients': mesh.issue({ eku: ['any'] }),
    'with a SHA-1 signature': mesh.issue({ digest: 'sha1' }),
    'with a critical extension that nobody knows': mesh.issue({
      extensions: [{ oid: '1.2.3.4.5', critical: true, value: Buffer.from([5, 0]) }],
    }),
    'with an RSA key of 1024 bits': mesh.issue({}, generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey),
  }),

  {
    what: 'expired by our own clock',
    client: mesh.client('frontend'),
    code: 'client-not-trusted',
    detail: /expired 20/,
    nowMs: now + 25 * HOUR,
  },
  {
    what: 'not valid yet by our own clock',
    client: mesh.client('frontend'),
    code: 'client-not-trusted',
    detail: /is valid from/,
    nowMs: now - HOUR,
  },

  ...untrusted('is no leaf', /is a CA certificate/, {
    'a CA certificate that the mesh CA issued': mesh.badClient('ca-as-leaf'),
    'a CA certificate with the key usage of a leaf': mesh.issue({
      ca: { pathLength: 0 },
      keyUsage: ['digitalSignature', 'keyCertSign'],
    }),
  }),
  ...untrusted('is the CA', /is a CA certificate|does not lead/, { 'the CA of the mesh itself': mesh.ca }),
  ...untrusted('may not do TLS', /key usage of the client certificate|INVALID_PURPOSE/, {
    'without digitalSignature': mesh.issue({ keyUsage: ['keyEncipherment', 'keyAgreement'] }),
    'that may sign certificates': mesh.issue({ keyUsage: ['digitalSignature', 'keyCertSign'] }),
    'that may sign revocation lists': mesh.issue({ keyUsage: ['digitalSignature', 'cRLSign'] }),
  }),
  ...untrusted('has no SPIFFE id', /has no spiffe:\/\/ URI name/, {
    'with its identity in the CN': mesh.issue({ subject: [['CN', 'spiffe://default/frontend']], uris: [] }),
    'with its identity in a DNS name': mesh.issue({ uris: [], dns: ['frontend.default.mesh'] }),
    'with a SPIFFE id as a DNS name': mesh.issue({ uris: [], dns: ['spiffe://default/frontend'] }),
    'with its identity in an e-mail address': mesh.issue({ uris: [], emails: ['frontend@default'] }),
    'with an IP address only': mesh.issue({ uris: [], ips: ['127.0.0.1'] }),
    'with no name at all': mesh.issue({ uris: [] }),
    'with kuma:// names only': mesh.badClient('no-spiffe-id'),
    'with an https URI only': mesh.issue({ uris: ['https://default/frontend'] }),
  }),

  ...untrusted('has a character that joins or quotes names', /contains a character that is not allowed/, {
    'with a comma and a second name inside a URI': mesh.issue({ uris: ['http://x/, URI:spiffe://default/admin'] }),
    'the same beside a good id': mesh.issue({ uris: [...good, 'http://x/, URI:spiffe://default/admin'] }),
    'with a SPIFFE id inside a DNS name': mesh.issue({ uris: good, dns: ['x, URI:spiffe://default/admin'] }),
    'with a quote': mesh.issue({ uris: [...good, 'http://x/"spiffe://default/admin"'] }),
    'with a line break': mesh.issue({ uris: [...good, 'http://x/\nURI:spiffe://default/admin'] }),
    'with a NUL in its id': mesh.issue({ uris: ['spiffe://default/frontend\0.evil'] }),
    'with a NUL in a DNS name beside a good id': mesh.issue({ uris: good, dns: ['a\0b'] }),
    'with a space before the scheme': mesh.issue({ uris: [' spiffe://default/frontend'] }),
    'with a byte beyond ASCII': mesh.issue({ uris: ['spiffe://default/fröntend'] }),
  }),

  ...untrusted('has a bad SPIFFE id', /has a bad SPIFFE id/, {
    'in upper case': mesh.issue({ uris: ['SPIFFE://default/frontend'] }),
    'with an upper-case mesh': mesh.issue({ uris: ['spiffe://Default/frontend'] }),
    'with a port': mesh.issue({ uris: ['spiffe://default:443/frontend'] }),
    'with userinfo': mesh.issue({ uris: ['spiffe://a@default/frontend'] }),
    'with a query': mesh.issue({ uris: ['spiffe://default/frontend?x'] }),
    'with a dot segment': mesh.issue({ uris: ['spiffe://default/../admin'] }),
    'with an escape': mesh.issue({ uris: ['spiffe://default/%66rontend'] }),
    'without a path': mesh.issue({ uris: ['spiffe://default'] }),
    'of the CA form beside a good one': mesh.issue({ uris: [...good, 'spiffe://default'] }),
    'of over 2048 bytes': mesh.issue({ uris: [`spiffe://default/${'a'.repeat(2_040)}`] }),
  }),

  ...untrusted('cannot be read', /cannot be read/, {
    'with 1001 names': mesh.issue({ uris: manyUris(1_001) }),
  }),
  ...untrusted('has a doubled extension', /cannot be read|does not lead/, {
    'with two lists of names': mesh.issue({
      uris: good,
      extensions: [{ oid: '2.5.29.17', critical: false, value: Buffer.from('3000', 'hex') }],
    }),
  }),

  ...rows('wrong-mesh', /mesh default/, {
    'of another mesh': payments.client('till'),
    'of another mesh, issued by the CA of this one': mesh.issue({ uris: ['spiffe://payments/till'] }),
    'of both meshes': mesh.issue({ uris: [...good, 'spiffe://payments/till'] }),
    'of a mesh whose name begins with this one': mesh.issue({ uris: ['spiffe://default-evil/frontend'] }),
    'of a mesh whose name begins with this one and a dot': mesh.issue({ uris: ['spiffe://default.evil/frontend'] }),
    'of a mesh whose name ends with this one': mesh.issue({ uris: ['spiffe://evil.default/frontend'] }),
  }),
];

for (const version of VERSIONS) {
  t.test(`${version}: every bad client certificate is refused with its reason`, async (t) => {
    const server = await startMeshServer(await credentialsFor('default', mesh.ca));
    t.teardown(() => server.close());
    for (const { what, client, code, detail, nowMs } of bad) {
      const outcome = await server.meet(
        {
          minVersion: version,
          maxVersion: version,
          // The bad client accepts its own weak key.
          ciphers: 'DEFAULT:@SECLEVEL=0',
          ...(client === null ? {} : client),
        },
        nowMs === undefined ? {} : { nowMs },
      );
      t.match(outcome, { verification: { kind: 'rejected', refusal: { code, detail } }, protocol: version }, `${what}: ${code}`);
    }
  });
}

t.test('our own checks refuse what OpenSSL lets pass', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey;
  const curve = generateKeyPairSync('ec', { namedCurve: 'secp224r1' }).privateKey;
  const ed448 = generateKeyPairSync('ed448').privateKey;
  const cases: readonly (readonly [string, CertificateAndKey, RegExp])[] = [
    ['an expired one', mesh.badClient('expired'), /expired 20/],
    ['one that is not valid yet', mesh.badClient('not-yet-valid'), /valid from 20/],
    ['one for servers', mesh.badClient('server-only'), /extended key usage .* has no clientAuth/],
    ['one for any purpose', mesh.issue({ eku: ['any'] }), /extended key usage .* has no clientAuth/],
    ['a CA', mesh.badClient('ca-as-leaf'), /is a CA certificate/],
    ['a key usage without signatures', mesh.issue({ keyUsage: ['keyAgreement'] }), /no digitalSignature/],
    ['a key usage of a CA', mesh.issue({ keyUsage: ['digitalSignature', 'keyCertSign'] }), /sign certificates/],
    ['RSA of 1024 bits', mesh.issue({}, rsa), /RSA key of 1024 bits \(at least 2048\)/],
    ['EC below P-256', mesh.issue({}, curve), /a key on secp224r1/],
    ['a key type of its own', mesh.issue({}, ed448), /a key of type ed448/],
  ];
  for (const [what, { cert }, detail] of cases) {
    const certificate = new X509Certificate(cert);
    const peer = { certificate, authorized: true, authorizationError: null, nowMs: now };
    t.match(verifyClient(meshName('default'), peer), { kind: 'rejected', refusal: { code: 'client-not-trusted', detail } }, what);
  }
});

t.test('what OpenSSL did not authorise is never verified, whatever the error is called', async (t) => {
  const certificate = new X509Certificate(mesh.client('frontend').cert);
  for (const authorizationError of [null, '', 'X', 'constructor', '__proto__']) {
    const outcome = verifyClient(meshName('default'), { certificate, authorized: false, authorizationError, nowMs: now });
    t.match(
      outcome,
      { kind: 'rejected', refusal: { code: 'client-not-trusted', detail: String } },
      `error ${authorizationError}`,
    );
  }
});

t.test('a rejected client is recorded as far as its certificate could be read', async (t) => {
  const server = await startMeshServer(await credentialsFor('default', mesh.ca));
  t.teardown(() => server.close());
  const outcome = await server.meet({ ...payments.client('till') });
  t.match(outcome, {
    verification: {
      certificate: { spiffeIds: ['spiffe://payments/till'], issuer: 'O=Kuma, OU=Mesh, CN=payments', expiry: /^20\d\d-.*Z$/ },
      refusal: { detail: /the client is of mesh payments, the SNI names mesh default: .*\(UNABLE_TO_GET_ISSUER_CERT_LOCALLY\)/ },
    },
  });
});

t.test('a hello without a server name completes no handshake, and old versions and ciphers complete none', async (t) => {
  const server = await startMeshServer(await credentialsFor('default', mesh.ca));
  t.teardown(() => server.close());
  const client = mesh.client('frontend');
  for (const version of VERSIONS) {
    const noName = await server.meet({ ...client, servername: '', minVersion: version, maxVersion: version });
    t.equal(noName.kind, 'no-handshake', `${version} without a name`);
  }
  const old = { ...client, ciphers: 'DEFAULT:@SECLEVEL=0' };
  t.equal((await server.meet({ ...old, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' })).kind, 'no-handshake', 'TLS 1.1');
  const weak = { ...client, ciphers: 'AES128-SHA:ECDHE-ECDSA-AES128-SHA', maxVersion: 'TLSv1.2' } as const;
  t.equal((await server.meet(weak)).kind, 'no-handshake', 'CBC ciphers and those without forward secrecy');
});

function untrusted(group: string, detail: RegExp, clients: Readonly<Record<string, CertificateAndKey>>): Bad[] {
  return rows('client-not-trusted', detail, clients).map((row) => ({ ...row, what: `${group}: ${row.what}` }));
}

function rows(code: RefusalCode, detail: RegExp, clients: Readonly<Record<string, CertificateAndKey>>): Bad[] {
  return Object.entries(clients).map(([what, client]) => ({ what, client, code, detail }));
}

function rogueCa(): CertificateAndKey {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  return selfSigned({
    key,
    subject: meshCaSubject('default'),
    serial: 0n,
    notBefore: now - HOUR,
    notAfter: now + HOUR,
    ca: { pathLength: null },
    keyUsage: ['keyCertSign', 'cRLSign'],
  });
}

interface IntermediateOptions {
  readonly pathLength?: number;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly extensions?: readonly { oid: string; critical: boolean; value: Uint8Array }[];
  readonly by?: CertificateAndKey;
}

/** Always with the same key, so that a certificate of one of them fits every other. */
function intermediate(options: IntermediateOptions = {}): CertificateAndKey {
  const { pathLength, by = mesh.ca, ...more } = options;
  const cert = issueCertificate({
    caCert: by.cert,
    caKey: by.key,
    publicKey: ecKey,
    subject: [['CN', 'intermediate']],
    notBefore: now - HOUR,
    notAfter: now + HOUR,
    ca: { pathLength: pathLength ?? null },
    keyUsage: ['keyCertSign'],
    ...more,
  });
  return { cert, key: pem(ecKey) };
}

/** A leaf below an intermediate of this kind, which is below another one. */
function withChain(upper: CertificateAndKey, options: IntermediateOptions): CertificateAndKey {
  const lower = intermediate({ ...options, by: upper });
  return chained(issuedBy(lower), lower, upper);
}

function throughIntermediate(options: IntermediateOptions): CertificateAndKey {
  const ca = intermediate(options);
  return chained(issuedBy(ca), ca);
}

function issuedBy(ca: CertificateAndKey): CertificateAndKey {
  return mesh.issue({ uris: good, caCert: ca.cert, caKey: ca.key, notAfter: now + HOUR });
}

function chained(leaf: CertificateAndKey, ...above: readonly CertificateAndKey[]): CertificateAndKey {
  return { cert: leaf.cert + above.map(({ cert }) => cert).join(''), key: leaf.key };
}

/** NameConstraints that allow only URIs of one host. */
function onlyHost(host: string): { oid: string; critical: boolean; value: Uint8Array } {
  const base = Buffer.concat([Buffer.from([0x86, host.length]), Buffer.from(host)]);
  const wrap = (tag: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([tag, body.length]), body]);
  return { oid: '2.5.29.30', critical: true, value: wrap(0x30, wrap(0xa0, wrap(0x30, base))) };
}

function flipped({ cert, key }: CertificateAndKey): CertificateAndKey {
  const der = Buffer.from(new X509Certificate(cert).raw);
  der[der.length - 1]! ^= 1;
  return { cert: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`, key };
}

function manyUris(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `spiffe://default/s${i}`);
}

function pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}
