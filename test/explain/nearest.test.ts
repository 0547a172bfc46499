// Finds the SNIs that an SNI without a route may have been meant to be.
import t from 'tap';
import { nearestRoutes } from '../../src/explain/nearest.ts';
import { NO_SOURCES } from '../../src/explain/trace.ts';
import type { Trace } from '../../src/explain/trace.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import type { Route } from '../../src/model/route.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import { explain } from '../../src/explain/explain.ts';
import { assumedView } from '../../src/explain/assumed-view.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { cpuMs } from '../cpu-time.ts';
import { ask, compiled, facts, sourcesOf, ZONE } from './zone.ts';

const first = ({ nearest }: Trace) => nearest[0] ?? null;

t.test('a misspelt name is reported with the nearest one and its place', async (t) => {
  const trace = ask('backedn{mesh=default}');
  t.match(first(trace), {
    kind: 'spelling',
    name: 'backend{mesh=default}',
    text: 'one edit away (zone.yaml:23)',
    place: { file: 'zone.yaml', line: 23 },
  });
  t.match(trace.advice, { text: 'send the SNI "backend{mesh=default}" (zone.yaml:23)', place: { line: 23 } });
  t.match(first(ask('backend{mesh=defaults}')), { kind: 'spelling', name: 'backend{mesh=default}' });
  t.match(first(ask('bakedn{mesh=default}')), { kind: 'spelling', text: '2 edits away (zone.yaml:23)' });
  t.equal(first(ask('frontend{mesh=default}')), null, 'three edits are another name');
});

t.test('the case of an SNI does not matter; a dot at its end does', async (t) => {
  t.equal(ask('BackEnd{mesh=Default}').outcome, 'allowed');
  t.match(first(ask('backend{mesh=default}.')), { kind: 'trailing-dot', name: 'backend{mesh=default}' });
});

t.test('the same service in another mesh is named, but is no way out', async (t) => {
  const trace = ask('backend{mesh=payments}');
  t.match(first(trace), { kind: 'other-mesh', name: 'backend{mesh=default}', text: 'backend of mesh default (zone.yaml:23)' });
  t.match(trace.advice?.text, /^have a ZoneIngress of another zone offer kuma.io\/service: backend in mesh payments/);
});

t.test('what is written and not served says what keeps it out, and that is what to change', async (t) => {
  const cases = [
    ['ledger{mesh=payments}', 'set routing.zoneEgress: true in Mesh payments (zone.yaml:11)'],
    ['archive{mesh=legacy}', 'enable mtls in Mesh legacy (zone.yaml:15)'],
    ['shop{mesh=default}', 'call shop directly, or have the ZoneIngress of another zone offer it in mesh default (zone.yaml:32)'],
  ] as const;
  for (const [sni, text] of cases) {
    const trace = ask(sni);
    t.match(first(trace), { kind: 'not-served', name: sni });
    t.equal(trace.advice?.text, text);
  }
  t.match(first(ask('ledgr{mesh=payments}')), {
    kind: 'not-served',
    name: 'ledger{mesh=payments}',
    text: /^one edit from what is not served/,
  });
});

t.test('tags in another order, and other tags, lead to the name with the right ones', async (t) => {
  const config = compiled(`${ZONE}---
type: TrafficRoute
mesh: default
name: canary
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: backend } }]
conf: { destination: { kuma.io/service: backend, version: v1 } }
`);
  const asked = (sni: string) => first(explain(config.snapshot, facts(sni), assumedView, sourcesOf(config)));
  t.match(asked('backend{version=v1,mesh=default}'), { kind: 'tag-order', name: 'backend{mesh=default,version=v1}' });
  t.match(asked('backend{mesh=default,version=canary}'), { kind: 'tags', name: 'backend{mesh=default,version=v1}' });
  t.match(asked('backend{mesh=default}'), { kind: 'tags', name: 'backend{mesh=default,version=v1}' });
});

t.test('another of Kuma’s forms, another port and an address lead to the name that this egress goes by', async (t) => {
  t.match(first(ask('sni.extsvc.default.api.443')), { kind: 'sni-form', name: 'api{mesh=default}' });
  t.match(first(ask(encodeHashSni({ kind: 'ms', name: 'api', mesh: 'default', port: 443 }))), { kind: 'sni-form' });
  t.match(first(ask('api')), { kind: 'sni-form', name: 'api{mesh=default}' });
  t.match(first(ask('api.partner.test')), { kind: 'address', name: 'api{mesh=default}' });
  const mes = { name: 'ledger', mesh: 'default', kind: 'mes' } as const;
  const config = compiled(`${ZONE}---
type: MeshExternalService
mesh: default
name: ledger
spec: { match: { type: HostnameGenerator, port: 9000, protocol: tcp }, endpoints: [{ address: 10.9.0.9, port: 80 }] }
`);
  const asked = (sni: string) => first(explain(config.snapshot, facts(sni), assumedView, sourcesOf(config)));
  const name = encodeHashSni({ ...mes, port: 9000 });
  t.match(asked(encodeHashSni({ ...mes, port: 443 })), { kind: 'sni-form', name, text: /at port 9000/ });
  t.match(asked('sni.extsvc.default.ledger.9000'), { kind: 'sni-form', name });
  t.match(asked(name.replace(/^a..../, 'a0000')), { name });
});

t.test('a client with nearly the id of a rule sees both ids', async (t) => {
  t.match(first(ask('api{mesh=default}', 'spiffe://default/Frontend')), { kind: 'case', name: 'spiffe://default/frontend' });
  t.match(first(ask('api{mesh=default}', 'spiffe://default/fronted')), { kind: 'spelling', name: 'spiffe://default/frontend' });
  t.equal(first(ask('api{mesh=default}', 'spiffe://default/batch')), null);
  const carried = ask('api{mesh=default}', 'spiffe://default/batch').steps[3]?.candidates[0];
  t.match(carried, { field: 'SPIFFE id', wanted: 'spiffe://default/frontend', found: 'spiffe://default/batch' });
});

t.test('at most five are named, and ten thousand routes are looked through in milliseconds', async (t) => {
  const routes = new Map<Route['serverName'], Route>();
  for (let i = 0; i < 10_000; i++) {
    const name = serverName(`service-${String(i).padStart(5, '0')}.some-namespace.svc.8080{mesh=default,version=v1}`);
    const base = { serverName: name, mesh: meshName('default'), destination: `service-${i}`, cluster: `default:service-${i}` };
    routes.set(name, { ...base, kind: 'passthrough', subset: {} });
  }
  const snapshot = { ...EMPTY_SNAPSHOT, routes };
  const asked = `service-x0000.some-namespace.svc.8080{mesh=default,version=v1}`;
  t.equal(nearestRoutes(snapshot, asked, NO_SOURCES).length, 5);
  const took: number[] = [];
  for (const sni of [asked, 'x'.repeat(255), `service-${'0'.repeat(240)}`, 'a.b.c.d.e.f.g.h']) {
    took.push(cpuMs(() => nearestRoutes(snapshot, sni, NO_SOURCES)));
  }
  t.ok(Math.max(...took) < 2_000, `${took.map(Math.round).join(', ')} ms of processor`);
});
