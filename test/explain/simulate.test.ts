import t from 'tap';
import { compareWith, expectationsIn } from '../../src/explain/explain-expectations.ts';
import { simulationText } from '../../src/explain/print-simulation.ts';
import { sessionsIn } from '../../src/explain/recorded.ts';
import { simulate } from '../../src/explain/simulate.ts';
import { simulateRequests } from '../../src/explain/simulate-requests.ts';
import type { Change, Simulation } from '../../src/explain/simulate.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';
import { plainDocument } from '../../src/resources/plain-document.ts';
import { sessionRecord, unmatched } from '../observe/record.ts';
import { compiled, sourcesOf, ZONE } from './zone.ts';

const [FRONTEND, BATCH] = ['spiffe://default/frontend', 'spiffe://default/batch'];

const api = (changes: Partial<SessionRecord> = {}): SessionRecord =>
  sessionRecord({
    sni: 'api{mesh=default}',
    mode: 'terminate',
    mesh: 'default',
    destination: 'api',
    cluster: 'default:api',
    tlsVersion: 'TLSv1.3',
    spiffeIds: [FRONTEND],
    uris: [FRONTEND],
    permission: 'TrafficPermission default/frontend-out',
    endpoint: '203.0.113.5:443',
    endpointTls: true,
    ...changes,
  });

const refused = (reason: SessionRecord['reason'], changes: Partial<SessionRecord> = {}): SessionRecord =>
  api({ reason, connectMs: -1, attempts: 0, endpoint: '', endpointTls: false, permission: '', ...changes });

const denied = refused('denied', { id: '0.9', spiffeIds: [BATCH], uris: [BATCH] });
const backend = (changes: Partial<SessionRecord> = {}): SessionRecord =>
  sessionRecord({ endpoint: '10.0.1.1:10001', ...changes });

function replay(yaml: string, ...records: readonly SessionRecord[]): Simulation {
  const config = compiled(yaml);
  return simulate(config.snapshot, records, sourcesOf(config));
}

function only(yaml: string, record: SessionRecord): Partial<Change> {
  const { changes } = replay(yaml, record);
  if (changes.length !== 1) throw new Error(JSON.stringify(changes));
  return changes[0]!;
}

const everybody = ZONE.replace(
  'sources: [{ match: { kuma.io/service: frontend } },',
  "sources: [{ match: { kuma.io/service: '*' } },",
);
const nobody = ZONE.replace('match: { kuma.io/service: frontend }', 'match: { kuma.io/service: nobody }');

t.test('over the configuration that judged them, sessions of every kind change nothing', async (t) => {
  const records = [
    api(),
    denied,
    backend(),
    backend({ reason: 'connect-refused', connectMs: -1 }),
    unmatched({ sni: 'nothing{mesh=default}' }),
    unmatched({ reason: 'no-sni', sni: '' }),
    refused('no-client-certificate', { spiffeIds: [], uris: [] }),
    refused('client-not-trusted', { uris: [] }),
    refused('dns-failed', { permission: 'TrafficPermission default/frontend-out' }),
    api({ reason: 'upstream-tls-failed', connectMs: -1, endpointTls: false }),
    api({ reason: 'idle-timeout' }),
  ];
  const { changes, replayed, skipped, endpointsUnknown, certificatesTaken } = replay(ZONE, ...records);
  t.same(changes, []);
  t.same([replayed, skipped.length, endpointsUnknown, certificatesTaken], [records.length, 0, 1, 2]);
});

t.test('a path that was refused and is let in now is found, with what lets it in and where that is written', async (t) => {
  t.match(only(everybody, denied), {
    kind: 'newly-allowed',
    sni: 'api{mesh=default}',
    client: [BATCH],
    before: 'denied',
    after: 'allowed',
    text: 'is let in by TrafficPermission default/frontend-out',
    place: { file: 'zone.yaml', line: 52 },
    sessions: 1,
    example: '0.9',
  });
});

