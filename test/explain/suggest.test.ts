// Suggestions from records of zones that chance makes: each is compiled, and judged by `decide` for
// every client and destination, not by the code that proves suggestions.
import fc from 'fast-check';
import t from 'tap';
import { assumedView } from '../../src/explain/assumed-view.ts';
import { suggestionText } from '../../src/explain/print-suggestion.ts';
import { diffConfigurations } from '../../src/explain/diff.ts';
import { isProved, proveSuggestion } from '../../src/explain/prove-suggestion.ts';
import { suggest } from '../../src/explain/suggest.ts';
import type { Suggestion, SuggestOptions } from '../../src/explain/suggest.ts';
import { resourceOf } from '../../src/explain/suggestion-resources.ts';
import type { ResourceForm } from '../../src/explain/suggestion-resources.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { compile } from '../../src/resources/compile.ts';
import type { CompileOptions } from '../../src/resources/compile.ts';
import { formatYaml } from '../../src/resources/format-yaml.ts';
import { decide } from '../../src/routing/decide.ts';
import { requestRecord, sessionRecord } from '../observe/record.ts';
import { ca } from '../resources/fixtures/compiling.ts';
import {
  authorityYaml,
  compileScoped,
  dataplaneYaml,
  identityYaml,
  permissionYaml,
  serviceYaml,
} from '../resources/fixtures/scoped.ts';
import { claims, compiled, ZONE } from './zone.ts';

const DEFAULTS: SuggestOptions = { includeRefused: false, kind: null };

const [BASE = ''] = ZONE.split('---\ntype: ExternalService');
const SERVICES = ['s0', 's1', 's2'] as const;
const external = (service: string): string => `---
type: ExternalService
mesh: default
name: ${service}
tags: { kuma.io/service: ${service} }
networking: { address: 10.9.0.1:8080 }
`;
const ZONE_OF_THREE = BASE + SERVICES.map(external).join('');

const id = (service: string): string => `spiffe://default/${service}`;
const CLIENTS: readonly (readonly string[])[] = [
  [id('c0')],
  [id('c1')],
  [id('c1'), 'kuma://version/v2'],
  [id('c2'), id('c3')],
  [id('c3')],
  [id('c4')],
];

const sniOf = (service: string): string => `${service}{mesh=default}`;

function isLetIn(snapshot: Snapshot, service: string, uris: readonly string[]): boolean {
  return decide(snapshot, { serverName: sniOf(service), client: claims(...uris), viewOf: assumedView }).kind === 'allowed';
}

/** The record that traffic makes of a session with this configuration. */
function recordIn(snapshot: Snapshot, service: string, uris: readonly string[], number: number): SessionRecord {
  const decision = decide(snapshot, { serverName: sniOf(service), client: claims(...uris), viewOf: assumedView });
  const about = sessionRecord({
    id: `0.${number}`,
    startedAt: Date.UTC(2026, 0, 1) + number * 1_000,
    sni: sniOf(service),
    mode: 'terminate',
    mesh: 'default',
    destination: service,
    cluster: `default:${service}`,
    spiffeIds: uris.filter((uri) => uri.startsWith('spiffe:')),
    uris,
    endpoint: '10.9.0.1:8080',
  });
  if (decision.kind === 'allowed') return { ...about, permission: decision.allowed.by };
  return { ...about, reason: decision.refusal.code, detail: decision.refusal.detail, connectMs: -1, endpoint: '', attempts: 0 };
}

function snapshotOf(yaml: string, options: CompileOptions = {}): Snapshot {
  const outcome = compile([{ path: 'zone.yaml', text: yaml }], options);
  if (outcome.kind === 'invalid') throw new Error(JSON.stringify(outcome.problems));
  return outcome.snapshot;
}

function yamlOf({ permissions }: Suggestion, form: ResourceForm): string {
  return permissions.map((each) => `---\n${formatYaml(resourceOf(each, form))}`).join('');
}

