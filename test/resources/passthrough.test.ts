import t from 'tap';
import type { PassthroughRoute } from '../../src/model/route.ts';
import {
  compileTexts,
  compileZone,
  EGRESS,
  external,
  lines,
  MESH,
  routeOf,
  snapshotOf,
  withIdentities,
} from './fixtures/compiling.ts';

interface Service {
  readonly tags: string;
  readonly instances?: number;
  readonly mesh?: string;
}

function ingress(name: string, address: string, services: readonly Service[], zone = 'zone-2'): string {
  const items = services.map(
    ({ tags, instances = 1, mesh = 'default' }) => `- {tags: {${tags}}, instances: ${instances}, mesh: ${mesh}}\n`,
  );
  const [host, port] = address.split('|');
  return `type: ZoneIngress\nname: ${name}\nzone: ${zone}\nnetworking: {address: 10.9.9.9, port: 10001, advertisedAddress: ${host}, advertisedPort: ${port ?? '10001'}}\navailableServices:\n${items.join('')}`;
}

const BACKEND = { tags: 'kuma.io/service: backend' };
const V1 = { tags: 'kuma.io/service: backend, version: v1' };
const V2 = { tags: 'kuma.io/service: backend, version: v2' };

function route(destinations: string): string {
  return `type: TrafficRoute\nmesh: default\nname: r\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: '*'}}]\nconf: ${destinations}\n`;
}

const SPLIT = route(
  '{split: [{weight: 1, destination: {kuma.io/service: backend, version: v1}}, {weight: 1, destination: {kuma.io/service: backend, version: v2}}]}',
);

function snis(...texts: readonly string[]): readonly string[] {
  return [...snapshotOf(compileZone(...texts)).routes.keys()].sort();
}

t.test(
  'a service of another zone is passed through to the advertised address of its ingress, with the instances as weight',
  async (t) => {
    const compiled = compileZone(
      ingress('zi', '192.0.2.7|20001', [{ ...BACKEND, tags: `${BACKEND.tags}, kuma.io/protocol: http`, instances: 3 }]),
    );
    t.same(lines(compiled), []);
    t.same(routeOf(compiled, 'backend{mesh=default}'), {
      kind: 'passthrough',
      serverName: 'backend{mesh=default}',
      mesh: 'default',
      destination: 'backend',
      cluster: 'default:backend',
      subset: {},
    });
    t.same(snapshotOf(compiled).clusters.get('default:backend'), {
      name: 'default:backend',
      connectTimeoutMs: 5000,
      endpoints: [
        {
          address: { kind: 'ip', ip: '192.0.2.7' },
          port: 20001,
          weight: 3,
          priority: 0,
          zone: 'zone-2',
          tags: { 'kuma.io/protocol': 'http', mesh: 'default' },
          tls: null,
        },
      ],
    });
    t.same(snapshotOf(compiled).meshes.size, 0, 'passing through needs no certificate');
  },
);

t.test('only where the mesh has zoneEgress, and only for ingresses of other zones that can be reached', async (t) => {
  const plain = MESH.replace('routing: {zoneEgress: true}\n', '');
  t.same([...snapshotOf(compileTexts([EGRESS, plain, ingress('zi', '192.0.2.7', [BACKEND])])).routes.keys()], []);
  t.same(snis(ingress('zi', '192.0.2.7', [BACKEND], 'zone-1')), [], 'the ingress of this zone');
  const hidden = ingress('zi', '192.0.2.7', [BACKEND]).replace(', advertisedAddress: 192.0.2.7, advertisedPort: 10001', '');
  const unnamed = ingress('zi', '192.0.2.7', [BACKEND], "''");
  const empty = ingress('zi', '192.0.2.7', []).replace('availableServices:\n', '');
  for (const [text, said] of [
    [hidden, 'zone.yaml:11:1 warning: networking.advertisedAddress: is not set: this ingress cannot be reached from other zones'],
    [
      unnamed,
      'zone.yaml:11:1 warning: zone: is not set: this ingress is not known to be in another zone, so nothing is sent to it',
    ],
    [empty, 'zone.yaml:11:1 warning: availableServices: is empty: nothing is sent to this ingress'],
  ] as const) {
    const compiled = compileZone(text);
    t.same(lines(compiled), [said]);
    t.equal(snapshotOf(compiled).routes.size, 0);
  }
});

t.test(
  'several ingresses are endpoints of one cluster, sorted by name; behind one address the first with services counts',
  async (t) => {
    const compiled = compileZone(
      ingress('c', '192.0.2.3', [{ ...BACKEND, instances: 5 }], 'zone-3'),
      ingress('b', '192.0.2.1', [{ ...BACKEND, instances: 9 }]),
      ingress('a', '192.0.2.1', [{ ...BACKEND, instances: 2 }]),
      ingress('0z', '192.0.2.1', []).replace('availableServices:\n', ''),
    );
    const endpoints = snapshotOf(compiled).clusters.get('default:backend')?.endpoints ?? [];
    t.same(
      endpoints.map(({ address, weight, zone }) => [address.kind === 'ip' && address.ip, weight, zone]),
      [
        ['192.0.2.1', 2, 'zone-2'],
        ['192.0.2.3', 5, 'zone-3'],
      ],
    );
  },
);

