import t from 'tap';
import { pathPattern, PathPatterns } from '../../src/explain/path-pattern.ts';
import { sessionsIn } from '../../src/explain/recorded.ts';
import { simulateRequests } from '../../src/explain/simulate-requests.ts';
import type { RequestSimulation } from '../../src/explain/simulate-requests.ts';
import type { RequestRecord } from '../../src/model/request-record.ts';
import { requestRecord } from '../observe/record.ts';
import { compiled, sourcesOf, ZONE } from './zone.ts';

const service = (name: string, more = ''): string => `---
type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name}, kuma.io/protocol: http${more} }
networking: { address: 203.0.113.9:80 }
`;
const allow = (name: string): string => `---
type: MeshTrafficPermission
name: all
mesh: default
spec: { targetRef: { kind: Mesh }, from: [{ targetRef: { kind: MeshService, name: ${name} }, default: { action: Allow } }] }
`;
const limit = (requests: number, from = '*'): string => `---
type: RateLimit
name: limit
mesh: default
sources: [{ match: { kuma.io/service: '${from}' } }]
destinations: [{ match: { kuma.io/service: store } }]
conf: { http: { requests: ${requests}, interval: 10s } }
`;
const fault = (percentage: number, from = '*'): string => `---
type: FaultInjection
name: fault
mesh: default
sources: [{ match: { kuma.io/service: '${from}' } }]
destinations: [{ match: { kuma.io/service: store, kuma.io/protocol: http } }]
conf: { abort: { httpStatus: 500, percentage: ${percentage} } }
`;
const BASE = `${ZONE}${service('store')}${allow('frontend')}`;

const AT = Date.UTC(2026, 0, 1);
const TAGS = ['&kuma.io/service=frontend&'];
const asked = (changes: Partial<RequestRecord> = {}): RequestRecord =>
  requestRecord({
    sni: 'store{mesh=default}',
    destination: 'store',
    cluster: 'default:store',
    authority: 'store.mesh',
    host: 'store.mesh',
    endpoint: '203.0.113.9:80',
    startedAt: AT,
    headers: { 'x-kuma-tags': TAGS },
    ...changes,
  });
const refused = (changes: Partial<RequestRecord>): RequestRecord =>
  asked({ endpoint: '', host: '', forwarded: false, attempts: 0, connections: 0, connectMs: -1, ...changes });
const limited = (changes: Partial<RequestRecord> = {}): RequestRecord =>
  refused({ reason: 'over-limit', flags: 'RL', status: 429, ...changes });

function replay(yaml: string, ...records: readonly RequestRecord[]): RequestSimulation {
  const config = compiled(yaml);
  return simulateRequests(config.snapshot, records, sourcesOf(config));
}

t.test('what the service and the network did to a request is no change', async (t) => {
  const records = [
    asked(),
    asked({ reason: 'client-reset', flags: 'DC', status: 0 }),
    refused({ reason: 'connect-refused', flags: 'UF', status: 503, attempts: 1 }),
    refused({ reason: 'over-limit', flags: 'UO', status: 503 }),
    refused({ reason: 'dns-failed', flags: 'UH', status: 503 }),
    refused({ reason: 'denied', status: 403, spiffeIds: ['spiffe://default/batch'], uris: ['spiffe://default/batch'] }),
    asked({ reason: 'request-timeout', flags: 'UT', status: 504 }),
  ];
  t.match(replay(BASE, ...records), { requests: records.length, replayed: records.length, changes: [], skipped: [] });
});

t.test('what no configuration decides is skipped and counted', async (t) => {
  const odd = refused({ reason: 'malformed-request', status: 400 });
  const { skipped, replayed } = replay(BASE, odd, odd, refused({ reason: 'internal-error', status: 502 }));
  t.same(
    [replayed, skipped],
    [
      0,
      [
        { reason: 'malformed-request', requests: 2 },
        { reason: 'internal-error', requests: 1 },
      ],
    ],
  );
});

t.test('each kind of change is listed, with the answers before and after', async (t) => {
  const denied = refused({
    reason: 'denied',
    status: 403,
    spiffeIds: ['spiffe://default/batch'],
    uris: ['spiffe://default/batch'],
  });
  const rest = ZONE.includes('name: store') ? '' : ZONE;
  const moved = BASE.replace('203.0.113.9:80', '203.0.113.10:80');
  const cases: readonly (readonly [yaml: string, record: RequestRecord, change: object])[] = [
    [
      BASE.replace('name: frontend }', 'name: batch }'),
      denied,
      { kind: 'newly-allowed', before: 'denied', status: { before: 403, after: null } },
    ],
    [
      BASE.replace('name: frontend }', 'name: batch }'),
      asked(),
      { kind: 'newly-denied', after: 'denied', status: { before: null, after: 403 } },
    ],
    [rest, asked(), { kind: 'no-longer-routed', after: 'no-route', status: { before: null, after: 0 } }],
    [moved, asked(), { kind: 'other-route', text: 'went to 203.0.113.9:80, goes to 203.0.113.10:80 now' }],
    [
      BASE.replace('203.0.113.9:80', 'store.partner.test:80'),
      asked(),
      { kind: 'other-route', text: /Host store\.mesh, goes out with store\.partner\.test now/ },
    ],
    [
      BASE.replace(', kuma.io/protocol: http }\nnetworking: { address: 203', ' }\nnetworking: { address: 203'),
      asked(),
      { kind: 'not-looked-at' },
    ],
    [
      `${BASE}${fault(100)}`,
      asked(),
      { kind: 'newly-faulted', text: 'a fault that answers 500', status: { before: null, after: 500 }, place: null },
    ],
    [BASE, refused({ reason: 'fault-injected', flags: 'FI', status: 500 }), { kind: 'no-longer-faulted' }],
    [BASE, limited(), { kind: 'no-longer-limited', status: { before: 429, after: null } }],
    [`${BASE}${fault(100)}`, limited(), { kind: 'refused-otherwise', before: 'over-limit', after: 'fault-injected' }],
  ];
  for (const [yaml, record, change] of cases) {
    const { changes } = replay(yaml, record);
    t.equal(changes.length, 1, JSON.stringify(change));
    t.match(changes[0], change);
  }
});