const service = fc.constantFrom(...SERVICES);
const client = fc.constantFrom('c0', 'c1', 'c2', 'c3', 'c4');
const meshPermission = fc.record({
  name: fc.constantFrom('a', 'm', 'z', 'y', 'b'),
  to: fc.option(service, { nil: null }),
  from: fc.array(fc.record({ who: fc.option(client, { nil: null }), action: fc.constantFrom('Allow', 'Deny', 'Allow') }), {
    minLength: 1,
    maxLength: 3,
  }),
});
const trafficPermission = fc.record({
  name: fc.constantFrom('a', 'm', 'z', 'y', 'b'),
  to: fc.option(service, { nil: null }),
  from: fc.array(fc.option(client, { nil: null }), { minLength: 1, maxLength: 3 }),
});

type MeshPermission = typeof meshPermission extends fc.Arbitrary<infer T> ? T : never;
type TrafficPermission = typeof trafficPermission extends fc.Arbitrary<infer T> ? T : never;

const meshPermissionYaml = ({ name, to, from }: MeshPermission): string => `---
type: MeshTrafficPermission
mesh: default
name: ${name}
spec:
  targetRef: ${to === null ? '{ kind: Mesh }' : `{ kind: MeshService, name: ${to} }`}
  from: [${from.map(({ who, action }) => `{ targetRef: ${who === null ? '{ kind: Mesh }' : `{ kind: MeshService, name: ${who} }`}, default: { action: ${action} } }`).join(', ')}]
`;
const trafficPermissionYaml = ({ name, to, from }: TrafficPermission): string => `---
type: TrafficPermission
mesh: default
name: ${name}
sources: [${from.map((who) => `{ match: { kuma.io/service: '${who ?? '*'}' } }`).join(', ')}]
destinations: [{ match: { kuma.io/service: '${to ?? '*'}' } }]
`;
const byName = { selector: ({ name }: { readonly name: string }) => name, maxLength: 3 };

t.test('in zones of chance the suggested permissions let in what was seen, and in their place nothing else', async (t) => {
  let [made, exact] = [0, 0];
  fc.assert(
    fc.property(
      fc.uniqueArray(meshPermission, byName),
      fc.uniqueArray(trafficPermission, byName),
      fc.array(fc.record({ to: service, who: fc.nat(CLIENTS.length - 1) }), { minLength: 1, maxLength: 8 }),
      fc.record({
        includeRefused: fc.boolean(),
        kind: fc.constantFrom(null, 'MeshTrafficPermission' as const, 'TrafficPermission' as const),
      }),
      fc.constantFrom<ResourceForm>('universal', 'kubernetes'),
      (meshPermissions, trafficPermissions, seen, options, form) => {
        // A TrafficPermission does not count in a mesh that has a MeshTrafficPermission.
        fc.pre(options.kind !== 'TrafficPermission' || meshPermissions.length === 0);
        const today = meshPermissions.map(meshPermissionYaml).join('') + trafficPermissions.map(trafficPermissionYaml).join('');
        const before = snapshotOf(ZONE_OF_THREE + today);
        const records = seen.map(({ to, who }, i) => recordIn(before, to, CLIENTS[who] ?? [], i));
        const suggestion = suggest(before, { sessions: records, requests: [] }, options);
        made += suggestion.permissions.length;
        exact += suggestion.exact.length;
        const zone = ZONE_OF_THREE + today + yamlOf(suggestion, form);
        const own = new Set(suggestion.permissions.map(({ name }) => name));
        const beside = snapshotOf(zone);
        const instead = snapshotOf(zone, {
          without: ({ kind, meta }) => own.size > 0 && kind.endsWith('TrafficPermission') && !own.has(meta.displayName),
        });
        const wanted = records.filter(({ reason }) => reason === 'closed' || options.includeRefused);
        for (const to of SERVICES) {
          const usedBy = wanted.filter(({ destination }) => destination === to);
          const ids = new Set(usedBy.flatMap(({ uris }) => uris));
          for (const uris of CLIENTS) {
            const wasSeen = usedBy.some((record) => record.uris === uris);
            const shares = uris.some((uri) => uri.startsWith('spiffe:') && ids.has(uri));
            const what = `${uris.join(' ')} -> ${to}\n${today}SUGGESTED${yamlOf(suggestion, form)}`;
            if (wasSeen && !isLetIn(beside, to, uris)) throw new Error(`beside: refused: ${what}`);
            if (wasSeen && !isLetIn(instead, to, uris)) throw new Error(`instead: refused: ${what}`);
            if (!shares && isLetIn(beside, to, uris) && !isLetIn(before, to, uris)) throw new Error(`beside: opened: ${what}`);
            if (!shares && suggestion.permissions.length > 0 && isLetIn(instead, to, uris))
              throw new Error(`instead: open: ${what}`);
          }
        }
        for (const after of [beside, instead]) {
          const proof = proveSuggestion(suggestion.uses, before, after);
          if (!isProved(proof)) throw new Error(`${JSON.stringify(proof)}\n${today}SUGGESTED${yamlOf(suggestion, form)}`);
        }
        // The same records in another order give the same resources.
        const again = suggest(before, { sessions: records.toReversed(), requests: [] }, options);
        if (yamlOf(again, form) !== yamlOf(suggestion, form)) throw new Error(`another order: ${yamlOf(again, form)}`);
      },
    ),
    { numRuns: 100 },
  );
  t.ok(made > 50, `${made} permissions`);
  t.ok(exact > 1, `${exact} were exact already`);
});