t.test('each tag set of a route is an SNI; without a TrafficRoute the plain one is there', async (t) => {
  const zi = ingress('zi', '192.0.2.1', [V1, V2]);
  t.same(snis(zi), ['backend{mesh=default}']);
  t.same(snis(zi, SPLIT), ['backend{mesh=default,version=v1}', 'backend{mesh=default,version=v2}']);
  t.same(snis(zi, route("{destination: {kuma.io/service: '*'}, http: [{destination: {kuma.io/service: '*', env: prod}}]}")), [
    'backend{env=prod,mesh=default}',
    'backend{mesh=default}',
  ]);
  t.same(snis(zi, route('{destination: {kuma.io/service: other}}')), []);
});

t.test('the tags choose endpoints only where they make a difference to the addresses', async (t) => {
  const subset = (...texts: readonly string[]): unknown =>
    (routeOf(compileZone(SPLIT, ...texts), 'backend{mesh=default,version=v1}') as PassthroughRoute).subset;
  t.same(subset(ingress('a', '192.0.2.1', [V1, V2])), {}, 'one ingress has both');
  t.same(subset(ingress('a', '192.0.2.1', [V1]), ingress('b', '192.0.2.2', [V2])), { version: 'v1' });
  t.same(subset(ingress('a', '192.0.2.1', [V2])), { version: 'v1' }, 'nobody has it: nothing may be chosen');
});

t.test('destinations come from MeshHTTPRoute and MeshTCPRoute too', async (t) => {
  const zi = ingress('zi', '192.0.2.1', [V1, V2]);
  for (const type of ['MeshHTTPRoute', 'MeshTCPRoute']) {
    const refs = '[{kind: MeshServiceSubset, name: backend, tags: {version: v1}, weight: 1}]';
    const text = `type: ${type}\nmesh: default\nname: r\nspec: {to: [{targetRef: {kind: MeshService, name: backend}, rules: [{default: {backendRefs: ${refs}}}]}]}\n`;
    t.same(snis(zi, text), ['backend{mesh=default,version=v1}', 'backend{mesh=default}']);
  }
});

t.test('in a mesh that keeps traffic local, endpoints of other zones come second', async (t) => {
  const local = MESH.replace('zoneEgress: true', 'zoneEgress: true, localityAwareLoadBalancing: true');
  const zoned = { tags: 'kuma.io/service: backend, kuma.io/zone: zone-2' };
  const compiled = compileTexts([EGRESS, local, ingress('zi', '192.0.2.1', [zoned])]);
  t.equal(snapshotOf(compiled).clusters.get('default:backend')?.endpoints[0]?.priority, 1);
});

t.test('an external service of another zone goes to that zone, never out from here', async (t) => {
  const es = external('es', undefined, ', kuma.io/zone: zone-2');
  const offered = { tags: 'kuma.io/service: es, kuma.io/zone: zone-2' };
  const compiled = compileZone(es, ingress('zi', '192.0.2.1', [offered]));
  t.equal(routeOf(compiled, 'es{mesh=default}').kind, 'passthrough');
  t.same(lines(compiled), []);
  const alone = compileZone(es);
  t.equal(snapshotOf(alone).routes.size, 0);
  t.same(lines(alone), [
    'zone.yaml:11:1 warning: tags["kuma.io/zone"]: es is reachable from zone "zone-2" only, and no ZoneIngress of another zone offers it: it is not served',
  ]);
});

t.test('services of two meshes with one name do not mix', async (t) => {
  const other = MESH.replace('name: default', 'name: other');
  const zi = ingress('zi', '192.0.2.1', [BACKEND, { ...BACKEND, mesh: 'other', instances: 7 }]);
  const { clusters } = snapshotOf(compileTexts([EGRESS, MESH, other, zi], withIdentities));
  t.same(
    [...clusters.values()].map(({ name, endpoints }) => [name, endpoints.map(({ weight }) => weight)]),
    [
      ['default:backend', [1]],
      ['other:backend', [7]],
    ],
  );
});

t.test('a name of an ingress is resolved to IPv4, or to both where the egress has an IPv6 address', async (t) => {
  const zi = ingress('zi', 'ingress.test', [BACKEND]);
  const address = (egress: string): unknown =>
    snapshotOf(compileTexts([egress, MESH, zi])).clusters.get('default:backend')?.endpoints[0]?.address;
  t.same(address(EGRESS), { kind: 'name', name: 'ingress.test', family: 'v4' });
  t.same(address(EGRESS.replace('10.0.0.1', '"2001:db8::1"')), { kind: 'name', name: 'ingress.test', family: 'any' });
});

