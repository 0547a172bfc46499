import t from 'tap';
import type { Compiled } from '../../src/model/compiled.ts';
import type { Permission } from '../../src/model/permission.ts';
import { matches } from '../../src/routing/authorise.ts';
import {
  ALLOW_ALL,
  compileTexts,
  compileZone,
  EGRESS,
  external,
  lines,
  MESH,
  terminated,
  withIdentities,
} from './fixtures/compiling.ts';

function permission(compiled: Compiled, service = 'es'): Permission {
  return terminated(compiled, `${service}{mesh=default}`).permission;
}

function traffic(name: string, sources: string, destinations: string, more = ''): string {
  return `type: TrafficPermission\nmesh: default\nname: ${name}\n${more}sources: ${sources}\ndestinations: ${destinations}\n`;
}

const FROM_A = '[{match: {kuma.io/service: a}}]';
const TO_ALL = "[{match: {kuma.io/service: '*'}}]";

const uri = (value: string): object => ({ kind: 'uri', match: 'exact', value });

t.test('TrafficPermission: every client is refused where none selects the service', async (t) => {
  const compiled = compileZone(external('es'), traffic('other', FROM_A, '[{match: {kuma.io/service: other}}]'));
  t.same(permission(compiled), { kind: 'deny-all', by: 'no permission for es' });
  t.same(lines(compiled), [
    'zone.yaml:11:1 warning: no permission selects es: no client may reach it',
    'zone.yaml:17:1 warning: TrafficPermission default/other: selects nothing on this egress: no ExternalService and no ZoneIngress offers other',
  ]);
});

t.test('a permission for an unknown service is reported, with the nearest name', async (t) => {
  const told = (destinations: string): readonly string[] =>
    lines(compileZone(external('payments'), ALLOW_ALL, traffic('p', FROM_A, destinations))).filter((line) =>
      line.includes('/p:'),
    );
  t.match(told('[{match: {kuma.io/service: paymnts}}]'), [/offers paymnts, did you mean "payments"\?$/]);
  t.same(told('[{match: {kuma.io/service: paymnts}}, {match: {kuma.io/service: payments}}]'), []);
  t.same(told('[{match: {team: red}}]'), [], 'it names none');
  const named =
    'spec: {targetRef: {kind: MeshService, name: other}, from: [{targetRef: {kind: Mesh}, default: {action: Allow}}]}';
  const mtp = `type: MeshTrafficPermission\nmesh: default\nname: p\n${named}\n`;
  const mentioned = lines(compileZone(external('payments'), ALLOW_ALL, mtp)).filter((line) => line.includes('/p:'));
  t.match(mentioned, [
    /MeshTrafficPermission default\/p: selects nothing on this egress: no ExternalService and no ZoneIngress offers other$/,
  ]);
});

t.test(
  'TrafficPermission: sources are alternatives, tags of one source must all be there, a wildcard asks for nothing',
  async (t) => {
    const sources =
      "[{match: {kuma.io/service: frontend, team: red}}, {match: {kuma.io/service: '*', team: blue}}, {match: {team: green, zone: '*'}}]";
    const compiled = compileZone(external('es'), traffic('tp', sources, TO_ALL));
    const by = 'TrafficPermission default/tp';
    const allow = (principal: object): object => ({ action: 'allow', by, principal });
    t.same(permission(compiled), {
      kind: 'rules',
      by,
      rules: [
        allow({ kind: 'and', all: [uri('spiffe://default/frontend'), uri('kuma://team/red')] }),
        allow(uri('kuma://team/blue')),
        allow(uri('kuma://team/green')),
      ],
    });
    t.same(permission(compileZone(external('es'), ALLOW_ALL)), { kind: 'allow-all', by: 'TrafficPermission default/allow-all' });
  },
);

