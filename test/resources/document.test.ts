import t from 'tap';
import {
  ALLOW_ALL,
  compileTexts,
  compileZone,
  EGRESS,
  external,
  lines,
  linesOf,
  MESH,
  snapshotOf,
  withIdentities,
} from './fixtures/compiling.ts';

const KUBERNETES = `apiVersion: v1
kind: List
items:
- apiVersion: kuma.io/v1alpha1
  kind: Mesh
  metadata: {name: default}
  spec:
    mtls: {enabledBackend: ca-1, backends: [{name: ca-1, type: builtin}]}
    routing: {zoneEgress: true}
- apiVersion: kuma.io/v1alpha1
  kind: ZoneEgress
  metadata: {name: egress, namespace: kuma-system}
  spec: {zone: zone-1, networking: {address: 10.0.0.1, port: 10002}}
---
apiVersion: kuma.io/v1alpha1
kind: ExternalService
mesh: default
metadata: {name: es, annotations: {anything: goes}}
spec:
  tags: {kuma.io/service: es}
  networking: {address: "ext.test:443"}
---
apiVersion: kuma.io/v1alpha1
kind: TrafficPermission
mesh: default
metadata: {name: allow-all}
spec:
  sources: [{match: {kuma.io/service: '*'}}]
  destinations: [{match: {kuma.io/service: '*'}}]
---
apiVersion: kuma.io/v1alpha1
kind: MeshExternalService
metadata: {name: mes, namespace: kuma-system, labels: {kuma.io/mesh: default}}
spec:
  match: {type: HostnameGenerator, port: 9000, protocol: tcp}
  endpoints: [{address: 192.0.2.1, port: 9000}]
`;

t.test('Kubernetes form gives what Universal form gives', async (t) => {
  const universal = compileZone(
    external('es'),
    ALLOW_ALL,
    `type: MeshExternalService
mesh: default
name: mes
spec:
  match: {type: HostnameGenerator, port: 9000, protocol: tcp}
  endpoints: [{address: 192.0.2.1, port: 9000}]
`,
  );
  const kubernetes = compileTexts([KUBERNETES]);
  t.same(lines(kubernetes), []);
  t.same([...snapshotOf(kubernetes).routes.keys()], [...snapshotOf(universal).routes.keys()]);
  t.same(snapshotOf(kubernetes).clusters.get('default:es'), snapshotOf(universal).clusters.get('default:es'));
  const cluster = snapshotOf(kubernetes).clusters.get('default_mes_kuma-system__extsvc_9000');
  t.same(cluster?.endpoints[0]?.tags, { 'kuma.io/mesh': 'default', mesh: 'default' });
  t.equal(kubernetes.kind === 'compiled' && kubernetes.listener.name, 'egress.kuma-system');
});

t.test('fields of Kubernetes form have the paths that Kuma gives them', async (t) => {
  const compiled = compileTexts([
    KUBERNETES.replace('"ext.test:443"', '"ext.test:0"').replace('port: 9000, protocol', 'port: 0, protocol'),
  ]);
  t.same(linesOf(compiled, 'error'), [
    'zone.yaml:21:25 networking.address: port must be in the range [1, 65535]',
    'zone.yaml:35:42 spec.match.port: port must be a valid (1-65535)',
  ]);
});

t.test('names and meshes follow the rules of Kuma', async (t) => {
  const named = (name: string, mesh = 'default'): readonly string[] =>
    lines(compileZone(ALLOW_ALL, external('es').replace('name: es', `name: ${name}`).replace('mesh: default', `mesh: ${mesh}`)));
  const invalid =
    "invalid characters. A lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
  t.same(named('a.b-c'), []);
  t.same(named('Upper'), [`zone.yaml:19:7 name: ${invalid}`]);
  t.same(named('-a'), [`zone.yaml:19:7 warning: name: ${invalid}`]);
  t.same(named('old_name'), [`zone.yaml:19:7 warning: name: ${invalid}`]);
  t.same(named("''"), ['zone.yaml:19:7 name: cannot be empty']);
  t.same(named('a'.repeat(254)), ['zone.yaml:19:7 name: value length must less or equal 253']);
  t.same(named('12'), ['zone.yaml:19:7 name: must be a string: put it in quotes']);
  t.same(
    named('es', 'DEFAULT')[0],
    "zone.yaml:18:7 mesh: invalid characters. Valid characters are numbers, lowercase latin letters and '-', '_', '.' symbols.",
  );
  t.same(named('es', "''"), ['zone.yaml:18:7 mesh: cannot be empty']);
});