t.test('a limit that is new is replayed with the times of the requests, whatever their order in the file', async (t) => {
  const at = [0, 10, 20, 30, 3_400, 20_000].map((ms, i) => asked({ id: `0.1.${i}`, startedAt: AT + ms }));
  const { changes } = replay(`${BASE}${limit(3)}`, ...at.toReversed());
  t.match(changes, [
    { kind: 'newly-limited', requests: 1, of: 6, example: '0.1.3', text: 'a rate limit of 3 requests in 10000 ms, then 429' },
  ]);
  t.same(replay(`${BASE}${limit(3, 'other')}`, ...at).changes, [], 'one that is about others');
});

t.test('a limit that counts the same requests as it did refuses the same ones', async (t) => {
  const yaml = `${BASE}${limit(3)}`;
  const now = replay(yaml, asked());
  t.same(now.changes, []);
  const { snapshot } = compiled(yaml);
  const route = [...snapshot.routes.values()].find(({ destination }) => destination === 'store');
  if (route?.kind !== 'terminate') throw new Error('no route');
  const { limitId } = await import('../../src/routing/request-rules.ts');
  const rateLimit = limitId(route.http!.rateLimits![0]!);
  // The recording begins with an empty bucket.
  const then = [limited({ rateLimit }), limited({ rateLimit, startedAt: AT + 5 }), asked({ rateLimit, startedAt: AT + 4_000 })];
  t.same(replay(yaml, ...then).changes, []);
  t.match(
    replay(yaml, ...then, asked({ id: '0.9.1', startedAt: AT + 6 })).changes,
    [{ kind: 'no-longer-limited', requests: 2 }],
    'one more is counted',
  );
});

t.test('a rule that reads what was not recorded, or draws, is taken to do what it did', async (t) => {
  const blind = { headers: {} };
  const one = replay(
    `${BASE}${limit(1, 'frontend')}${fault(100, 'frontend')}`,
    asked(blind),
    limited(blind),
    asked({ ...blind, startedAt: AT + 1 }),
  );
  t.same([one.changes, one.headersUnknown], [[], 3]);
  const drawn = refused({ reason: 'fault-injected', flags: 'FI', status: 500 });
  t.same(replay(`${BASE}${fault(50)}`, drawn, asked()).changes, []);
});

t.test('a pattern leaves out what names one thing, and the patterns of a client are bounded', async (t) => {
  const cases = [
    ['/', '/'],
    ['/orders', '/orders'],
    ['/orders/1234/lines', '/orders/{id}/lines'],
    ['/v2/users/6f9619ff-8b86-d011-b42d-00cf4fc964ff', '/v2/users/{id}'],
    ['/a%20b/x', '/{id}/x'],
    [`/${'x'.repeat(40)}`, '/{id}'],
    ['/a/b/c/d/e/f/g/h/i/j', '/a/b/c/d/e/f/g/h/...'],
    ['*', '/'],
  ] as const;
  for (const [path, pattern] of cases) t.equal(pathPattern(path), pattern, path);
  const patterns = new PathPatterns();
  const names = Array.from(
    { length: 1_000 },
    (_, i) => `/${'abcdefghij'[i % 10]}${'klmnopqrst'[Math.floor(i / 10) % 10]}${'uvwxyzabcd'[Math.floor(i / 100)]}`,
  );
  const told = new Set(names.map((name) => patterns.of(name, 'one')));
  t.equal(told.size, 201);
  t.equal(patterns.of('/new', 'two'), '/new');
});

t.test('requests are read from lines and from the page; what is torn or has other types is counted', async (t) => {
  const line = (value: object): string => `${JSON.stringify({ version: 1, kind: 'request', ...value })}\n`;
  const text = [
    line(asked()),
    line({ ...asked(), headers: undefined }),
    line({ ...asked(), headers: { a: 'b' } }),
    line({ ...asked(), reason: 'whatever' }),
    line({ ...asked(), startedAt: 'today' }),
    line({ ...asked(), version: 2 }),
  ].join('');
  const read = sessionsIn(text);
  t.same(read.requests, [asked()]);
  t.same([read.records.length, read.unreadable, read.unknownVersion], [0, 4, 1]);
  const page = sessionsIn(JSON.stringify({ decisions: [], requests: [asked(), 1] }));
  t.same([page.requests.length, page.unreadable], [1, 1]);
});
