import t from 'tap';
import { diffConfigurations } from '../../src/explain/diff.ts';
import type { ConfigDiff } from '../../src/explain/diff.ts';
import { diffText } from '../../src/explain/print-diff.ts';
import { tlsChange } from '../../src/explain/tls-change.ts';
import { accessChange } from '../../src/explain/access-change.ts';
import type { TlsOrigination } from '../../src/model/cluster.ts';
import { contentHash, meshName, serverName } from '../../src/model/names.ts';
import type { Permission, PermissionRule, Principal } from '../../src/model/permission.ts';
import type { TerminateRoute } from '../../src/model/route.ts';
import { compiled, sourcesOf, ZONE } from './zone.ts';

function diff(before: string, after: string): ConfigDiff {
  const [old, now] = [compiled(before), compiled(after)];
  return diffConfigurations(
    { snapshot: old.snapshot, sources: sourcesOf(old) },
    { snapshot: now.snapshot, sources: sourcesOf(now) },
  );
}

const uri = (value: string, match: 'exact' | 'prefix' = 'exact'): Principal => ({ kind: 'uri', match, value });
const service = (name: string): Principal => uri(`spiffe://default/${name}`);
const version = (value: string): Principal => uri(`kuma://version/${value}`);
const all = (...parts: readonly Principal[]): Principal => ({ kind: 'and', all: parts });
const rule = (action: PermissionRule['action'], principal: Principal): PermissionRule => ({ action, principal, by: 'p' });
const rules = (...list: readonly PermissionRule[]): Permission => ({ kind: 'rules', by: 'p', rules: list });
const ALL: Permission = { kind: 'allow-all', by: 'p' };
const NONE: Permission = { kind: 'deny-all', by: 'p' };

function routeOf(permission: Permission): TerminateRoute {
  const name = serverName('api{mesh=default}');
  return {
    kind: 'terminate',
    serverName: name,
    mesh: meshName('default'),
    destination: 'api',
    cluster: 'c',
    protocol: 'tcp',
    permission,
  };
}

t.test('permissions are compared as sets over the clients that either names, and the other clients of the mesh', async (t) => {
  const OTHER = 'any other client of mesh default';
  const two = rules(rule('allow', service('a')), rule('allow', service('b')));
  const cases: readonly (readonly [
    what: string,
    before: Permission,
    after: Permission,
    newly: readonly string[],
    noLonger: readonly string[],
  ])[] = [
    [
      'nothing changes by other rules for the same',
      two,
      rules(rule('allow', { kind: 'or', any: [service('b'), service('a')] })),
      [],
      [],
    ],
    ['one more', rules(rule('allow', service('a'))), two, ['spiffe://default/b'], []],
    ['one less', two, rules(rule('allow', service('b'))), [], ['spiffe://default/a']],
    ['everybody, where two were', two, ALL, [OTHER], []],
    ['nobody, where everybody was', ALL, NONE, [], [OTHER]],
    [
      'a rule that denies before one that allows',
      ALL,
      rules(rule('deny', service('a')), rule('allow', { kind: 'any' })),
      [],
      ['spiffe://default/a'],
    ],
    [
      'the order of rules',
      rules(rule('deny', service('a')), rule('allow', { kind: 'any' })),
      rules(rule('allow', { kind: 'any' }), rule('deny', service('a'))),
      ['spiffe://default/a'],
      [],
    ],
    ['all but one', NONE, rules(rule('allow', { kind: 'not', not: service('a') })), [OTHER], []],
    [
      'a tag that is not asked for any more',
      rules(rule('allow', all(service('a'), version('v1')))),
      rules(rule('allow', service('a'))),
      ['spiffe://default/a'],
      [],
    ],
    [
      'a tag that is asked for',
      rules(rule('allow', service('a'))),
      rules(rule('allow', all(service('a'), version('v1')))),
      [],
      ['spiffe://default/a'],
    ],
    ['a tag alone', NONE, rules(rule('allow', version('v1'))), [`${OTHER} with kuma://version/v1`], []],
    [
      'a prefix',
      rules(rule('allow', service('a'))),
      rules(rule('allow', uri('spiffe://default/a', 'prefix'))),
      ['spiffe://default/a*'],
      [],
    ],
    [
      'the whole mesh by prefix',
      rules(rule('allow', service('a'))),
      rules(rule('allow', uri('spiffe://default/', 'prefix'))),
      [OTHER],
      [],
    ],
    ['what cannot be evaluated lets nobody in', ALL, { kind: 'unsupported', by: 'p', why: 'x' }, [], [OTHER]],
    ['of another mesh nobody can come', NONE, rules(rule('allow', uri('spiffe://other/a'))), [], []],
    ['a second filter', ALL, { kind: 'all-of', by: 'p', all: [ALL, rules(rule('allow', service('a')))] }, [], [OTHER]],
    [
      'two tags that different rules name',
      rules(rule('allow', uri('kuma://team/x'))),
      rules(rule('deny', version('v1')), rule('allow', uri('kuma://team/x'))),
      [],
      [`${OTHER} with kuma://team/x, kuma://version/v1`],
    ],
    [
      'a service with a tag that another rule names',
      rules(rule('allow', service('a'))),
      rules(rule('deny', version('v1')), rule('allow', service('a'))),
      [],
      ['spiffe://default/a with kuma://version/v1'],
    ],
    [
      'denied only with two tags of one rule',
      ALL,
      rules(rule('deny', all(version('v1'), uri('kuma://team/x'))), rule('allow', { kind: 'any' })),
      [],
      [`${OTHER} with kuma://team/x, kuma://version/v1`],
    ],
  ];
  for (const [what, before, after, newly, noLonger] of cases) {
    const change = accessChange(routeOf(before), routeOf(after));
    t.same([change.newly, change.noLonger], [newly, noLonger], what);
    const back = accessChange(routeOf(after), routeOf(before));
    t.same([back.newly, back.noLonger], [noLonger, newly], `${what}, the other way round`);
  }
});