t.test('changes are listed by their kind', async (t) => {
  const gone = ZONE.replace('name: api\ntags: { kuma.io/service: api,', 'name: api\ntags: { kuma.io/service: other,');
  const elsewhere = ZONE.replace('advertisedAddress: 10.0.1.1', 'advertisedAddress: 10.0.1.9');
  const remote = ZONE.replace('kuma.io/service: backend, version: v1', 'kuma.io/service: api');
  const ended = `${ZONE.replace('kuma.io/service: backend, version: v1', 'kuma.io/service: other')}---
type: ExternalService
mesh: default
name: backend
tags: { kuma.io/service: backend }
networking: { address: 10.0.1.1:10001 }
`;
  const plain = ZONE.replace(', tls: { enabled: true }', '');
  const cases: readonly (readonly [yaml: string, record: SessionRecord, change: object])[] = [
    [
      nobody,
      api(),
      { kind: 'newly-denied', before: 'allowed', after: 'denied', text: /no rule allows spiffe:\/\/default\/frontend/ },
    ],
    [gone, api(), { kind: 'no-longer-routed', after: 'no-route', text: /^went to api of mesh default; no route has the SNI/ }],
    [gone, denied, { kind: 'no-longer-routed', before: 'denied', after: 'no-route' }],
    [elsewhere, backend(), { kind: 'other-endpoints', text: 'went to 10.0.1.1:10001, goes to 10.0.1.9:10001 now' }],
    [remote, api(), { kind: 'other-mode', text: /passed through now/ }],
    [remote, denied, { kind: 'newly-allowed', text: /is passed through/ }],
    [remote, refused('client-not-trusted', { uris: [] }), { kind: 'newly-allowed', before: 'client-not-trusted' }],
    [ended, backend(), { kind: 'other-mode', after: 'unknown', text: /the record has no certificate/ }],
    [plain, api(), { kind: 'other-endpoints', text: /was spoken to in TLS, and is in plain text now/ }],
    [
      ZONE,
      unmatched({ sni: 'reports{mesh=default}' }),
      { kind: 'newly-routed', before: 'no-route', after: 'unknown', text: /reports of mesh default/ },
    ],
    [ZONE, unmatched({ sni: 'Backend{mesh=default}' }), { kind: 'newly-allowed', before: 'no-route' }],
    [ZONE, refused('unsupported-policy', { spiffeIds: [BATCH], uris: [BATCH] }), { kind: 'refused-otherwise', after: 'denied' }],
  ];
  for (const [yaml, record, change] of cases) t.match(only(yaml, record), change, JSON.stringify(change));
});

t.test('sessions of one client to one name that change alike are one change, and all are counted', async (t) => {
  const { changes } = replay(
    everybody,
    denied,
    { ...denied, id: '0.10' },
    { ...denied, id: '0.11', uris: ['spiffe://default/other'], spiffeIds: ['spiffe://default/other'] },
  );
  t.same(
    changes.map(({ client, sessions, example }) => [client, sessions, example]),
    [
      [[BATCH], 2, '0.9'],
      [['spiffe://default/other'], 1, '0.11'],
    ],
  );
});

t.test('sessions whose facts do not suffice are skipped and counted, by how they ended', async (t) => {
  const silent = { mode: '', mesh: '', destination: '', cluster: '', helloMs: -1, connectMs: -1, sni: '', attempts: 0 } as const;
  const { skipped, replayed, changes } = replay(
    nobody,
    sessionRecord({ ...silent, reason: 'hello-timeout' }),
    sessionRecord({ ...silent, reason: 'hello-timeout' }),
    sessionRecord({ ...silent, reason: 'not-tls' }),
    refused('client-gone', { uris: [], spiffeIds: [] }),
    refused('over-limit', { limit: 'rate', uris: [], spiffeIds: [] }),
  );
  t.same(skipped, [
    { why: 'no-hello', reason: 'hello-timeout', sessions: 2 },
    { why: 'no-hello', reason: 'not-tls', sessions: 1 },
    { why: 'not-judged', reason: 'client-gone', sessions: 1 },
    { why: 'not-judged', reason: 'over-limit', sessions: 1 },
  ]);
  t.same([replayed, changes.length], [0, 0]);
});

t.test('a session that a limit refused after its permission is compared as one that passed', async (t) => {
  t.match(only(nobody, refused('over-limit', { limit: 'max-connections' })), { kind: 'newly-denied' });
});