t.test('an unknown mesh is reported, with the nearest name', async (t) => {
  const compiled = compileZone(external('es').replace('mesh: default', 'mesh: defualt'));
  t.same(lines(compiled), [
    'zone.yaml:12:7 warning: mesh: no Mesh "defualt" is among the resources, did you mean "default"?; this ExternalService has no effect',
  ]);
});

t.test('the same resource twice is an error that names the first', async (t) => {
  t.same(linesOf(compileZone(ALLOW_ALL, external('es'), external('es')), 'error'), [
    'zone.yaml:25:7 name: ExternalService "es" is already defined at zone.yaml:17',
  ]);
});

t.test('kinds that are not used leave one warning each', async (t) => {
  const compiled = compileTexts([
    EGRESS,
    MESH,
    'type: MeshRetry\nmesh: default\nname: a\nspec: {anything: [goes]}\n',
    'type: Dataplane\nmesh: default\nname: a\n',
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n',
    'apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: Opaque\n',
    'type: ZoneEgres\nname: b\n',
  ]);
  t.same(lines(compiled), [
    'zone.yaml:11:7 warning: type: MeshRetry: not applied by Kuma on a zone egress',
    'zone.yaml:16:7 warning: type: Dataplane: has no effect on a zone egress',
    'zone.yaml:21:7 warning: kind: Deployment of apps/v1 is no resource of Kuma: not used',
    'zone.yaml:27:7 warning: type: a Secret of this type is no secret of Kuma (system.kuma.io/secret): not used',
    'zone.yaml:29:7 warning: type: unknown kind "ZoneEgres", did you mean "ZoneEgress"?; not used',
  ]);
  t.equal(compiled.kind, 'compiled');
});

t.test('unknown fields are found wherever they are, and strict makes them errors', async (t) => {
  const texts = [
    EGRESS.replace('port: 10002', 'prot: 10002, port: 10002'),
    MESH.replace('zoneEgress: true', 'zoneEgress: true, zoneEgres: false'),
    external('es', 'networking: {address: "ext.test:443", tls: {enabled: false, servername: x}}'),
    ALLOW_ALL,
    'type: ZoneEgres\nname: b\n',
  ];
  const told = [
    ['zone.yaml:4:33', 'networking.prot: unknown field, did you mean "port"?'],
    ['zone.yaml:9:29', 'routing.zoneEgres: unknown field, did you mean "zoneEgress"?'],
    ['zone.yaml:15:61', 'networking.tls.servername: unknown field, did you mean "serverName"?'],
    ['zone.yaml:23:7', 'type: unknown kind "ZoneEgres", did you mean "ZoneEgress"?; not used'],
  ];
  const lenient = compileTexts(texts);
  t.same(
    lines(lenient),
    told.map(([place, message]) => `${place} warning: ${message}`),
  );
  t.equal(lenient.kind, 'compiled');
  const strict = compileTexts(texts, { ...withIdentities, strict: true });
  t.same(
    lines(strict),
    told.map(([place, message]) => `${place} ${message}`),
  );
  t.equal(strict.kind, 'invalid');
});

t.test('what is no resource at all says so', async (t) => {
  t.same(lines(compileTexts([EGRESS, '- 1\n'])), [
    'zone.yaml:6:1 a resource must be a map with `type` (Universal) or `kind` (Kubernetes)',
  ]);
  t.same(lines(compileTexts([EGRESS, 'name: a\n'])), [
    'zone.yaml:6:1 type: has to be defined: a resource has `type` (Universal) or `apiVersion` and `kind` (Kubernetes)',
  ]);
});

t.test('all problems come at once, sorted by file and line', async (t) => {
  const compiled = compileTexts([EGRESS.replace('10002', '0'), MESH, external('es', 'networking: {}'), 'a: 1\na: 2\n']);
  t.equal(compiled.kind, 'invalid');
  const places = compiled.problems.map(({ line }) => line);
  t.same(
    places,
    places.toSorted((a, b) => a - b),
  );
  t.same(linesOf(compiled, 'error').length, 3);
});