t.test('very many rules with tags are compared too, with a note that not all combinations were', async (t) => {
  const many = (count: number): Permission =>
    rules(...Array.from({ length: count }, (_, i) => rule('allow', all(service(`s${i}`), version(`v${i}`)))));
  const { newly, isPartial } = accessChange(routeOf(many(149)), routeOf(many(150)));
  t.same(newly, ['spiffe://default/s149 with kuma://version/v149']);
  t.equal(isPartial, true);
  t.equal(accessChange(routeOf(many(3)), routeOf(many(4))).isPartial, false);
});

const VERIFIED: TlsOrigination = {
  serverName: 'api.test',
  trust: { kind: 'bundle', ca: contentHash('a') },
  names: [{ kind: 'exact', value: 'api.test' }],
  clientCertificate: { cert: contentHash('b'), key: contentHash('c') },
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  alpn: [],
  allowRenegotiation: false,
};

t.test('TLS to an endpoint is weaker when less is verified or more is allowed', async (t) => {
  const weaker: readonly (readonly [Partial<TlsOrigination> | null, RegExp])[] = [
    [null, /^was TLS to api.test, own CA, client certificate, is none$/],
    [{ trust: { kind: 'none', reason: 'x' } }, /is TLS to api.test, not verified/],
    [{ names: null }, /any name/],
    [{ trust: { kind: 'system' } }, /trusts the CAs of the system now/],
    [{ names: [{ kind: 'prefix', value: 'api' }] }, /verified api.test, verifies api\* now/],
    [
      {
        names: [
          { kind: 'exact', value: 'api.test' },
          { kind: 'exact', value: 'b' },
        ],
      },
      /verifies api.test, b now/,
    ],
    [{ minVersion: 'TLSv1' }, /from TLSv1 on, was TLSv1.2/],
    [{ maxVersion: 'TLSv1.2' }, /up to TLSv1.2, was TLSv1.3/],
    [{ allowRenegotiation: true }, /allows renegotiation/],
  ];
  for (const [change, text] of weaker) {
    const other = change === null ? null : { ...VERIFIED, ...change };
    t.match(tlsChange(VERIFIED, other), { isWeaker: true, text }, String(text));
    t.match(tlsChange(other, VERIFIED), { isWeaker: false, text: /./ }, `${text}, the other way round`);
  }
  const different: readonly Partial<TlsOrigination>[] = [
    { trust: { kind: 'bundle', ca: contentHash('x') } },
    { names: [{ kind: 'exact', value: 'other.test' }] },
    { serverName: null },
    { clientCertificate: null },
    { clientCertificate: { cert: contentHash('x'), key: contentHash('y') } },
    { alpn: ['h2'] },
  ];
  for (const change of different) t.match(tlsChange(VERIFIED, { ...VERIFIED, ...change }), { isWeaker: false, text: /./ });
  t.equal(tlsChange(VERIFIED, { ...VERIFIED }), null);
  t.equal(tlsChange(null, null), null);
});

t.test('two folders that serve the same have no difference, whatever their order and comments', async (t) => {
  const documents = ZONE.split('---\n').reverse().join('---\n# moved\n');
  const same = diff(ZONE, documents);
  t.equal(same.isSame, true);
  t.equal(diffText(same), `the same: configuration ${same.after.version}\n`);
});

