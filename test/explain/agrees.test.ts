// explain is decide with its reasons: both come to the same end for any configuration and any
// connection.
import t from 'tap';
import fc from 'fast-check';
import { explain } from '../../src/explain/explain.ts';
import { traceText } from '../../src/explain/print.ts';
import type { Endpoint } from '../../src/model/cluster.ts';
import type { EndpointHealth, EndpointView, Resolution } from '../../src/model/endpoint-view.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import type { Permission, PermissionRule, Principal } from '../../src/model/permission.ts';
import type { Route } from '../../src/model/route.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { decide } from '../../src/routing/decide.ts';
import { endpoint, view } from '../routing/endpoints.ts';
import { ask, claims, facts } from './zone.ts';

const SERVICES = ['a', 'b', 'ab'];
const MESHES = ['one', 'two'];
const URIS = [
  ...MESHES.flatMap((mesh) => SERVICES.map((service) => `spiffe://${mesh}/${service}`)),
  'kuma://version/v1',
  'kuma://version/v2',
];

const uri = fc.constantFrom(...URIS);
const principal: fc.Arbitrary<Principal> = fc.letrec<{ principal: Principal }>((tie) => ({
  principal: fc.oneof(
    { maxDepth: 2 },
    fc.constant<Principal>({ kind: 'any' }),
    fc.record({ kind: fc.constant('uri' as const), match: fc.constantFrom('exact', 'prefix'), value: uri }),
    fc.record({ kind: fc.constant('uri-list' as const), match: fc.constantFrom('exact', 'prefix'), value: uri }),
    fc.record({ kind: fc.constant('and' as const), all: fc.array(tie('principal'), { maxLength: 2 }) }),
    fc.record({ kind: fc.constant('or' as const), any: fc.array(tie('principal'), { maxLength: 2 }) }),
    fc.record({ kind: fc.constant('not' as const), not: tie('principal') }),
  ),
})).principal;
const rule: fc.Arbitrary<PermissionRule> = fc.record({
  action: fc.constantFrom('allow', 'deny', 'shadow-deny'),
  by: fc.constantFrom('P', 'Q'),
  principal,
});
const permission: fc.Arbitrary<Permission> = fc.letrec<{ permission: Permission }>((tie) => ({
  permission: fc.oneof(
    { maxDepth: 1 },
    fc.constantFrom<Permission>(
      { kind: 'allow-all', by: 'P' },
      { kind: 'deny-all', by: 'P' },
      { kind: 'unsupported', by: 'P', why: 'of a field' },
    ),
    fc.record({ kind: fc.constant('rules' as const), by: fc.constant('P'), rules: fc.array(rule, { maxLength: 3 }) }),
    fc.record({ kind: fc.constant('all-of' as const), by: fc.constant('P'), all: fc.array(tie('permission'), { maxLength: 2 }) }),
  ),
})).permission;

const anEndpoint: fc.Arbitrary<Endpoint> = fc
  .record({
    where: fc.constantFrom({ ip: '10.0.0.1' }, { ip: '10.0.0.2' }, { name: 'x.test' }, { name: 'y.test' }),
    weight: fc.nat(2),
    priority: fc.nat(1),
    tags: fc.constantFrom<Record<string, string>>({}, { version: 'v1' }, { version: 'v2' }),
  })
  .map(({ where, ...rest }) => endpoint({ ...where, ...rest }));

const aRoute = fc.record({
  service: fc.constantFrom(...SERVICES),
  mesh: fc.constantFrom(...MESHES),
  permission: fc.option(permission),
  subset: fc.constantFrom<Record<string, string>>({}, { version: 'v1' }),
  unsupported: fc.option(fc.constant('a part that is not there'), { freq: 8 }),
  endpoints: fc.option(fc.array(anEndpoint, { maxLength: 3 }), { freq: 12 }),
  failInPanic: fc.boolean(),
});

