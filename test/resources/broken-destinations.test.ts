import t from 'tap';
import { forbids } from '../../src/base/problem.ts';
import type { Compiled } from '../../src/model/compiled.ts';
import { decide } from '../../src/routing/decide.ts';
import {
  ALLOW_ALL,
  ca,
  compileTexts,
  EGRESS,
  external,
  lines,
  linesOf,
  MESH,
  snapshotOf,
  withIdentities,
} from './fixtures/compiling.ts';
import { makeCa, makeLeaf } from './fixtures/pki.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const leaf = makeLeaf('leaf');
const stranger = makeLeaf('stranger');

const secret = (name: string, data: string): string => `type: Secret\nmesh: default\nname: ${name}\n${data}\n`;
const data = (text: string): string => `data: ${base64(text)}`;
const es = (tls: string): string => external('es', `networking: {address: "ext.test:443", tls: {enabled: true, ${tls}}}`);
const mes = (more: string, name = 'mes'): string =>
  `type: MeshExternalService\nmesh: default\nname: ${name}\nspec:\n  match: {type: HostnameGenerator, port: 443, protocol: tcp}\n  endpoints: [{address: 10.0.0.9, port: 443}]\n  ${more}\n`;
const verified = (more: string): string => `tls: {enabled: true, verification: {${more}}}`;

/** The fault of one destination, and what its clients are answered. */
const BROKEN: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['a Secret that is not there', [es('caCert: {secret: gone}')], /networking\.tls\.caCert: no Secret "gone"/],
  [
    'a Secret of another mesh',
    [es('caCert: {secret: far}'), secret('far', data(ca.cert)).replace('mesh: default', 'mesh: other')],
    /no Secret "far"/,
  ],
  [
    'a GlobalSecret',
    [es('caCert: {secret: g}'), `type: GlobalSecret\nname: g\n${data(ca.cert)}\n`],
    /there is a GlobalSecret of this name/,
  ],
  [
    'a Secret of Kubernetes that is of another type',
    [
      es('caCert: {secret: k}'),
      `apiVersion: v1\nkind: Secret\nmetadata: {name: k, labels: {kuma.io/mesh: default}}\ntype: kubernetes.io/tls\ndata: {value: ${base64(ca.cert)}}\n`,
    ],
    /no Secret "k"/,
  ],
  ['a Secret without data', [es('caCert: {secret: s}'), secret('s', 'data: ""')], /caCert: holds no certificate/],
  ['a Secret that is no base64', [es('caCert: {secret: s}'), secret('s', 'data: "%%%"')], /the Secret "s" cannot be read/],
  ['a Secret whose data is a list', [es('caCert: {secret: s}'), secret('s', 'data: [a]')], /the Secret "s" cannot be read/],
  [
    'a Secret that holds something else',
    [es('caCert: {secret: s}'), secret('s', data('hello'))],
    /caCert: holds no certificate in PEM form/,
  ],
  [
    'a certificate that is cut',
    [es('caCert: {secret: s}'), secret('s', data('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'))],
    /caCert: certificate 1 of 1 cannot be read/,
  ],
  [
    'a key of another certificate',
    [es('clientCert: {secret: c}, clientKey: {secret: k}'), secret('c', data(leaf.cert)), secret('k', data(stranger.key))],
    /clientKey: is not the key of the certificate/,
  ],
  ['a file that is not there', [es('caCert: {file: /gone.crt}')], /caCert: file \/gone\.crt: no such file/],
  ['inline that is no base64', [es('caCert: {inline: "%%%"}')], /inline must be base64/],
  ['an empty data source', [es('caCert: {secret: ""}')], /data source cannot be empty/],
  ['two data sources in one', [es('caCert: {secret: a, inline: eA==}')], /only one of/],
  ['TLS of a wrong type', [external('es', 'networking: {address: "ext.test:443", tls: yes please}')], /tls: must be a map/],
  ['an address that is none', [external('es', 'networking: {address: "ext.test"}')], /unable to parse address/],
  ['no networking', [external('es', '')], /should have networking/],
  ['a tag that is not valid', [external('es', undefined, ', version: "a b"')], /tag value must consist/],
  ['a label that is not valid', [`${external('es').trimEnd()}\nlabels: {kuma.io/display-name: "A B"}\n`], /invalid characters/],
  [
    'a MeshExternalService: a Secret that is not there',
    [mes(verified('clientCert: {secret: a}, clientKey: {secret: b}'))],
    /clientCert: no Secret "a".* \(and 1 more\)/,
  ],
  [
    'a MeshExternalService: a key without its certificate',
    [mes(verified('clientKey: {inline: eA==}'))],
    /clientCert: must be defined/,
  ],
  ['a MeshExternalService: a mode that there is not', [mes(verified('mode: Sometimes'))], /must be one of/],
  [
    'a MeshExternalService: versions the wrong way round',
    [mes('tls: {enabled: true, version: {min: TLS13, max: TLS12}}')],
    /min version must be lower/,
  ],
  [
    'a MeshExternalService: a name that cannot be in a certificate',
    [mes(verified('serverName: "a b"'))],
    /must be a valid DNS name/,
  ],
  ['a MeshExternalService: an endpoint without a port', [mes('').replace(', port: 443}]', '}]')], /spec\.endpoints\[0\]\.port/],
  ['a MeshExternalService: tls of a wrong type', [mes('tls: []')], /spec\.tls: must be a map/],
];

