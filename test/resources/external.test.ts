import t from 'tap';
import type { Compiled } from '../../src/model/compiled.ts';
import { cpuMs } from '../cpu-time.ts';
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
  terminated,
} from './fixtures/compiling.ts';

function meshExternal(spec: string, meta = ''): string {
  return `type: MeshExternalService\nmesh: default\nname: mes\n${meta}spec: ${spec}\n`;
}

t.test('an ExternalService is terminated, and goes to the address that it names', async (t) => {
  const compiled = compileZone(
    ALLOW_ALL,
    external('es', 'networking: {address: "ext.test:8443"}', ', kuma.io/protocol: http2, team: x'),
  );
  t.same(lines(compiled), []);
  const route = terminated(compiled, 'es{mesh=default}');
  t.same(
    { ...route, permission: null },
    {
      kind: 'terminate',
      serverName: 'es{mesh=default}',
      mesh: 'default',
      destination: 'es',
      cluster: 'default:es',
      permission: null,
      protocol: 'http2',
      http: { autoHostRewrite: true, answersDenied: false },
    },
  );
  t.same(snapshotOf(compiled).clusters.get('default:es'), {
    name: 'default:es',
    connectTimeoutMs: 5000,
    http: 'http2',
    endpoints: [
      {
        address: { kind: 'name', name: 'ext.test', family: 'v4' },
        port: 8443,
        weight: 1,
        priority: 0,
        zone: '',
        tags: { 'kuma.io/protocol': 'http2', team: 'x', mesh: 'default' },
        tls: null,
      },
    ],
  });
});

t.test('zoneEgress is about other zones: external services are there without it, and a mesh without mTLS has none', async (t) => {
  const without = MESH.replace('routing: {zoneEgress: true}\n', '');
  t.ok(terminated(compileTexts([EGRESS, without, ALLOW_ALL, external('es')]), 'es{mesh=default}'));
  const plain = compileTexts([EGRESS, 'type: Mesh\nname: default\n', external('es')]);
  t.equal(snapshotOf(plain).routes.size, 0);
  t.same(lines(plain), ['zone.yaml:6:1 warning: mtls: is not enabled: its 1 external services are not served']);
});

t.test('the zone tag of this zone, or none, is reachable from here', async (t) => {
  const compiled = compileZone(ALLOW_ALL, external('here', undefined, ', kuma.io/zone: zone-1'), external('any'));
  t.same([...snapshotOf(compiled).routes.keys()].sort(), ['any{mesh=default}', 'here{mesh=default}']);
});

t.test('two ExternalServices with one kuma.io/service are one cluster, and each endpoint keeps its own TLS', async (t) => {
  const twin = (name: string, networking: string): string =>
    external(name, `networking: ${networking}`).replace(/service: \w+}/, 'service: twin}');
  const compiled = compileZone(
    ALLOW_ALL,
    twin('b', '{address: "192.0.2.2:443", tls: {enabled: true}}'),
    twin('a', '{address: "192.0.2.1:80"}'),
  );
  const endpoints = snapshotOf(compiled).clusters.get('default:twin')?.endpoints ?? [];
  t.same(
    endpoints.map(({ port, tls, tags }) => [port, tls?.trust.kind ?? null, tags['kuma.io/external-service-name'] ?? null]),
    [
      [80, null, null],
      [443, 'none', 'b'],
    ],
  );
  t.equal(snapshotOf(compiled).routes.size, 1);
});

t.test('each tag set of a route is an SNI of an external service too, to all of its endpoints', async (t) => {
  const route = `type: TrafficRoute\nmesh: default\nname: r\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: '*'}}]\nconf: {split: [{weight: 1, destination: {kuma.io/service: es, version: v1}}]}\n`;
  const compiled = compileZone(ALLOW_ALL, external('es'), external('other'), route);
  t.same([...snapshotOf(compiled).routes.keys()], ['es{mesh=default,version=v1}']);
  t.equal(terminated(compiled, 'es{mesh=default,version=v1}').cluster, 'default:es');
  t.same(lines(compiled), ['zone.yaml:23:1 warning: no TrafficRoute of mesh "default" leads to other: no client can reach it']);
});

t.test('two services whose SNIs differ only in case cannot be told apart: the first stays', async (t) => {
  const compiled = compileZone(
    ALLOW_ALL,
    external('a', undefined).replace('service: a', 'service: ES'),
    external('b').replace('service: b', 'service: es'),
  );
  t.equal(terminated(compiled, 'es{mesh=default}').destination, 'ES');
  t.same(lines(compiled), [
    'zone.yaml:23:1 warning: es: the SNI "es{mesh=default}" already leads to ES of mesh default; this one is not served',
  ]);
});

t.test('a MeshExternalService has the hashed SNI of its display name', async (t) => {
  const spec =
    '{match: {port: 9090, protocol: http}, endpoints: [{address: 127.0.0.1, port: 8080, priority: 2}, {address: example.com, port: 1234}]}';
  const compiled = compileTexts([
    EGRESS,
    MESH.replace('name: default', 'name: mesh-1'),
    meshExternal(spec, 'labels: {kuma.io/display-name: meshexternalservice-1, team: x}\n').replace(
      'mesh: default',
      'mesh: mesh-1',
    ),
  ]);
  t.same(lines(compiled), []);
  const route = terminated(compiled, 'a45e197ed7825551b.meshexternalservice-1.9090.mesh-1.mes');
  t.equal(route.destination, 'meshexternalservice-1');
  t.equal(route.protocol, 'http');
  t.equal(route.cluster, 'mesh-1_meshexternalservice-1___extsvc_9090');
  const tags = { 'kuma.io/display-name': 'meshexternalservice-1', team: 'x', mesh: 'mesh-1' };
  t.same(snapshotOf(compiled).clusters.get(route.cluster)?.endpoints, [
    { address: { kind: 'ip', ip: '127.0.0.1' }, port: 8080, weight: 1, priority: 2, zone: '', tags, tls: null },
    {
      address: { kind: 'name', name: 'example.com', family: 'v4' },
      port: 1234,
      weight: 1,
      priority: 0,
      zone: '',
      tags,
      tls: null,
    },
  ]);
});