const snapshot: fc.Arbitrary<Snapshot> = fc.array(aRoute, { maxLength: 6 }).map((list) => {
  const routes = new Map<Route['serverName'], Route>();
  const clusters = new Map<string, Snapshot['clusters'] extends ReadonlyMap<string, infer C> ? C : never>();
  for (const { service, mesh, permission, subset, unsupported, endpoints, failInPanic } of list) {
    const name = serverName(`${service}{mesh=${mesh}}`);
    const cluster = `${mesh}:${service}`;
    const base = { serverName: name, mesh: meshName(mesh), destination: service, cluster };
    const broken = unsupported === null ? {} : { unsupported };
    routes.set(
      name,
      permission === null
        ? { ...base, ...broken, kind: 'passthrough', subset }
        : { ...base, ...broken, kind: 'terminate', permission, protocol: 'tcp' },
    );
    clusters.delete(cluster);
    if (endpoints !== null) clusters.set(cluster, { name: cluster, endpoints, connectTimeoutMs: 5_000, failInPanic });
  }
  return { version: 'v', zone: 'east', routes, clusters, meshes: new Map() };
});

const resolution = fc.constantFrom<Resolution>(
  { kind: 'resolved', addresses: ['10.0.0.7', '10.0.0.8'] },
  { kind: 'resolved', addresses: ['127.0.0.1'] },
  { kind: 'failed', message: 'ENOTFOUND' },
);
const someView: fc.Arbitrary<EndpointView> = fc
  .record({
    names: fc.dictionary(fc.constantFrom('x.test', 'y.test'), resolution),
    health: fc.dictionary(fc.constantFrom('10.0.0.1:80', '10.0.0.7:80'), fc.constantFrom<EndpointHealth>('unhealthy', 'ejected')),
    turn: fc.nat(5),
  })
  .map(({ names, health, turn }) =>
    view({ turn, draw: turn / 6, names: new Map(Object.entries(names)), health: new Map(Object.entries(health)) }),
  );

const SNIS = [...SERVICES, 'c'].flatMap((service) => [...MESHES, 'three'].map((mesh) => `${service}{mesh=${mesh}}`));

t.test('on any configuration and any connection explain ends where decide ends', async (t) => {
  const ends = new Set<string>();
  fc.assert(
    fc.property(
      snapshot,
      fc.constantFrom(null, ...SNIS),
      fc.array(uri, { maxLength: 3 }).filter((uris) => uris.length === 0 || uris.some((each) => each.startsWith('spiffe:'))),
      someView,
      (snapshot, sni, uris, view) => {
        const client = uris.length === 0 ? null : claims(...uris);
        const decision = decide(snapshot, { serverName: sni, client, viewOf: () => view });
        const trace = explain(snapshot, facts(sni, ...uris), () => view);
        traceText(trace);
        ends.add(trace.reason ?? 'allowed');
        if (decision.kind === 'allowed') return trace.outcome === 'allowed' && trace.reason === null && trace.endsAt === null;
        const { code, detail } = decision.refusal;
        const end = trace.steps.find(({ outcome }) => outcome === 'refused');
        return (
          trace.outcome === 'refused' &&
          trace.reason === code &&
          trace.detail === detail &&
          end?.step === trace.endsAt &&
          (trace.advice?.text ?? '') !== ''
        );
      },
    ),
    { numRuns: 20_000 },
  );
  for (const code of ['allowed', 'no-sni', 'no-route', 'no-client-certificate', 'wrong-mesh', 'denied', 'unsupported-policy']) {
    t.ok(ends.has(code), `${code} was among them`);
  }
  for (const code of ['no-endpoint', 'dns-failed', 'forbidden-address']) t.ok(ends.has(code), `${code} was among them`);
});

t.test('a trace has the six steps in order, whatever happens, and is plain JSON', async (t) => {
  for (const trace of [
    ask('backend{mesh=default}'),
    ask('nowhere'),
    ask(null),
    ask('api{mesh=default}', 'spiffe://default/frontend'),
  ]) {
    t.same(
      trace.steps.map(({ step }) => step),
      ['hello', 'route', 'identity', 'permission', 'endpoint', 'tls'],
    );
    t.same(JSON.parse(JSON.stringify(trace)), trace);
  }
});

t.test('a rule decides once: the ones behind it are not reached', async (t) => {
  const trace = ask('api{mesh=default}', 'spiffe://default/frontend');
  const rules = trace.steps.find(({ step }) => step === 'permission')?.candidates ?? [];
  t.same(
    rules.map(({ outcome }) => outcome),
    ['matched', 'not-reached'],
  );
});