t.test('a mesh at a place that Kuma ignores is reported, with the mesh that counts', async (t) => {
  const permission = (kind: string, where: string, spec: string): string =>
    `apiVersion: kuma.io/v1alpha1\nkind: ${kind}\n${where}spec: ${spec}\n`;
  const newer = '{from: [{targetRef: {kind: Mesh}, default: {action: Deny}}]}';
  const match = "[{match: {kuma.io/service: '*'}}]";
  const older = `{sources: ${match}, destinations: ${match}}`;
  const inLabel = 'metadata: {name: p, labels: {kuma.io/mesh: other}}\n';
  const beside = 'mesh: other\nmetadata: {name: p, namespace: kuma-system}\n';
  const warnings = (...texts: readonly string[]): readonly string[] =>
    linesOf(compileZone(...texts), 'warning').filter((line) => line.includes('does not count'));
  t.same(warnings(permission('MeshTrafficPermission', beside, newer)), [
    'zone.yaml:13:7 warning: mesh: does not count: the label kuma.io/mesh says the mesh of a MeshTrafficPermission, and this one is in mesh "default"',
  ]);
  t.same(warnings(permission('TrafficPermission', inLabel, older)), [
    'zone.yaml:13:29 warning: metadata.labels["kuma.io/mesh"]: does not count: mesh, beside metadata, says the mesh of a TrafficPermission, and this one is in mesh "default"',
  ]);
  t.same(warnings(permission('MeshTrafficPermission', inLabel, newer)), []);
  t.same(warnings(permission('TrafficPermission', beside, older)), []);
});

t.test('a display name is what a name may be: it goes into SNI and is shown', async (t) => {
  for (const name of ['a\\e[31m', 'a\\nb', 'gr\u00fc\u00df', 'a{mesh=default}', 'a:b', 'A']) {
    const text = `type: MeshExternalService\nmesh: default\nname: m\nlabels: {kuma.io/display-name: "${name}"}\nspec: {match: {port: 80}}\n`;
    t.match(linesOf(compileZone(text), 'error'), [/ labels\["kuma.io\/display-name"\]: invalid characters/], name);
  }
});

t.test('lists as kumactl and the API print them are taken apart, in YAML and in JSON', async (t) => {
  const item = (name: string): object => ({
    type: 'ExternalService',
    mesh: 'default',
    name,
    creationTime: '0001-01-01T00:00:00Z',
    modificationTime: '0001-01-01T00:00:00Z',
    tags: { 'kuma.io/service': name },
    networking: { address: '10.0.0.9:443' },
  });
  const json = JSON.stringify({ total: 2, items: [item('one'), item('two')], next: null }, null, 2);
  const yaml =
    'items:\n- type: ExternalService\n  mesh: default\n  name: three\n  tags:\n    kuma.io/service: three\n  networking:\n    address: 10.0.0.9:443\nnext: null\ntotal: 1\n';
  const empty = 'items: []\nnext: null\ntotal: 0\n---\nitems: null\ntotal: 0\n';
  const compiled = compileZone(ALLOW_ALL, `${json}\n`, yaml, empty);
  t.same(lines(compiled), []);
  t.same([...snapshotOf(compiled).routes.keys()].sort(), ['one{mesh=default}', 'three{mesh=default}', 'two{mesh=default}']);
  t.same(linesOf(compileZone('items:\n- name: x\n'), 'error'), [
    'zone.yaml:12:3 type: has to be defined: a resource has `type` (Universal) or `apiVersion` and `kind` (Kubernetes)',
  ]);
});

t.test('apiVersion beside type is Universal form, as in the documents of Kuma', async (t) => {
  const compiled = compileZone(
    'apiVersion: kuma.io/v1alpha1\ntype: MeshExternalService\nname: mes\nmesh: default\nspec:\n  match: { type: HostnameGenerator, port: 4243, protocol: tcp }\n  endpoints: [{ address: tcp.test, port: 4243 }]\n',
  );
  t.same(linesOf(compiled, 'error'), []);
  t.equal(snapshotOf(compiled).routes.size, 1);
});