function folder(...texts: readonly string[]): Compiled {
  return compileTexts([EGRESS, MESH, ALLOW_ALL, external('other', 'networking: {address: "10.0.0.8:443"}'), ...texts], {
    ...withIdentities,
    readFile: (path) =>
      path.startsWith('ids/') || path.includes('/ids/')
        ? { text: path.endsWith('.key') ? ca.key : ca.cert }
        : { error: 'no such file' },
  });
}

const view = { names: new Map(), ownListeners: [], localAddresses: new Set<string>(), allowedResolved: [], turn: 0 } as const;
const client = { mesh: 'default', uris: ['spiffe://default/web'], spiffeIds: ['spiffe://default/web'], expiry: '', issuer: '' };

function outcomes(compiled: Compiled): Readonly<Record<string, string>> {
  const snapshot = snapshotOf(compiled);
  const entries = [...snapshot.routes.values()].map(({ serverName, destination, mesh }) => {
    const made = decide(snapshot, { serverName, client: { ...client, mesh }, viewOf: () => view } as never);
    return [destination, made.kind === 'allowed' ? 'allowed' : `${made.refusal.code} ${made.refusal.detail}`];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

t.test('what is broken for one destination refuses that one, with a reason, and is an error at its place', async (t) => {
  for (const [name, texts, why] of BROKEN) {
    const compiled = folder(...texts);
    const errors = linesOf(compiled, 'error');
    t.ok(errors.length > 0, name);
    t.ok(
      errors.every((line) => /^zone\.yaml:\d+:\d+ /.test(line)),
      `${name}: ${errors.join('\n')}`,
    );
    if (compiled.kind === 'invalid') {
      t.fail(`${name}: ${lines(compiled).join('\n')}`);
      continue;
    }
    const { other, ...rest } = outcomes(compiled);
    t.equal(other, 'allowed', `${name}: the other service is served`);
    const [told = '', ...more] = Object.values(rest);
    t.same(more, []);
    t.match(told, /^misconfigured (?:es|mes): /, name);
    t.match(told, why, name);
    t.ok(
      compiled.problems.some(({ refuses }) => /ExternalService default\/(?:es|mes)/.test(refuses ?? '')),
      `${name}: it says what it refuses`,
    );
  }
});

t.test('where others of the same service can be used, only the endpoint is left out, as a control plane does it', async (t) => {
  const second = external('es2', 'networking: {address: "10.0.0.7:443"}').replace('kuma.io/service: es2', 'kuma.io/service: es');
  const compiled = folder(es('caCert: {secret: gone}'), second);
  t.same(outcomes(compiled), { other: 'allowed', es: 'allowed' });
  t.equal(snapshotOf(compiled).clusters.get('default:es')?.endpoints.length, 1);
  t.equal(linesOf(compiled, 'error').length, 1);
});

t.test('what has no SNI because of its error has no route, and the rest is served', async (t) => {
  for (const broken of [
    external('es').replace('kuma.io/service: es', 'kuma.io/service: ""'),
    external('es').replace('name: es', 'name: "E S"').replace('kuma.io/service: es', 'version: v1'),
    mes('').replace('port: 443, protocol', 'port: 0, protocol'),
    mes('', '""'),
    `type: ZoneIngress\nname: zi\nzone: zone-2\nnetworking: {port: 10001, advertisedAddress: 10.0.0.2}\navailableServices: [{tags: {kuma.io/service: far}, instances: 1, mesh: default}]\n`,
    secret('unused', 'data: "%%%"'),
    secret('"A B"', 'data: eA=='),
    `type: MeshService\nmesh: default\nname: ${'a'.repeat(64)}\nspec: {ports: [{port: 1}]}\n`,
  ]) {
    const compiled = folder(broken);
    t.same(outcomes(compiled), { other: 'allowed' }, broken);
    t.equal(linesOf(compiled, 'error').length > 0, true, broken);
  }
  const ingress = folder(
    `type: ZoneIngress\nname: zi\nzone: zone-2\nnetworking: {port: 10001, advertisedAddress: 10.0.0.2}\navailableServices: [{tags: {kuma.io/service: far}, instances: 1, mesh: default}]\n`,
  );
  const [absent] = ingress.kind === 'compiled' ? [...(ingress.absent?.values() ?? [])] : [];
  t.match(absent, {
    reason: 'invalid',
    resource: 'ZoneIngress zi',
    destination: 'far',
    value: /advertisedPort: has to be defined/,
  });
});

t.test('a policy that names something that is not there restricts and refuses nothing else', async (t) => {
  const to = (kind: string, name: string): string =>
    `to: [{targetRef: {kind: ${kind}, name: ${name}}, default: {connectionLimits: {maxConnections: 1}}}]`;
  const compiled = folder(
    `type: MeshCircuitBreaker\nmesh: default\nname: a\nspec: {targetRef: {kind: Mesh}, ${to('MeshExternalService', 'gone')}}\n`,
    `type: MeshCircuitBreaker\nmesh: default\nname: b\nspec: {targetRef: {kind: Mesh}, ${to('MeshService', 'gone')}}\n`,
    'type: TrafficPermission\nmesh: default\nname: c\nsources: [{match: {kuma.io/service: a}}]\ndestinations: [{match: {kuma.io/service: gone}}]\n',
    'type: TrafficRoute\nmesh: default\nname: d\nsources: [{match: {kuma.io/service: "*"}}]\ndestinations: [{match: {kuma.io/service: "*"}}]\nconf: {destination: {kuma.io/service: "*"}}\n',
  );
  t.same(linesOf(compiled, 'error'), []);
  t.same(outcomes(compiled), { other: 'allowed' });
});

t.test('a mesh whose CA is not there refuses what ends in that mesh, and no other mesh', async (t) => {
  const second = MESH.replace('name: default', 'name: second').replace('builtin', 'builtin');
  const issuing = [secret('default.ca-builtin-cert-ca-1', data(ca.cert)), secret('default.ca-builtin-key-ca-1', data(ca.key))];
  const other = makeCa('other');
  const inSecond = (text: string): string => text.replaceAll('mesh: default', 'mesh: second');
  const far = `type: ZoneIngress\nname: zi\nzone: zone-2\nnetworking: {port: 10001, advertisedAddress: 10.0.0.2, advertisedPort: 10001}\navailableServices: [{tags: {kuma.io/service: far}, instances: 1, mesh: second}]\n`;
  const there = [inSecond(external('es2', 'networking: {address: "10.0.0.7:443"}')), inSecond(ALLOW_ALL), far];
  const here = [EGRESS, MESH, second, ALLOW_ALL, external('es', 'networking: {address: "10.0.0.6:443"}'), ...issuing, ...there];
  for (const [name, texts] of Object.entries({
    'not there': [],
    'one of two is not there': [inSecond(secret('second.ca-builtin-cert-ca-1', data(other.cert)))],
    'a key of another CA': [
      inSecond(secret('second.ca-builtin-cert-ca-1', data(other.cert))),
      inSecond(secret('second.ca-builtin-key-ca-1', data(ca.key))),
    ],
    garbage: [
      inSecond(secret('second.ca-builtin-cert-ca-1', 'data: "%%"')),
      inSecond(secret('second.ca-builtin-key-ca-1', 'data: []')),
    ],
    'no CA': [
      inSecond(secret('second.ca-builtin-cert-ca-1', data(leaf.cert))),
      inSecond(secret('second.ca-builtin-key-ca-1', data(leaf.key))),
    ],
  })) {
    const compiled = compileTexts([...here, ...texts], {});
    const told = outcomes(compiled);
    t.match(
      told,
      { es: 'allowed', far: 'allowed', es2: /^identity-unavailable there is no certificate for mesh second: / },
      `${name}: ${JSON.stringify(told)}`,
    );
    t.ok(
      compiled.problems.some(
        ({ severity, refuses = '' }) => severity === 'error' && /^(?:Mesh second|Secret second\/)/.test(refuses),
      ),
      name,
    );
    t.notOk(forbids(compiled.problems), name);
  }
  const alone = compileTexts([EGRESS, MESH, ALLOW_ALL, external('es')], {});
  t.equal(alone.kind, 'invalid', 'where nothing at all can be served there is no configuration');
});

t.test('what makes the whole unreadable or ambiguous, or may hold a rule, forbids all of it', async (t) => {
  for (const text of [
    'a: [\n',
    'name: nothing\n',
    EGRESS.replace('name: egress', 'name: second'),
    external('other'),
    'type: Mesh\nname: bad\nmtls: {enabledBackend: gone, backends: []}\n',
    'type: TrafficPermission\nmesh: default\nname: p\nsources: []\ndestinations: []\n',
    'type: MeshTrafficPermission\nmesh: default\nname: p\nspec: {from: [{targetRef: {kind: Mesh}, default: {action: Perhaps}}]}\n',
    'type: MeshCircuitBreaker\nmesh: default\nname: p\nspec: {targetRef: {kind: Mesh}}\n',
  ]) {
    const compiled = folder(text);
    t.equal(compiled.kind, 'invalid', text);
    t.ok(forbids(compiled.problems), text);
  }
  t.equal(compileTexts([MESH, ALLOW_ALL, external('es')]).kind, 'invalid');
});
