// Destinations that are written but not served: the reason, and where it could be changed.
import t from 'tap';
import type { Absent } from '../../src/model/compiled.ts';
import { serverName } from '../../src/model/names.ts';
import { compile } from '../../src/resources/compile.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';

const CA = `mtls: { enabledBackend: ca, backends: [{ name: ca, type: provided, conf: { cert: { inlineString: x }, key: { inlineString: x } } }] }`;

function absent(yaml: string): Record<string, Partial<Absent>> {
  const zone = `type: ZoneEgress\nname: egress\nzone: east\nnetworking: { port: 10002 }\n---\n`;
  const compiled = compile([{ path: 'zone.yaml', text: zone + yaml }], {});
  if (compiled.kind === 'invalid') throw new Error(JSON.stringify(compiled.problems));
  const { absent: found = new Map<string, Absent>() } = compiled;
  for (const name of found.keys()) if (compiled.snapshot.routes.has(serverName(name))) throw new Error(`${name} has a route too`);
  return Object.fromEntries(
    [...found].map(([name, { reason, resource, line, value }]) => [name, { reason, resource, line, value }]),
  );
}

const ingress = (zone: string, more = 'advertisedAddress: 10.0.0.1, advertisedPort: 10001') => `type: ZoneIngress
name: ${zone}
zone: ${zone}
networking: { port: 10001, ${more} }
availableServices: [{ mesh: default, instances: 1, tags: { kuma.io/service: backend } }]
`;

t.test('a mesh without mTLS serves nothing: neither its external services nor what other zones offer', async (t) => {
  const mes = encodeHashSni({ name: 'ledger', mesh: 'default', port: 9000, kind: 'mes' });
  const found = absent(`type: Mesh
name: default
---
${ingress('west')}
---
type: ExternalService
mesh: default
name: api
tags: { kuma.io/service: api }
networking: { address: 10.0.0.9:80 }
---
type: MeshExternalService
mesh: default
name: ledger
spec: { match: { type: HostnameGenerator, port: 9000, protocol: tcp }, endpoints: [{ address: 10.0.0.9, port: 80 }] }
`);
  const why = { reason: 'mesh-without-mtls', resource: 'Mesh default', line: 6, value: '' };
  t.same(found, { 'api{mesh=default}': why, 'backend{mesh=default}': why, [mes]: why });
});

t.test('what other zones offer needs routing.zoneEgress; what only this zone offers needs no egress', async (t) => {
  const off = absent(`type: Mesh\nname: default\n${CA}\n---\n${ingress('west')}`);
  t.match(off, { 'backend{mesh=default}': { reason: 'zone-egress-disabled', resource: 'Mesh default', line: 6 } });
  const on = `type: Mesh\nname: default\n${CA}\nrouting: { zoneEgress: true }\n---\n`;
  t.same(absent(on + ingress('west')), {});
  t.match(absent(on + ingress('east')), {
    'backend{mesh=default}': { reason: 'this-zone-only', resource: 'ZoneIngress east', line: 15 },
  });
  t.same(absent(`${on}${ingress('east')}---\n${ingress('west')}`), {}, 'another zone offers it too');
});

t.test('an ingress without a zone or an address cannot be reached', async (t) => {
  const on = `type: Mesh\nname: default\n${CA}\nrouting: { zoneEgress: true }\n---\n`;
  const unreachable = { reason: 'cannot-be-reached', resource: 'ZoneIngress west', value: 'networking.advertisedAddress' };
  t.match(absent(on + ingress('west', 'address: 10.0.0.1')), { 'backend{mesh=default}': unreachable });
  const homeless = { reason: 'cannot-be-reached', value: 'zone' };
  t.match(absent(on + ingress('west').replace('zone: west\n', '')), { 'backend{mesh=default}': homeless });
});

t.test('external services of other zones, of no TrafficRoute, and without endpoints say so', async (t) => {
  const mesh = `type: Mesh\nname: default\n${CA}\nrouting: { zoneEgress: true }\n---\n`;
  const far = absent(`${mesh}type: ExternalService
mesh: default
name: far
tags: { kuma.io/service: far, kuma.io/zone: north }
networking: { address: 10.0.0.9:80 }
`);
  t.match(far, { 'far{mesh=default}': { reason: 'other-zone', resource: 'ExternalService far', line: 11, value: 'north' } });
  const unrouted = absent(`${mesh}${ingress('west')}---
type: TrafficRoute
mesh: default
name: only-other
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: other } }]
conf: { destination: { kuma.io/service: other } }
`);
  t.match(unrouted, { 'backend{mesh=default}': { reason: 'no-traffic-route', resource: 'ZoneIngress west' } });
  const empty = absent(`${mesh}type: MeshExternalService
mesh: default
name: ledger
spec: { match: { type: HostnameGenerator, port: 9000, protocol: tcp } }
`);
  t.match(Object.values(empty), [{ reason: 'incomplete', resource: 'MeshExternalService ledger', value: 'spec.endpoints' }]);
});