t.test(
  'expected changes are matched by name, client and outcome; one that is newly allowed is not covered by another',
  async (t) => {
    const { changes } = replay(everybody, denied);
    const compare = (yaml: string) => {
      const list = expectationsIn(plainDocument({ path: 'expect.yaml', text: yaml }));
      if (typeof list === 'string') throw new Error(list);
      const { unexpected, expected, missing } = compareWith(changes, list);
      return [unexpected.length, expected.length, missing.length];
    };
    t.same(compare(`- { sni: 'API{mesh=default}', client: ${BATCH}, outcome: allowed }`), [0, 1, 0]);
    t.same(compare(`[{"sni": "api{mesh=default}", "outcome": "allowed"}]`), [0, 1, 0]);
    t.same(compare(`- { sni: 'api{mesh=default}', outcome: allowed, change: newly-allowed }`), [0, 1, 0]);
    t.same(compare(`- { sni: 'api{mesh=default}', outcome: allowed, change: other-endpoints }`), [1, 0, 1]);
    t.same(compare(`- { sni: 'api{mesh=default}', client: ${FRONTEND}, outcome: allowed }`), [1, 0, 1]);
    t.same(compare(`- { sni: 'api{mesh=default}', outcome: refused }`), [1, 0, 1]);
    t.same(compare('[]'), [1, 0, 0]);
  },
);

t.test('a list of expectations that cannot be is refused with what is allowed', async (t) => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [{}, /a list/],
    [['x'], /entry 1/],
    [[{ sni: 'x' }], /outcome is missing/],
    [[{ sni: 'x', outcome: 'allowed', clinet: 'y' }], /"clinet": allowed are sni, client, outcome, change/],
    [[{ sni: 'x', outcome: 1 }], /outcome must be a text/],
    [[{ sni: 'x', outcome: 'allowed', change: 'new' }], /allowed are newly-allowed/],
  ];
  for (const [value, message] of cases) t.match(expectationsIn(value), message);
});

t.test('a recording is read line by line: what is torn, of another version or no session is counted', async (t) => {
  const line = (value: object): string => `${JSON.stringify(value)}\n`;
  const text = `${line({ version: 1, ...api() })}{"version":1,"id":"0.\n\n${line({ version: 2, ...api() })}${line({ version: 1, ...api({ reason: 'whatever' as 'closed' }) })}${line({ version: 1, ...api(), uris: [1] })}${line({ ...denied, more: true })}[1]\n"x"\n`;
  const read = sessionsIn(text);
  t.same(
    read.records.map(({ id }) => id),
    ['0.1', '0.9'],
  );
  t.same([read.unreadable, read.unknownVersion], [5, 1]);
  t.equal(sessionsIn(JSON.stringify({ decisions: [api(), denied] }, null, 2)).records.length, 2, 'the page /decisions');
  t.same(sessionsIn(''), { records: [], requests: [], unreadable: 0, unknownVersion: 0 });
  const { id, reason, sni, mode, uris, helloMs, connectMs } = api();
  t.match(
    sessionsIn(line({ id, reason, sni, mode, uris, helloMs, connectMs })).records,
    [{ sni, alpn: [], bytesUp: 0 }],
    'fields may be missing',
  );
});

t.test('as text: what is newly allowed comes first and in capitals', async (t) => {
  const yaml = everybody.replace('advertisedAddress: 10.0.1.1', 'advertisedAddress: 10.0.1.9');
  const simulation = replay(
    yaml,
    backend({ id: '0.3' }),
    denied,
    api(),
    sessionRecord({ reason: 'not-tls', helloMs: -1, connectMs: -1 }),
  );
  const compared = compareWith(simulation.changes, [{ sni: 'x', outcome: 'denied' }]);
  t.equal(
    simulationText({ sessions: simulation, requests: simulateRequests(compiled(yaml).snapshot, []) }, compared).replaceAll(
      simulation.configuration.version,
      'VERSION',
    ),
    `2 of 3 sessions come to another end with configuration VERSION

NEWLY ALLOWED: 1 path, 1 session
  api{mesh=default} from spiffe://default/batch: was denied, is allowed: is let in by TrafficPermission default/frontend-out (zone.yaml:52); 1 session, e.g. 0.9

other endpoints: 1 path, 1 session
  backend{mesh=default}: went to 10.0.1.1:10001, goes to 10.0.1.9:10001 now (zone.yaml:23); 1 session, e.g. 0.3

expected, and does not happen:
  x: denied

note: names are taken to resolve, endpoints to be healthy
skipped: 1 session (not-tls 1) never sent a whole hello
`,
  );
});