const SNI = 'sni.extsvc.m.partner.9000';
const ofDomain = (workload: string): string => `spiffe://m.zone-1.mesh.local/workload/${workload}`;
const SCOPED = [
  'type: Mesh\nname: m\n',
  dataplaneYaml('m'),
  identityYaml('m'),
  serviceYaml('m', 'partner', 9_000),
  authorityYaml('m', ca),
];

function scoped(...more: readonly string[]) {
  const config = compileScoped([...SCOPED, ...more]);
  if (config.kind === 'invalid') throw new Error(JSON.stringify(config.problems));
  return { snapshot: config.snapshot, sources: { origins: config.origins, absent: new Map() } };
}

t.test('for an egress of one mesh the ids of clients and the server name are named by rules', async (t) => {
  const open = scoped(permissionYaml('m', 'all', `allow: [{ sni: { type: Exact, value: ${SNI} } }]`));
  const about = {
    sni: SNI,
    mode: 'terminate',
    mesh: 'm',
    destination: 'partner',
    permission: 'MeshTrafficPermission m/all',
  } as const;
  const records = ['web', 'till'].map((name) => sessionRecord({ ...about, uris: [ofDomain(name)], spiffeIds: [ofDomain(name)] }));
  const several = sessionRecord({ ...about, uris: [ofDomain('a'), ofDomain('b')] });
  const suggestion = suggest(open.snapshot, { sessions: [...records, several], requests: [] }, DEFAULTS);
  t.match(suggestion.permissions, [
    { form: 'rules', name: 'suggested-zone-egress', clients: [{ id: ofDomain('till'), sni: SNI }, { id: ofDomain('web') }] },
  ]);
  t.match(suggestion.leftOut, [{ why: /^came to partner of mesh m from a client with 2 URI names/, sessions: 1 }]);
  const narrow = scoped(yamlOf(suggestion, 'universal'));
  t.match(proveSuggestion(suggestion.uses, scoped().snapshot, narrow.snapshot), {
    sessions: { of: 2, letIn: 2 },
    opened: [],
    closed: [],
  });
  t.match(diffConfigurations(scoped(), narrow).routes, [{ newlyAllowed: [ofDomain('till'), ofDomain('web')] }]);
  t.match(proveSuggestion([], scoped().snapshot, narrow.snapshot), {
    opened: [{ sni: SNI, clients: [ofDomain('till'), ofDomain('web')] }],
  });
});