t.test('TrafficPermission: exactly one decides, the one with the most tags, then with the most exact values', async (t) => {
  const es = external('es', undefined, ', version: v1');
  const all = traffic('z-all', TO_ALL, TO_ALL);
  const exact = traffic('exact', FROM_A, '[{match: {kuma.io/service: es}}]');
  const two = traffic('two', FROM_A, "[{match: {kuma.io/service: '*', version: '*'}}]");
  const other = traffic('other', FROM_A, '[{match: {kuma.io/service: es, version: v2}}]');
  t.equal(permission(compileZone(es, all)).by, 'TrafficPermission default/z-all');
  t.equal(permission(compileZone(es, all, exact)).by, 'TrafficPermission default/exact');
  t.equal(permission(compileZone(es, two, all, exact)).by, 'TrafficPermission default/two');
  t.equal(
    permission(compileZone(es, exact, other)).by,
    'TrafficPermission default/exact',
    'one that does not match does not count',
  );
});

t.test('TrafficPermission: of equals the one created later decides, else the first by name in whatever order', async (t) => {
  const first = traffic('first', FROM_A, TO_ALL);
  const second = traffic('second', FROM_A, TO_ALL);
  t.equal(permission(compileZone(external('es'), first, second)).by, 'TrafficPermission default/first');
  t.equal(permission(compileZone(external('es'), second, first)).by, 'TrafficPermission default/first');
  const never = traffic('a-never', FROM_A, TO_ALL, 'creationTime: "0001-01-01T00:00:00Z"\n');
  t.equal(permission(compileZone(external('es'), first, never)).by, 'TrafficPermission default/a-never', 'year 1 is no time');
  const dated = traffic('dated', FROM_A, TO_ALL, 'creationTime: "2026-01-02T00:00:00Z"\n');
  const older = traffic('older', FROM_A, TO_ALL, 'creationTime: "2026-01-01T00:00:00Z"\n');
  t.equal(permission(compileZone(external('es'), dated, older)).by, 'TrafficPermission default/dated');
});

t.test('TrafficPermission: with an unknown field it refuses every client', async (t) => {
  const compiled = compileZone(external('es'), traffic('tp', "[{match: {kuma.io/service: '*'}, notMatch: {team: red}}]", TO_ALL));
  t.same(permission(compiled), {
    kind: 'unsupported',
    by: 'TrafficPermission default/tp',
    why: 'it has fields that are not known',
  });
  t.same(lines(compiled), [
    'zone.yaml:17:1 warning: it has fields that are not known, so it cannot be evaluated: no client may reach the services that it selects',
    'zone.yaml:20:43 warning: sources[0].notMatch: unknown field',
  ]);
});

function mesh(name: string, targetRef: string, from: string, more = ''): string {
  return `type: MeshTrafficPermission\nmesh: default\nname: ${name}\n${more}spec:\n  targetRef: ${targetRef}\n  from: ${from}\n`;
}

const item = (target: string, action: string): string => `{targetRef: ${target}, default: {action: ${action}}}`;
const ALLOW = `[${item('{kind: Mesh}', 'Allow')}]`;
const DENY = `[${item('{kind: Mesh}', 'Deny')}]`;

function deciding(compiled: Compiled, service = 'es'): string {
  const found = permission(compiled, service);
  return found.kind === 'rules' ? `${found.rules[0]?.action} ${found.rules[0]?.by}` : `${found.kind} ${found.by}`;
}

t.test('MeshTrafficPermission: several Deny entries beside an Allow each refuse the clients that they name', async (t) => {
  const named = (name: string): string => item(`{kind: MeshService, name: ${name}}`, 'Deny');
  const compiled = compileZone(
    external('es'),
    mesh('m', '{kind: Mesh}', `[${item('{kind: Mesh}', 'Allow')}, ${named('a')}, ${named('b')}]`),
  );
  const told = ['a', 'b', 'c'].map((name) => {
    const rules = permission(compiled);
    const first =
      rules.kind === 'rules' ? rules.rules.find(({ principal }) => matches(principal, [`spiffe://default/${name}`])) : undefined;
    return first?.action;
  });
  t.same(told, ['deny', 'deny', 'allow']);
});

t.test('MeshTrafficPermission: it overrides every TrafficPermission where it selects the service', async (t) => {
  const compiled = compileZone(external('es'), external('other'), ALLOW_ALL, mesh('m', '{kind: MeshService, name: es}', DENY));
  t.same(permission(compiled), {
    kind: 'rules',
    by: 'MeshTrafficPermission default/m',
    rules: [{ action: 'deny', by: 'MeshTrafficPermission default/m', principal: { kind: 'any' } }],
  });
});

