/**
 * Tests that `validate` reports, with file, line and field, what `run` would find about
 * certificates and keys.
 */
import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatProblem } from '../../src/base/problem.ts';
import { selfSigned } from '../../src/identity/issue.ts';
import { startEgress } from '../../src/egress.ts';
import type { Egress } from '../../src/egress.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { runCommand as run } from './running.ts';

const DAY_MS = 24 * 3_600_000;
const mesh = await createTestMesh('default');
const partner = await createTestMesh('partner');
const rsa = (modulusLength: number): KeyObject => generateKeyPairSync('rsa', { modulusLength }).privateKey;
const weak = rsa(1_024);
const strong = rsa(2_048);

const EGRESS = `type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: 10002, admin: { port: 9901 } }
`;
const ZONE = `${EGRESS}---
type: ExternalService
mesh: default
name: good
tags: { kuma.io/service: good }
networking: { address: '127.0.0.1:9' }
---
type: TrafficPermission
mesh: default
name: all
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`;

interface Given {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const inline = (name: string, pem: string | undefined): string =>
  pem === undefined ? '' : `    ${name}: { inlineString: ${JSON.stringify(pem)} }\n`;
const external = ({ ca = partner.ca.cert, cert, key }: Given): string => `type: ExternalService
mesh: default
name: partner
tags: { kuma.io/service: partner }
networking:
  address: '127.0.0.1:9'
  tls:
    enabled: true
${inline('caCert', ca)}${inline('clientCert', cert)}${inline('clientKey', key)}`;
const meshExternal = ({ ca = partner.ca.cert, cert, key }: Given, version: string): string => `type: MeshExternalService
mesh: default
name: partner
spec:
  match: { type: HostnameGenerator, port: 9000 }
  endpoints: [{ address: 127.0.0.1, port: 9 }]
  tls:
   enabled: true
   version: ${version}
   verification:
${inline('caCert', ca)}${inline('clientCert', cert)}${inline('clientKey', key)}`;

function folder(files: Readonly<Record<string, string>>): string {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-test-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  return dir;
}

const issued = (key: KeyObject, more: Parameters<TestMesh['issue']>[0] = {}): { cert: string; key: string } =>
  partner.issue({ uris: [], dns: ['egress'], eku: ['clientAuth'], ...more }, key);
const fine = issued(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const expired = { notBefore: Date.now() - 2 * DAY_MS, notAfter: Date.now() - DAY_MS };
const encrypted = strong.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString();
const ended = selfSigned({ ...expired, key: strong, subject: [['CN', 'ended']], ca: { pathLength: null } });

const SERVICES: Readonly<Record<string, { readonly text: string; readonly says: RegExp; readonly warns?: true }>> = {
  'RSA-1024': { text: external(issued(weak)), says: /tls\.clientCert: has an RSA key of 1024 bits/ },
  'RSA-1024, MeshExternalService': {
    text: meshExternal(issued(weak), '{ min: TLSAuto }'),
    says: /verification\.clientCert: has an RSA key of 1024 bits/,
  },
  'RSA-PSS-1024': {
    text: external(issued(generateKeyPairSync('rsa-pss', { modulusLength: 1_024 }).privateKey)),
    says: /tls\.clientCert: has an RSA key of 1024 bits/,
  },
  'a curve of 160 bits': {
    text: external(issued(generateKeyPairSync('ec', { namedCurve: 'secp160r1' }).privateKey)),
    says: /tls\.clientCert: has a key that is too weak/,
  },
  'a key of another certificate': {
    text: external({ ...fine, key: issued(strong).key }),
    says: /tls\.clientKey: is not the key/,
  },
  'an encrypted key': { text: external({ cert: issued(strong).cert, key: encrypted }), says: /tls\.clientKey: .*not encrypted/ },
  'garbage behind the certificate': {
    text: external({ ...fine, cert: `${fine.cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n` }),
    says: /tls\.clientCert: certificate 2 of 2 cannot be read/,
  },
  'a certificate that is cut off behind the first': {
    text: external({ ...fine, cert: `${fine.cert}${fine.cert.slice(0, 200)}\n` }),
    says: /tls\.clientCert: .*(cut off|cannot be)/,
  },
  'a CA that is cut off behind the first': {
    text: external({ ca: `${partner.ca.cert}${partner.ca.cert.slice(0, 200)}\n` }),
    says: /tls\.caCert: .*(cut off|cannot be)/,
  },
  'an expired certificate': { text: external(issued(strong, expired)), says: /tls\.clientCert: expired 20/, warns: true },
  'a certificate of tomorrow': {
    text: external(issued(strong, { notBefore: Date.now() + DAY_MS, notAfter: Date.now() + 2 * DAY_MS })),
    says: /tls\.clientCert: is valid from 20/,
    warns: true,
  },
  'an expired CA': { text: external({ ca: ended.cert }), says: /tls\.caCert: verifies no certificate now: expired/, warns: true },
};

t.test('a client certificate or a CA that cannot be used is reported with its place, and run reports the same', async (t) => {
  for (const [title, { text, says, warns }] of Object.entries(SERVICES)) {
    const dir = folder({ 'mesh.yaml': mesh.resources, 'zone.yaml': ZONE, 'partner.yaml': text });
    const { code, out } = await run('validate', dir);
    t.match(out, new RegExp(`partner\\.yaml:\\d+:\\d+ ${warns === true ? 'warning: ' : ''}.*${says.source}`), title);
    t.equal(code, warns === true ? 0 : 78, title);
    t.notMatch(out, /PRIVATE KEY|MII/, 'nothing of a key is printed');
    const egress = await startEgress({ resources: dir, port: 0, admin: { port: 0 } });
    t.same(
      placed(egress),
      out.split('\n').filter((line) => line.includes('.yaml:')),
      'run says the same',
    );
    t.match(await egress.metrics(), 'zone_egress_faults_total 0\n');
    await egress.close();
  }
});

t.test('weak keys are taken for a service that is spoken to in TLS 1.0, as OpenSSL does', async (t) => {
  const text = meshExternal(issued(weak), '{ min: TLS10, max: TLS11 }');
  const { code, out } = await run('validate', folder({ 'mesh.yaml': mesh.resources, 'zone.yaml': ZONE, 'partner.yaml': text }));
  t.equal(code, 0, out);
});

t.test('a CA of a mesh that cannot issue, or that no client would trust, is reported at its Secret', async (t) => {
  const of = async (key: KeyObject, digest: 'sha256' | 'sha1' = 'sha256', dates = {}): Promise<string> => {
    const ca = selfSigned({
      key,
      digest,
      subject: [['CN', 'ca']],
      uris: ['spiffe://default'],
      notBefore: Date.now() - 5 * DAY_MS,
      notAfter: Date.now() + DAY_MS,
      ca: { pathLength: null },
      keyUsage: ['keyCertSign'],
      ...dates,
    });
    return (await createTestMesh('default', { ca })).resources;
  };
  const pss = generateKeyPairSync('rsa-pss', { modulusLength: 2_048 }).privateKey;
  const viaPss = (await createTestMesh('default', { ca: pssCa(pss) })).resources;
  const cases: Readonly<Record<string, { readonly resources: string; readonly says: RegExp }>> = {
    'RSA-PSS': { resources: viaPss, says: /mesh\.yaml:\d+:\d+ data: has a key of type rsa-pss/ },
    'RSA-1024': { resources: await of(weak), says: /mesh\.yaml:\d+:\d+ data: has an RSA key of 1024 bits/ },
    expired: { resources: await of(strong, 'sha256', expired), says: /mesh\.yaml:\d+:\d+ .*expired/ },
  };
  for (const [title, { resources, says }] of Object.entries(cases)) {
    const dir = folder({ 'mesh.yaml': resources, 'zone.yaml': ZONE });
    const { code, out } = await run('validate', dir);
    t.match(out, says, title);
    t.equal(code, 78, title);
    await t.rejects(startEgress({ resources: dir, port: 0, admin: { port: 0 } }), /problem/, `run refuses ${title} too`);
  }
});

t.test('a folder that is not there ends with 66, and -o json has it all', async (t) => {
  const nowhere = join(folder({}), 'nowhere');
  for (const command of ['validate', 'routes'])
    t.match(await run(command, nowhere), { code: 66, err: /nowhere: there is no such folder/ }, command);
  t.match(await run('run', '--resources', nowhere), { code: 66, err: /nowhere: there is no such folder/ }, 'run');
  const dir = folder({ 'mesh.yaml': mesh.resources, 'zone.yaml': ZONE, 'partner.yaml': external(issued(weak)) });
  const isFile = { code: 66, err: /mesh\.yaml: it is no folder; name the folder that has the resource files/ };
  t.match(await run('validate', join(dir, 'mesh.yaml')), isFile, 'a file');
  t.match(await run('validate', folder({ 'README.md': 'nothing' })), { code: 78, out: /there are no resources at all/ }, 'empty');
  const { code, out } = await run('validate', dir, '-o', 'json');
  t.equal(code, 78);
  t.match(JSON.parse(out), {
    folder: dir,
    errors: 1,
    served: true,
    routes: 2,
    meshes: 1,
    refused: ['ExternalService default/partner'],
    problems: [{ severity: 'error', file: join(dir, 'partner.yaml'), line: Number, field: 'networking.tls.clientCert' }],
  });
  t.match(await run('validate', dir, '-o', 'xml'), { code: 64, err: /allowed are text and json/ });
  mkdirSync(join(dir, 'empty'));
  t.match(await run('validate', join(dir, 'empty'), '-o', 'json'), { code: 78 });
});

/** Returns the problems of files, as `validate` prints them. */
function placed(egress: Egress): string[] {
  return egress
    .problems()
    .map(formatProblem)
    .filter((line) => line.includes('.yaml:'));
}

/** Its signature belongs to another key: the signature of a root is not checked. */
function pssCa(key: KeyObject): { cert: string; key: string } {
  const cert = partner.issue({ ca: { pathLength: null }, uris: ['spiffe://default'], keyUsage: ['keyCertSign'] }, key).cert;
  return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