t.test('fields that an ingress lacks are reported', async (t) => {
  const text = `type: ZoneIngress\nname: zi\nzone: zone-2\nnetworking: {port: 1, advertisedAddress: 192.0.2.1, advertisedPort: 1}\navailableServices:\n- tags: {kuma.io/service: a}\n- {tags: {kuma.io/service: b}, mesh: default}\n`;
  const compiled = compileZone(text);
  t.same(lines(compiled), [
    'zone.yaml:16:3 warning: availableServices[0].mesh: is not set: no mesh has this service',
    'zone.yaml:17:3 warning: availableServices[1].instances: is not set: taken for 1',
  ]);
  t.equal(snapshotOf(compiled).clusters.get('default:b')?.endpoints[0]?.weight, 1);
});

t.test(
  'a VirtualOutbound adds the tags of its parameters to what clients ask for, of the services that it selects',
  async (t) => {
    const outbound = (match: string, parameters: string): string =>
      `type: VirtualOutbound\nmesh: default\nname: vo\nselectors: [{match: {${match}}}]\nconf: {host: '{{.service}}.mesh', port: '80', parameters: ${parameters}}\n`;
    const zi = ingress('zi', '192.0.2.1', [V1, V2, { tags: 'kuma.io/service: other' }]);
    const byVersion = '[{name: service, tagKey: kuma.io/service}, {name: version}]';
    t.same(snis(zi, outbound(`kuma.io/service: '*', version: '*'`, byVersion)), [
      'backend{mesh=default,version=v1}',
      'backend{mesh=default,version=v2}',
      'backend{mesh=default}',
      'other{mesh=default}',
    ]);
    t.same(snis(zi, outbound('kuma.io/service: nobody', byVersion)), ['backend{mesh=default}', 'other{mesh=default}']);
    t.same(snis(zi, outbound('kuma.io/service: other', byVersion)), [
      'backend{mesh=default}',
      'other{mesh=default,version=}',
      'other{mesh=default}',
    ]);
    t.same(lines(compileZone(outbound('kuma.io/service: a', '[{name: a.b, tagKey: "?"}]').replace(`port: '80'`, `port: ''`))), [
      'zone.yaml:15:41 conf.port: has to be defined',
      'zone.yaml:15:65 conf.parameters[0].name: must consist of alphanumeric characters',
      'zone.yaml:15:78 conf.parameters[0].tagKey: must be a valid tag name',
    ]);
  },
);

t.test(
  'the backends of a MeshGatewayRoute and the listeners of a gateway for other meshes are asked for with their tags',
  async (t) => {
    const zi = ingress('zi', '192.0.2.1', [
      V1,
      { tags: 'kuma.io/service: edge, team: a, port: http' },
      { tags: 'kuma.io/service: db' },
    ]);
    const routes = `type: MeshGatewayRoute
mesh: default
name: gr
selectors: [{match: {kuma.io/service: edge}}]
conf:
  http: {rules: [{matches: [], backends: [{weight: 1, destination: {kuma.io/service: backend, version: v1}}]}]}
  tcp: {rules: [{backends: [{weight: 1, destination: {kuma.io/service: db, role: primary}}]}]}
`;
    const gateway = `type: MeshGateway
mesh: default
name: g
selectors: [{match: {kuma.io/service: edge, team: a}}]
tags: {team: b, tier: web}
conf:
  listeners:
  - {port: 80, protocol: HTTP, crossMesh: true, tags: {port: http}}
  - {port: 81, protocol: HTTP, tags: {port: internal}}
`;
    t.same(snis(zi, routes, gateway), [
      'backend{mesh=default,version=v1}',
      'backend{mesh=default}',
      'db{mesh=default,role=primary}',
      'db{mesh=default}',
      'edge{mesh=default,port=http,team=a,tier=web}',
      'edge{mesh=default}',
    ]);
    t.same(lines(compileZone(zi, routes, gateway)), []);
  },
);

t.test('a MeshHTTPRoute or MeshTCPRoute to a kind that there is not is an error in Kuma’s words, not a route less', async (t) => {
  const route = (type: string, to: string, ref: string): string =>
    `type: ${type}\nmesh: default\nname: r\nspec: {to: [{targetRef: ${to}, rules: [{default: {backendRefs: [${ref}]}}]}]}\n`;
  const good = '{kind: MeshServiceSubset, name: backend, tags: {version: v1}, weight: 1, port: 80}';
  for (const type of ['MeshHTTPRoute', 'MeshTCPRoute']) {
    const problems = (to: string, ref: string): readonly string[] =>
      lines(compileZone(route(type, to, ref))).map((line) => line.replace(/^\S+ /, ''));
    t.same(problems('{kind: MeshService, name: backend}', good), [], type);
    const typo = good.replace('Subset', 'Subst');
    t.same(problems('{kind: MeshService, name: backend}', typo), [
      "spec.to[0].rules[0].default.backendRefs[0].kind: value 'MeshServiceSubst' is not supported",
    ]);
    t.same(problems('{kind: MeshServices, name: backend}', good), [
      "spec.to[0].targetRef.kind: value 'MeshServices' is not supported",
    ]);
    t.same(problems('{}', good), ['spec.to[0].targetRef.kind: must be defined']);
  }
});
