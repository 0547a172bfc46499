import t from 'tap';
import type { Compiled } from '../../src/model/compiled.ts';
import { meshName } from '../../src/model/names.ts';
import {
  ALLOW_ALL,
  ca,
  compileTexts,
  compileZone,
  EGRESS,
  external,
  lines,
  linesOf,
  MESH,
  snapshotOf,
} from './fixtures/compiling.ts';
import { makeCa, makeLeaf } from './fixtures/pki.ts';

const other = makeCa('other');
const leaf = makeLeaf('leaf');
const base64 = (text: string): string => Buffer.from(text).toString('base64');

function secret(name: string, text: string, mesh = 'default'): string {
  return `type: Secret\nmesh: ${mesh}\nname: ${name}\ndata: ${base64(text)}\n`;
}

const CERT = secret('default.ca-builtin-cert-ca-1', ca.cert);
const KEY = secret('default.ca-builtin-key-ca-1', ca.key);
const ES = external('es');

function issuing(...texts: readonly string[]): Compiled {
  return compileTexts([EGRESS, MESH, ALLOW_ALL, ES, ...texts], {});
}

t.test('the CA of a mesh is in its Secrets, which have serial number 0 in Kuma', async (t) => {
  const compiled = issuing(CERT, KEY);
  t.same(lines(compiled), []);
  const mesh = snapshotOf(compiled).meshes.get(meshName('default'));
  if (compiled.kind !== 'compiled' || mesh?.identity.kind !== 'issue') throw new Error('no identity');
  t.equal(compiled.secrets.get(mesh.trust), ca.cert);
  t.equal(compiled.secrets.get(mesh.identity.caCert), ca.cert);
  t.equal(compiled.secrets.get(mesh.identity.caKey), ca.key);
  t.equal(mesh.identity.lifetimeMs, 24 * 3_600_000);
});

t.test('Kubernetes Secrets of the two types of Kuma are read as well', async (t) => {
  const kubernetes = (name: string, data: string): string =>
    `apiVersion: v1\nkind: Secret\nmetadata: {name: ${name}, namespace: kuma-system, labels: {kuma.io/mesh: default}}\ntype: system.kuma.io/secret\n${data}\n`;
  const compiled = issuing(
    kubernetes('default.ca-builtin-cert-ca-1', `data: {value: ${base64(ca.cert)}}`),
    kubernetes('default.ca-builtin-key-ca-1', `stringData: {value: ${JSON.stringify(ca.key)}}`),
    'apiVersion: v1\nkind: Secret\nmetadata: {name: g}\ntype: system.kuma.io/global-secret\ndata: {value: eA==}\n',
  );
  t.same(lines(compiled), []);
});

t.test('the lifetime of certificates is what the mesh says', async (t) => {
  for (const [text, ms] of [
    ['1y', 365 * 24 * 3_600_000],
    ['1w', 7 * 24 * 3_600_000],
    ['2d', 2 * 24 * 3_600_000],
    ['2h', 7_200_000],
    ['30m', 1_800_000],
    ['45s', 45_000],
    ['500ms', 500],
  ] as const) {
    const mesh = MESH.replace('type: builtin', `type: builtin, dpCert: {rotation: {expiration: ${text}}}`);
    const compiled = compileTexts([EGRESS, mesh, ALLOW_ALL, ES, CERT, KEY], {});
    const identity = snapshotOf(compiled).meshes.get(meshName('default'))?.identity;
    t.equal(identity?.kind === 'issue' && identity.lifetimeMs, ms, text);
  }
});

t.test('a provided CA comes from its data sources', async (t) => {
  const provided = (conf: string): Compiled =>
    compileTexts([EGRESS, MESH.replace('type: builtin', `type: provided, conf: ${conf}`), ALLOW_ALL, ES, secret('k', ca.key)], {
      readFile: (path) => (path === '/ca.crt' ? { text: ca.cert } : { error: 'no such file' }),
    });
  t.equal(provided('{cert: {file: /ca.crt}, key: {secret: k}}').kind, 'compiled');
  t.same(lines(provided('{cert: {file: /x}, key: {secret: q}}')), [
    'zone.yaml:8:83 mtls.backends[0].conf.cert: file /x: no such file',
    'zone.yaml:8:100 mtls.backends[0].conf.key: no Secret "q" is among the resources of mesh "default"',
  ]);
  t.same(lines(provided('{cert: {}}')), [
    'zone.yaml:8:41 mtls.backends[0].conf.key: has to be defined',
    'zone.yaml:8:83 mtls.backends[0].conf.cert: data source cannot be empty',
  ]);
});

t.test(
  'without a CA key or a folder the error says both ways, and a mesh that is only passed through needs neither',
  async (t) => {
    const compiled = issuing(CERT);
    t.match(lines(compiled), [
      /^zone.yaml:8:41 mtls.backends\[0\]: no certificate for the egress: mesh "default" has no Secret "default.ca-builtin-key-ca-1"; put .* as Secrets, or .* folder of certificates \(--identities\)$/,
    ]);
    t.match(lines(issuing()), [/has no Secret "default.ca-builtin-cert-ca-1" and "default.ca-builtin-key-ca-1"; /]);
    t.equal(compileTexts([EGRESS, MESH], {}).kind, 'compiled');
    const vault = compileTexts([EGRESS, MESH.replace('type: builtin', 'type: vault, conf: {any: [thing]}'), ALLOW_ALL, ES], {});
    t.same(lines(vault), [
      'zone.yaml:8:41 mtls.backends[0].type: a CA of type "vault" cannot issue here: give a folder of certificates (--identities)',
    ]);
  },
);