t.test('MeshTrafficPermission: as soon as the mesh has one, no TrafficPermission counts, whatever it selects', async (t) => {
  const rules =
    '  targetRef: {kind: Mesh}\n  rules: [{default: {allow: [{spiffeID: {type: Prefix, value: spiffe://default}}]}}]\n';
  for (const policy of [
    mesh('m', '{kind: MeshService, name: other}', ALLOW),
    mesh('m', '{kind: Dataplane}', ALLOW),
    mesh('m', '{kind: MeshSubset, tags: {version: v1}}', ALLOW),
    mesh('m', '{kind: MeshService, labels: {kuma.io/display-name: es}}', ALLOW),
  ]) {
    const compiled = compileZone(external('es', undefined, ', version: v1'), ALLOW_ALL, policy);
    t.same(permission(compiled), { kind: 'deny-all', by: 'no MeshTrafficPermission for es' }, policy);
    t.ok(
      lines(compiled).includes(
        'zone.yaml:11:1 warning: no MeshTrafficPermission selects es, and its TrafficPermission does not count in a mesh that has one: no client may reach it',
      ),
      policy,
    );
  }
  const inRules = compileZone(external('es'), ALLOW_ALL, `type: MeshTrafficPermission\nmesh: default\nname: m\nspec:\n${rules}`);
  t.same(
    permission(inRules),
    { kind: 'rules', by: 'MeshTrafficPermission default/m', rules: [] },
    'it selects, and lets nobody in',
  );
  const shadow = mesh('m', '{kind: Mesh}', DENY, 'labels: {kuma.io/effect: shadow}\n');
  t.equal(permission(compileZone(external('es'), ALLOW_ALL, shadow)).kind, 'allow-all', 'one in shadow is as good as none');
});

t.test('MeshTrafficPermission: of an external service only kuma.io/service is looked at', async (t) => {
  const es = external('es', undefined, ', version: v1');
  const all = mesh('a', '{kind: Mesh}', ALLOW);
  for (const [target, decides] of [
    ['{kind: MeshSubset, tags: {version: v1}}', 'a'],
    ['{kind: MeshSubset, tags: {kuma.io/service: es, version: v1}}', 'a'],
    ['{kind: MeshServiceSubset, name: es, tags: {version: v1}}', 'a'],
    ['{kind: MeshSubset, tags: {kuma.io/service: es}}', 'b'],
    ['{kind: MeshServiceSubset, name: es}', 'b'],
  ] as const) {
    const compiled = compileZone(es, all, mesh('b', target, DENY));
    t.equal(deciding(compiled).split('/')[1], decides, target);
    const warned = lines(compiled).some((line) => line.includes('has no tag but kuma.io/service'));
    t.equal(warned, decides === 'a', `${target}: what selects nothing is told`);
  }
});

t.test('MeshTrafficPermission: the last item that matches a client decides', async (t) => {
  const from = `[${item('{kind: Mesh}', 'Deny')}, ${item('{kind: MeshSubset, tags: {team: red}}', 'Allow')}, ${item('{kind: MeshServiceSubset, name: a, tags: {v: b}}', 'AllowWithShadowDeny')}]`;
  const by = 'MeshTrafficPermission default/m';
  t.same(permission(compileZone(external('es'), mesh('m', '{kind: Mesh}', from))), {
    kind: 'rules',
    by,
    rules: [
      { action: 'shadow-deny', by, principal: { kind: 'and', all: [uri('spiffe://default/a'), uri('kuma://v/b')] } },
      { action: 'allow', by, principal: uri('kuma://team/red') },
      { action: 'deny', by, principal: { kind: 'any' } },
    ],
  });
});

