import t from 'tap';
import type { Test } from 'tap';
import { compile } from '../../src/resources/compile.ts';
import { plainDocument } from '../../src/resources/plain-document.ts';
import { fixedP256 } from '../fixed-keys.ts';
import { ALLOW_ALL, EGRESS, MESH, withIdentities } from './fixtures/compiling.ts';

/** One value a line, so that each can be replaced. */
const DOCUMENTS = `${EGRESS}---
${MESH}---
${ALLOW_ALL}---
type: ExternalService
mesh: default
name: es
tags:
  kuma.io/service: es
  kuma.io/protocol: http
  kuma.io/zone: zone-1
  version: v1
networking:
  address: ext.test:443
  tls:
    enabled: true
    serverName: ext.test
    caCert:
      secret: ca
    clientCert:
      file: client.crt
    clientKey:
      file: client.key
---
apiVersion: kuma.io/v1alpha1
kind: MeshExternalService
metadata:
  name: mes
  namespace: kuma-system
  creationTimestamp: "2026-01-01T00:00:00Z"
  labels:
    kuma.io/mesh: default
    kuma.io/display-name: mes
    team: a
spec:
  match:
    type: HostnameGenerator
    port: 443
    protocol: tcp
  endpoints:
  - address: ext.test
    port: 443
  tls:
    enabled: true
    version:
      min: TLS12
    verification:
      mode: Secured
      serverName: ext.test
      subjectAltNames:
      - type: Exact
        value: ext.test
      clientCert:
        secret: cert
      clientKey:
        secret: key
---
type: ZoneIngress
name: zi
zone: zone-2
networking:
  advertisedAddress: 10.0.0.2
  advertisedPort: 10001
availableServices:
- tags:
    kuma.io/service: backend
    version: v1
  instances: 1
  mesh: default
---
type: MeshTrafficPermission
mesh: default
name: mtp
spec:
  targetRef:
    kind: MeshSubset
    tags:
      kuma.io/service: es
  from:
  - targetRef:
      kind: MeshServiceSubset
      name: web
      tags:
        version: v1
    default:
      action: Allow
---
type: MeshHealthCheck
mesh: default
name: mhc
spec:
  targetRef:
    kind: Mesh
  to:
  - targetRef:
      kind: MeshExternalService
      name: mes
    default:
      interval: 10s
      timeout: 2s
      tcp:
        receive:
        - cG9uZw==
---
type: Mesh
name: other
mtls:
  enabledBackend: p
  backends:
  - name: p
    type: provided
    conf:
      cert:
        secret: ca
      key:
        secret: key
`;

const privateKey = fixedP256();
const PEM = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const FORMS: Readonly<Record<string, string>> = {
  pem: PEM,
  base64: Buffer.from(PEM).toString('base64'),
  base64url: Buffer.from(PEM).toString('base64url'),
  der: privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
  jwk: JSON.stringify(privateKey.export({ format: 'jwk' })),
};
const lines = DOCUMENTS.split('\n');

t.test(
  'a key in any field, name or tag is in no problem and in nothing that is served, and the problem has its line',
  async (t) => {
    for (const [form, key] of Object.entries(FORMS)) {
      let tried = 0;
      for (const [i, line] of lines.entries()) {
        const [, before] = /^(\s*(?:- )*(?:[\w./-]+: |(?=\S+$)(?!.*:)))\S.*$/.exec(line) ?? [];
        if (before === undefined || line === '---') continue;
        tried++;
        const text = lines.with(i, `${before}${JSON.stringify(key)}`).join('\n');
        // A wrong apiVersion is reported at the kind; a health check may expect any bytes.
        const isTold = !/apiVersion|cG9uZw/.test(line);
        check(t, { text, key, line: isTold ? i + 1 : null, form });
      }
      t.ok(tried > 80, `${tried} values`);
    }
  },
);

t.test('a key as the name of a field or of a tag is in no problem either', async (t) => {
  for (const [form, key] of Object.entries(FORMS)) {
    for (const [i, line] of lines.entries()) {
      const [, indent, rest] = /^(\s*)[\w./-]+(: .*|:)$/.exec(line) ?? [];
      if (indent === undefined) continue;
      const text = lines.with(i, `${indent}${JSON.stringify(key)}${rest}`).join('\n');
      check(t, { text, key, line: null, form });
    }
  }
});

t.test('a file that cannot be parsed is reported without the line that has the key', async (t) => {
  for (const [form, key] of Object.entries(FORMS)) {
    for (const broken of [
      key,
      `${key}: [`,
      `a: ${key}: b`,
      `{"data": ${key}}`,
      `{"data": "${key}`,
      `data: !${key} x`,
      `data: *${key.replace(/\W/g, '')}`,
      `data: &${key.replace(/\W/g, '')} x\ndata: y`,
      `%${key} x\n---\na: b`,
      `"\\q${key}"`,
      `? {${key}}\n: x`,
      `data: |9x\n  ${key}`,
      `@${key}`,
    ]) {
      check(t, { text: `${DOCUMENTS}---\n${broken}\n`, key, line: null, form: `${form}: ${broken.slice(0, 12)}` });
      t.notOk(
        leaks(
          said(() => plainDocument({ path: 'proxy.yaml', text: broken })),
          key,
        ),
      );
    }
  }
});

function said(work: () => unknown): string {
  try {
    work();
    return '';
  } catch (error) {
    return String(error);
  }
}

function check(
  t: Test,
  { text, key, line, form }: { readonly text: string; readonly key: string; readonly line: number | null; readonly form: string },
): void {
  const compiled = compile([{ path: 'zone.yaml', text }], withIdentities);
  const served =
    compiled.kind === 'compiled' ? [compiled.snapshot, compiled.listener, [...compiled.origins.keys()], compiled.absent] : [];
  const told = JSON.stringify([compiled.problems, served], (_, value: unknown) => (value instanceof Map ? [...value] : value));
  if (leaks(told, key)) t.fail(`${form}, line ${line}: ${told}`);
  if (line !== null && !compiled.problems.some((problem) => problem.line === line))
    t.fail(`${form}: nothing is said of line ${line}`);
}

/** Tells whether the text contains 16 consecutive characters of the secret part of the key. */
function leaks(told: string, key: string): boolean {
  for (let i = 0; i + 16 <= key.length; i += 4) {
    const part = key.slice(i, i + 16);
    if (/^[A-Za-z0-9+/_=-]{16}$/.test(part) && told.includes(part)) return true;
  }
  return false;
}