t.test('what cannot be suggested is listed with its reason, and not guessed', async (t) => {
  const { snapshot } = compiled();
  const frontend = { spiffeIds: [id('frontend')], uris: [id('frontend')] };
  const api = { sni: 'api{mesh=default}', mode: 'terminate', mesh: 'default', destination: 'api', ...frontend } as const;
  const early = { connectMs: -1, attempts: 0 } as const;
  const cases: readonly (readonly [Partial<SessionRecord>, RegExp])[] = [
    [{ ...api, ...early, uris: [], reason: 'client-not-trusted' }, /^ended before the client was known \(client-not-trusted\)$/],
    [{ ...api, ...early, reason: 'unsupported-policy' }, /^ended before a permission was judged \(unsupported-policy\)$/],
    [{ ...api, ...early, mode: '', reason: 'no-route' }, /^ended before a destination was known \(no-route\)$/],
    [{}, /^were passed through to another zone/],
    [
      { ...api, sni: 'gone{mesh=default}', destination: 'gone' },
      /^went to gone of mesh default, which these resources do not serve$/,
    ],
    [
      { ...api, sni: 'backend{mesh=default}', destination: 'backend' },
      /another zone serves in these resources: that zone decides$/,
    ],
    [{ ...api, destination: 'old' }, /^went to old of mesh default, and the server name leads to api of mesh default/],
    [{ ...api, uris: ['spiffe://default/ns/web'] }, /from spiffe:\/\/default\/ns\/web, and a permission of a ZoneEgress names/],
    [{ ...api, uris: ['spiffe://default/a\nb'] }, /from spiffe:\/\/default\/a\\x0ab, and/],
  ];
  for (const [about, why] of cases) {
    const { leftOut, permissions, uses } = suggest(snapshot, { sessions: [sessionRecord(about)], requests: [] }, DEFAULTS);
    t.match([leftOut, permissions, uses], [[{ why, sessions: 1, example: '0.1' }], [], []], String(why));
  }
  const ledger = compiled(`${ZONE}---
type: MeshExternalService
mesh: default
name: ledger
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: 10.9.0.3, port: 9000 }]
`).snapshot;
  const sni = [...ledger.routes.keys()].find((name) => name.includes('.ledger.')) ?? '';
  const { leftOut } = suggest(
    ledger,
    { sessions: [sessionRecord({ ...api, sni, destination: 'ledger' })], requests: [] },
    DEFAULTS,
  );
  for (const reason of ['malformed-request', 'unsupported-policy', 'policy-changed', 'drained', 'ended-by-operator'] as const) {
    const request = requestRecord({ ...api, ...early, reason, forwarded: false, method: 'GET' });
    const said = suggest(snapshot, { sessions: [], requests: [request] }, DEFAULTS);
    const why = `ended before a permission was judged (${reason})`;
    t.match([said.leftOut, said.permissions, said.uses], [[{ why, requests: 1 }], [], []], reason);
  }
  t.match(leftOut, [{ why: /^went to the MeshExternalService ledger of mesh default: on a ZoneEgress no permission/ }]);
});

t.test('names in a recording give no orders to a terminal or to YAML', async (t) => {
  const evil = 'x\n---\ntype: TrafficPermission\u001b[2J';
  const session = sessionRecord({
    reason: 'denied',
    connectMs: -1,
    mode: 'terminate',
    mesh: evil,
    destination: evil,
    sni: 'api{mesh=default}',
    uris: [evil],
  });
  const request = requestRecord({ destination: evil, uris: [evil], id: evil });
  const suggestion = suggest(
    compiled().snapshot,
    { sessions: [session], requests: [request] },
    { ...DEFAULTS, includeRefused: true },
  );
  const proof = proveSuggestion(suggestion.uses, compiled().snapshot, compiled().snapshot);
  const report = { suggestion, beside: proof, instead: proof, unused: [{ name: evil, place: evil }], unusedDestinations: [evil] };
  const text = suggestionText(report, { form: 'universal', toYaml: formatYaml });
  t.same(suggestion.permissions, []);
  t.ok(
    text
      .trimEnd()
      .split('\n')
      .every((line) => line.startsWith('#')),
    text,
  );
  t.notMatch(text, /\u001b/);
});