t.test('MeshTrafficPermission: a more specific target overrides a less specific one, whatever the names', async (t) => {
  const es = external('es');
  const targets = [
    '{kind: Mesh}',
    '{kind: MeshSubset, tags: {kuma.io/service: es}}',
    '{kind: MeshService, name: es}',
    '{kind: MeshServiceSubset, name: es, tags: {kuma.io/service: es}}',
  ];
  const policies: string[] = [];
  for (const [i, target] of targets.entries()) {
    policies.push(mesh(`m-${i}`, target, i % 2 === 0 ? DENY : ALLOW));
    t.equal(
      deciding(compileZone(es, ...policies.toReversed())),
      `${i % 2 === 0 ? 'deny' : 'allow'} MeshTrafficPermission default/m-${i}`,
    );
  }
});

t.test('MeshTrafficPermission: of equals origin and role count, then the name that sorts first wins, as in Kuma', async (t) => {
  const [a, b] = [mesh('a', '{kind: Mesh}', DENY), mesh('b', '{kind: Mesh}', ALLOW)];
  t.equal(deciding(compileZone(external('es'), a, b)), 'deny MeshTrafficPermission default/a');
  t.equal(deciding(compileZone(external('es'), b, a)), 'deny MeshTrafficPermission default/a');
  const displayed = mesh('b', '{kind: Mesh}', ALLOW, 'labels: {kuma.io/display-name: "0"}\n');
  t.equal(deciding(compileZone(external('es'), a, displayed)), 'allow MeshTrafficPermission default/b');
  const ofZone = mesh('b', '{kind: Mesh}', ALLOW, 'labels: {kuma.io/origin: zone}\n');
  t.equal(deciding(compileZone(external('es'), a, ofZone)), 'allow MeshTrafficPermission default/b');
  const consumer = mesh('b', '{kind: Mesh}', ALLOW, 'labels: {kuma.io/policy-role: consumer}\n');
  t.equal(deciding(compileZone(external('es'), a, consumer)), 'allow MeshTrafficPermission default/b');
});

t.test('MeshTrafficPermission: what does not select the service does not count', async (t) => {
  for (const target of [
    '{kind: MeshService, name: other}',
    '{kind: MeshSubset, tags: {version: v9}}',
    '{kind: MeshServiceSubset, name: es, tags: {version: v9}}',
  ]) {
    const compiled = compileZone(external('es'), mesh('a', '{kind: Mesh}', ALLOW), mesh('m', target, DENY));
    t.equal(deciding(compiled), 'allow MeshTrafficPermission default/a', target);
  }
  const open = mesh('m', '{kind: Mesh}', DENY).replace('  targetRef: {kind: Mesh}\n', '');
  t.equal(permission(compileZone(external('es'), ALLOW_ALL, open)).kind, 'rules', 'no target is the whole mesh');
});

t.test('MeshTrafficPermission: a policy that admits no client here is reported', async (t) => {
  const shadow = mesh('m', '{kind: Mesh}', DENY, 'labels: {kuma.io/effect: shadow}\n');
  const dataplane = mesh('m', '{kind: Dataplane}', DENY);
  const rules =
    'type: MeshTrafficPermission\nmesh: default\nname: m\nspec: {rules: [{default: {deny: [{spiffeID: {type: Prefix, value: spiffe://default}}]}}]}\n';
  const also = 'but as long as it is there, no TrafficPermission of the mesh counts';
  for (const [policy, said] of [
    [shadow, 'zone.yaml:23:1 warning: labels["kuma.io/effect"]: is shadow: this policy is not applied'],
    [dataplane, `zone.yaml:27:14 warning: spec.targetRef: a policy for Dataplanes selects nothing on a zone egress, ${also}`],
    [rules, `zone.yaml:23:1 warning: spec.rules: the rules form lets no client in on a zone egress: use from; ${also}`],
  ] as const) {
    const told = lines(compileZone(external('es'), ALLOW_ALL, policy));
    t.ok(told.includes(said), told.join('\n'));
  }
});