const CHANGED = ZONE.replace('{ match: { kuma.io/service: frontend } }', "{ match: { kuma.io/service: '*' } }")
  .replace('tls: { enabled: true }', 'tls: { enabled: true, allowRenegotiation: true }')
  .replace('advertisedAddress: 10.0.1.1', 'advertisedAddress: 10.0.1.9')
  .replaceAll('card', 'cards');

t.test('the whole difference, as it is printed: what opens access and what weakens TLS first', async (t) => {
  const found = diff(ZONE, CHANGED);
  t.equal(found.isSame, false);
  t.equal(
    diffText(found).replace(found.after.version, 'NEW').replace(found.before.version, 'OLD'),
    `configuration NEW, was OLD

NEWLY ALLOWED
  api{mesh=default}: spiffe://default/checkout, any other client of mesh default (zone.yaml:52)
  cards{mesh=payments}: spiffe://payments/till (zone.yaml:58)

TLS WEAKENED
  default:api api.partner.test:443: allows renegotiation (zone.yaml:34)

no longer allowed
  card{mesh=payments}: spiffe://payments/till (zone.yaml:58)

routes
  ~ api{mesh=default}: permission
  + cards{mesh=payments}: cards of mesh payments, terminate
  - card{mesh=payments}: card of mesh payments, terminate

endpoints
  ~ default:backend: - 10.0.1.1:10001, + 10.0.1.9:10001
  - payments:card: - 10.9.0.2:8080
  + payments:cards: + 10.9.0.2:8080
`,
  );
});

t.test('-o json: every difference by its place', async (t) => {
  const { routes, clusters } = diff(ZONE, CHANGED);
  t.match(
    routes.find(({ sni }) => sni === 'api{mesh=default}'),
    {
      kind: 'changed',
      newlyAllowed: ['spiffe://default/checkout', 'any other client of mesh default'],
      noLongerAllowed: [],
      fields: ['permission'],
      place: { line: 52 },
    },
  );
  t.match(
    clusters.find(({ cluster }) => cluster === 'default:backend'),
    { kind: 'changed', added: ['10.0.1.9:10001'], removed: ['10.0.1.1:10001'] },
  );
  const [plain] = diff(ZONE, ZONE.replace(', tls: { enabled: true }', '')).clusters;
  t.match(plain, {
    cluster: 'default:api',
    tls: [{ endpoint: 'api.partner.test:443', isWeaker: true, text: /^was TLS.*is none$/ }],
  });
  const moved = diff(ZONE, ZONE.replace('api.partner.test:443, tls: { enabled: true }', 'new.partner.test:80')).clusters[0];
  t.match(
    moved,
    { added: ['new.partner.test:80'], tls: [{ endpoint: 'new.partner.test:80', isWeaker: true }] },
    'a new endpoint with less than all before',
  );
});

t.test('a mesh that comes to another CA is a difference of that mesh', async (t) => {
  const [old, now] = [compiled(ZONE), compiled(ZONE)];
  const meshes = new Map(now.snapshot.meshes);
  const mesh = meshes.get(meshName('default'))!;
  meshes.set(mesh.name, { ...mesh, trust: contentHash('x') });
  const found = diffConfigurations(
    { snapshot: old.snapshot, sources: sourcesOf(old) },
    { snapshot: { ...now.snapshot, meshes }, sources: sourcesOf(now) },
  );
  t.same(found.meshes, [{ kind: 'changed', mesh: 'default', fields: ['the CA that clients must lead to'] }]);
});

t.test('the changes to requests are listed field by field', async (t) => {
  const store = `${ZONE}---
type: ExternalService
mesh: default
name: store
tags: { kuma.io/service: store, kuma.io/protocol: http }
networking: { address: 203.0.113.9:80 }
`;
  const limit = (requests: number, from: string): string => `---
type: RateLimit
name: limit
mesh: default
sources: [{ match: { kuma.io/service: '${from}' } }]
destinations: [{ match: { kuma.io/service: store } }]
conf: { http: { requests: ${requests}, interval: 10s } }
`;
  const fieldsOf = (before: string, after: string): readonly string[] =>
    diff(before, after).routes.find(({ destination }) => destination === 'store')?.fields ?? [];
  t.same(fieldsOf(store, `${store}${limit(3, 'a')}`), [
    'http.rateLimits: rate limit of 3 requests in 10000 ms, then 429, was none',
  ]);
  t.same(fieldsOf(`${store}${limit(3, 'a')}`, `${store}${limit(3, 'b')}`), ['http.rateLimits: other clients or answers']);
  t.match(
    fieldsOf(store, store.replace(', kuma.io/protocol: http }\nnetworking: { address: 203', ' }\nnetworking: { address: 203')),
    [/^protocol: tcp, was http$/, /^http: requests are passed as bytes, were served one by one$/],
  );
});