t.test('a folder of identities needs no CA key', async (t) => {
  const files: Record<string, string> = {
    'ids/default/ca.crt': ca.cert,
    'ids/default/tls.crt': leaf.cert,
    'ids/default/tls.key': leaf.key,
  };
  const compileWith = (more: Record<string, string | null>): Compiled =>
    compileTexts([EGRESS, MESH, ALLOW_ALL, ES], {
      identities: 'ids',
      readFile(path) {
        const text = { ...files, ...more }[path];
        return text === undefined || text === null ? { error: 'no such file' } : { text };
      },
    });
  const compiled = compileWith({});
  const mesh = snapshotOf(compiled).meshes.get(meshName('default'));
  t.same(mesh?.identity, { kind: 'folder', path: 'ids/default' });
  t.equal(compiled.kind === 'compiled' && mesh !== undefined && compiled.secrets.get(mesh.trust), ca.cert);
  t.equal(compiled.kind === 'compiled' && compiled.secrets.size, 1, 'the key stays in the folder');
  const at = 'zone.yaml:8:41 mtls.backends[0]:';
  t.same(lines(compileWith({ 'ids/default/ca.crt': null })), [`${at} identity of the egress: ids/default/ca.crt: no such file`]);
  t.same(lines(compileWith({ 'ids/default/ca.crt': '' })), [`${at} ids/default/ca.crt holds no certificate in PEM form`]);
  t.same(lines(compileWith({ 'ids/default/tls.key': other.key })), [
    `${at} ids/default/tls.key is not the key of the certificate`,
  ]);
  t.same(lines(compileTexts([EGRESS, MESH, ALLOW_ALL, ES], { identities: 'ids' })).length, 3, 'somebody has to read it');
});

t.test('certificates and keys that are no good are errors where they are written', async (t) => {
  const errors = (cert: string, key: string): readonly string[] =>
    linesOf(issuing(secret('default.ca-builtin-cert-ca-1', cert), secret('default.ca-builtin-key-ca-1', key)), 'error');
  const [cert, key] = ['zone.yaml:26:7 data:', 'zone.yaml:31:7 data:'];
  t.same(errors('', ca.key), [`${cert} cannot be empty`]);
  t.same(errors('CANARY', ca.key), [`${cert} holds no certificate in PEM form`]);
  t.same(errors(`${ca.cert}-----BEGIN CERTIFICATE-----\nCANARY\n-----END CERTIFICATE-----\n`, ca.key), [
    `${cert} certificate 2 of 2 cannot be read`,
  ]);
  t.same(errors(ca.cert, 'CANARY'), [`${key} holds no private key that can be read (PEM, not encrypted)`]);
  t.same(errors(ca.cert, other.key), [`${key} is not the key of the certificate`]);
  t.same(errors(leaf.cert, leaf.key), [
    `${cert} basic constraint 'CA' must be set to 'true' (see X509-SVID: 4.1. Basic Constraints)`,
  ]);
  const coded = issuing(CERT.replace(/data: .*/, 'data: "CANARY!"'), KEY);
  t.same(linesOf(coded, 'error'), [`${cert} must be base64`]);
});

t.test('a data source that leads nowhere is an error at its place, and no content is quoted', async (t) => {
  const source = (text: string, ...more: readonly string[]): readonly string[] =>
    linesOf(
      compileZone(
        ALLOW_ALL,
        external('es', `networking: {address: "ext.test:443", tls: {enabled: true, caCert: ${text}}}`),
        ...more,
      ),
      'error',
    );
  const at = 'zone.yaml:21:68 networking.tls.caCert:';
  t.same(source('{secret: nope}'), [`${at} no Secret "nope" is among the resources of mesh "default"`]);
  t.same(source('{secret: server-ca}', secret('server-ca1', ca.cert)), [
    `${at} no Secret "server-ca" is among the resources of mesh "default", did you mean "server-ca1"?`,
  ]);
  t.same(source('{secret: g}', 'type: GlobalSecret\nname: g\ndata: eA==\n'), [
    `${at} no Secret "g" is among the resources of mesh "default" (there is a GlobalSecret of this name, which no mesh can use)`,
  ]);
  t.same(source('{inline: "CANARY!"}'), [`${at} inline must be base64`]);
  t.same(source('{inlineString: CANARY}'), [`${at} holds no certificate in PEM form`]);
  t.same(source(`{inline: ${base64(ca.cert)}}`), []);
  t.same(source('{secret: mine}', secret('mine', ca.cert)), []);
});

t.test('the snapshot holds hashes, and no secret', async (t) => {
  const compiled = issuing(CERT, KEY);
  const text = JSON.stringify(snapshotOf(compiled), (_, value: unknown) => (value instanceof Map ? [...value] : value));
  t.notMatch(text, /BEGIN|PRIVATE/);
  t.match(text, /"caKey":"[0-9a-f]{64}"/);
});