t.test('MeshTrafficPermission: a rule that cannot be evaluated refuses every client, and is reported once', async (t) => {
  const unknown = mesh('m', '{kind: Mesh}', `[{targetRef: {kind: Mesh}, default: {action: Allow, unless: [x]}}]`);
  const labels = mesh('m', '{kind: Mesh}', `[{targetRef: {kind: MeshService, labels: {a: b}}, default: {action: Deny}}]`);
  const star = mesh(
    'm',
    '{kind: Mesh}',
    `[{targetRef: {kind: MeshServiceSubset, name: a, tags: {v: '*'}}, default: {action: Deny}}]`,
  );
  for (const [policy, why] of [
    [unknown, 'it has fields that are not known'],
    [labels, 'spec.from[0].targetRef selects clients by labels'],
    [star, 'spec.from[0].targetRef selects clients by a tag with the value "*"'],
  ] as const) {
    const compiled = compileZone(external('es'), external('other'), ALLOW_ALL, policy);
    t.same(permission(compiled), { kind: 'unsupported', by: 'MeshTrafficPermission default/m', why });
    t.equal(permission(compiled, 'other').kind, 'unsupported');
    const told = lines(compiled).filter((line) => line.includes('cannot be evaluated'));
    t.same(told, [`zone.yaml:29:1 warning: ${why}, so it cannot be evaluated: no client may reach the services that it selects`]);
  }
});

t.test('a policy of another mesh changes nothing', async (t) => {
  const other = mesh('m', '{kind: Mesh}', DENY).replace('mesh: default', 'mesh: other');
  const compiled = compileTexts(
    [EGRESS, MESH, MESH.replace('name: default', 'name: other'), external('es'), ALLOW_ALL, other],
    withIdentities,
  );
  t.equal(permission(compiled).kind, 'allow-all');
});

t.test('MeshExternalServices allow every client or none, and a policy that is not applied to them is reported', async (t) => {
  const service =
    'type: MeshExternalService\nmesh: default\nname: mes\nspec:\n  match: {port: 80}\n  endpoints: [{address: 192.0.2.1, port: 80}]\n';
  const find = (compiled: Compiled): Permission | undefined => {
    const route =
      compiled.kind === 'compiled'
        ? [...compiled.snapshot.routes.values()].find(({ destination }) => destination === 'mes')
        : undefined;
    return route?.kind === 'terminate' ? route.permission : undefined;
  };
  t.same(find(compileZone(service)), { kind: 'allow-all', by: 'MeshExternalService default' });
  const forbidden = MESH.replace('zoneEgress: true', 'defaultForbidMeshExternalServiceAccess: true');
  t.same(find(compileTexts([EGRESS, forbidden, service])), {
    kind: 'deny-all',
    by: 'Mesh default routing.defaultForbidMeshExternalServiceAccess',
  });
  const compiled = compileZone(service, mesh('m', '{kind: Mesh}', DENY));
  t.equal(find(compiled)?.kind, 'allow-all');
  t.same(lines(compiled), [
    'zone.yaml:6:1 warning: routing.defaultForbidMeshExternalServiceAccess: is not set: every client may reach the MeshExternalServices; on a zone egress no MeshTrafficPermission applies to them',
  ]);
});

t.test('where a permission was written is kept beside the snapshot', async (t) => {
  const compiled = compileZone(external('es'), ALLOW_ALL);
  t.same(compiled.kind === 'compiled' && compiled.origins.get('permission:TrafficPermission default/allow-all'), {
    file: 'zone.yaml',
    line: 17,
    column: 1,
  });
});

t.test('TrafficPermission: of two ExternalServices with one service the last by name says which decides, for both', async (t) => {
  const twin = (name: string, team: string): string =>
    `type: ExternalService\nmesh: default\nname: ${name}\ntags: {kuma.io/service: es, team: ${team}}\nnetworking: {address: "ext.test:443"}\n`;
  const of = (team: string): string =>
    `type: TrafficPermission\nmesh: default\nname: for-${team}\nsources: [{match: {kuma.io/service: ${team}}}]\ndestinations: [{match: {kuma.io/service: es, team: ${team}}}]\n`;
  const compiled = compileZone(twin('b', 'red'), twin('a', 'blue'), of('red'), of('blue'));
  t.equal(permission(compiled).by, 'TrafficPermission default/for-red');
  t.ok(lines(compiled).some((line) => line.endsWith('TrafficPermission default/for-red decides for all')));
});