t.test('a MeshExternalService of another zone, without endpoints or with an extension is not served', async (t) => {
  const spec = '{match: {port: 80}, endpoints: [{address: 192.0.2.1, port: 80}]}';
  t.same(snapshotOf(compileZone(meshExternal(spec, 'labels: {kuma.io/zone: zone-2}\n'))).routes.size, 0);
  t.same(snapshotOf(compileZone(meshExternal(spec, 'labels: {kuma.io/zone: zone-1}\n'))).routes.size, 1);
  for (const [text, said] of [
    ['{match: {port: 80}}', 'zone.yaml:11:1 warning: spec.endpoints: is empty: not served'],
    [
      '{match: {port: 80}, extension: {type: Lambda, config: {a: [b]}}}',
      'zone.yaml:14:38 warning: spec.extension: the extension "Lambda" needs a plugin of the control plane: not served',
    ],
  ] as const) {
    const compiled = compileZone(meshExternal(text));
    t.equal(snapshotOf(compiled).routes.size, 0);
    t.same(lines(compiled), [said]);
  }
});

t.test('nothing in a snapshot can be changed', async (t) => {
  const snapshot = snapshotOf(
    compileZone(ALLOW_ALL, external('es', 'networking: {address: "ext.test:443", tls: {enabled: true}}')),
  );
  const cluster = snapshot.clusters.get('default:es');
  for (const part of [
    snapshot,
    cluster,
    cluster?.endpoints,
    cluster?.endpoints[0]?.tls,
    cluster?.endpoints[0]?.tags,
    [...snapshot.meshes.values()][0]?.identity,
  ]) {
    t.ok(part !== undefined && Object.isFrozen(part));
  }
});

t.test('an error of one external service refuses that one; warnings are reported with it', async (t) => {
  const compiled = compileZone(external('es', 'networking: {address: "ext.test:0"}'), external('other'));
  t.equal(linesOf(compiled, 'error').length, 1);
  t.same(
    [...snapshotOf(compiled).clusters.values()].map(({ name, broken, endpoints }) => [name, broken, endpoints.length]),
    [
      ['default:es', 'networking.address: port must be in the range [1, 65535]', 0],
      ['default:other', undefined, 1],
    ],
  );
  t.equal(linesOf(compiled, 'warning').length, 2);
});

t.test('ten thousand services compile in the time of a breath', async (t) => {
  const services = Array.from(
    { length: 10_000 },
    (_, i) => `- tags: {kuma.io/service: s${i}}\n  instances: 2\n  mesh: default\n`,
  );
  const zi = `type: ZoneIngress\nname: zi\nzone: zone-2\nnetworking: {port: 1, advertisedAddress: 192.0.2.1, advertisedPort: 1}\navailableServices:\n${services.join('')}`;
  const ms = cpuMs(() => t.equal(snapshotOf(compileZone(zi)).routes.size, 10_000));
  // Quadratic work takes minutes; a slow machine takes seconds.
  t.ok(ms < 30_000, `${Math.round(ms)} ms`);
});

const mes = (mesh: string, name: string, ip: string, more = ''): string =>
  `type: MeshExternalService\nmesh: ${mesh}\nname: ${name}\n${more}spec: {match: {port: 80}, endpoints: [{address: ${ip}, port: 1}]}\n`;

const addressOf = (compiled: Compiled, sni: string): unknown => {
  const { clusters } = snapshotOf(compiled);
  return clusters.get(terminated(compiled, sni).cluster)?.endpoints[0]?.address;
};

t.test('of two MeshExternalServices with one display name the first is served, with its own endpoints', async (t) => {
  const compiled = compileZone(
    mes('default', 'a', '192.0.2.1', 'labels: {kuma.io/display-name: b}\n'),
    mes('default', 'b', '192.0.2.2'),
  );
  const [sni = ''] = [...snapshotOf(compiled).routes.keys()];
  t.same(addressOf(compiled, sni), { kind: 'ip', ip: '192.0.2.1' });
  t.match(lines(compiled), [
    /^zone\.yaml:\d+:1 warning: b: the SNI .* already leads to b of mesh default; this one is not served$/,
  ]);
});

t.test('a service of one mesh never reaches the endpoints of another whose name Kuma writes alike', async (t) => {
  const other = MESH.replace('name: default', 'name: default_x');
  const compiled = compileTexts([EGRESS, MESH, mes('default', 'x_y', '192.0.2.1'), other, mes('default_x', 'y', '192.0.2.2')]);
  const routes = [...snapshotOf(compiled).routes.values()];
  t.same(
    routes.map(({ mesh, cluster, serverName }) => [mesh, cluster, addressOf(compiled, serverName)]),
    [['default', 'default_x_y___extsvc_80', { kind: 'ip', ip: '192.0.2.1' }]],
  );
  t.ok(
    lines(compiled).some((line) =>
      /default_x_y___extsvc_80 is the name of what is defined at zone\.yaml:\d+ too; this one is not served$/.test(line),
    ),
  );
});
