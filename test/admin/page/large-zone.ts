// The facts of a page: 10 meshes, 200 services, 1,000 open sessions, refusals, problems, alarms and
// an hour of numbers. Every value comes from its number, so that two runs show the same.
import { assumedView } from '../../../src/explain/assumed-view.ts';
import { claimedClient } from '../../../src/explain/claimed-client.ts';
import { explain } from '../../../src/explain/explain.ts';
import { factsOfRecord } from '../../../src/explain/facts.ts';
import { claimsOf } from '../../../src/identity/claims.ts';
import type { ConnectionFacts } from '../../../src/explain/facts.ts';
import type { Answer, Question } from '../../../src/explain/question.ts';
import type { PageFacts } from '../../../src/admin/page/facts.ts';
import type { HourSample } from '../../../src/observe/last-hour.ts';
import type { SessionRecord } from '../../../src/model/session-record.ts';
import type { ShownSession } from '../../../src/model/shown-session.ts';
import { isFoundBy, largestFirst } from '../../../src/model/shown-session.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import { isDecisionFoundBy } from '../../../src/observe/decisions.ts';
import { dialable } from '../../../src/routing/candidates.ts';
import { compile } from '../../../src/resources/compile.ts';
import { createTestMesh } from '../../../src/testing/egress/test-mesh.ts';
import { sessionRecord, unmatched } from '../../observe/record.ts';

const MESHES = ['default', 'payments', 'orders', 'catalog', 'search', 'identity', 'media', 'billing', 'partners', 'reporting'];
const SERVICES = 20;
const NOW = Date.UTC(2026, 10, 30, 12);
const HOUR_MS = 3_600_000;

const WORDS = ['api', 'ledger', 'mail', 'maps', 'rates', 'fraud', 'tax', 'geo', 'sms', 'archive'];

/** The name of a service of a mesh: the first ten have a plain word, the others a number. */
function nameOf(i: number): string {
  return `${WORDS[i % WORDS.length] ?? ''}${i < WORDS.length ? '' : '-eu'}`;
}

function service(mesh: string, i: number): string {
  const name = nameOf(i);
  return `type: ExternalService
mesh: ${mesh}
name: ${name}
tags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }
networking: { address: '10.1.${MESHES.indexOf(mesh)}.${i + 1}:443' }
---
type: TrafficPermission
mesh: ${mesh}
name: to-${name}
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: ${name} } }]`;
}

export interface LargeZone {
  readonly facts: PageFacts;
  readonly snapshot: Snapshot;
}

export async function largeZone(): Promise<LargeZone> {
  const meshes = await Promise.all(MESHES.map((name) => createTestMesh(name, { keyType: 'ec', nowMs: NOW })));
  const services = MESHES.flatMap((mesh) => Array.from({ length: SERVICES }, (_, i) => service(mesh, i)));
  const zone = 'type: ZoneEgress\nname: egress-east\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }';
  const text = [zone, ...meshes.map(({ resources }) => resources), ...services].join('\n---\n');
  const compiled = compile([{ path: 'zone.yaml', text }], {});
  if (compiled.kind === 'invalid') throw new Error(JSON.stringify(compiled.problems.slice(0, 3)));
  const { snapshot } = compiled;
  const sessions = Array.from({ length: 1_000 }, (_, i) => session(i));
  const records = Array.from({ length: 300 }, (_, i) => refusal(i, snapshot));
  const open = (cluster: string): number => sessions.filter((each) => each.cluster === cluster).length;
  const facts: PageFacts = {
    ready: () => ({ ok: true, text: 'LIVE' }),
    proxies: () => [{ id: 'egress-east', mesh: '', name: 'egress-east', state: 'live', sentence: 'connected since 09:12' }],
    alarms: () => Promise.resolve([ALARM]),
    decisions: (query) => records.filter((each) => isDecisionFoundBy(query, each)).slice(0, query.limit),
    requests: () => [],
    sessions(query) {
      const found = sessions.filter((each) => isFoundBy(query, each));
      return Promise.resolve({ found: found.length, silent: [], sessions: largestFirst([...found], query) });
    },
    wall: () => NOW,
    snapshot: () => snapshot,
    problems: () => [PROBLEM],
    explain: (question) => answer(snapshot, records, question),
    version: '0.1.0',
    workers: 2,
    uptimeMs: () => 26 * HOUR_MS,
    use: (cluster) => ({ connections: open(cluster), pending: 0, requests: 0 }),
    targets: (cluster) => dialable(cluster, assumedView(cluster)),
    health: (_cluster, key) => (/\.(?:3|17):/.test(key) ? 'unhealthy' : 'healthy'),
    memory: () => ({ heapUsed: 40e6, heapTotal: 60e6, resident: 140e6 }),
    name: () => 'egress-east',
    open: () => sessions.length,
    lastLoad: () => ({ at: NOW - 60_000, rejected: false, liveSince: NOW - HOUR_MS, changes: CHANGES }),
    credentials: () =>
      meshes.map((mesh) => ({
        mesh: mesh.name,
        trust: mesh.ca.cert,
        cert: mesh.issue({ uris: [`spiffe://${mesh.name}/zone-egress`] }).cert,
      })),
    lastHour: { intervalMs: 15_000, samples: () => SAMPLES, close: () => undefined },
  };
  return { facts, snapshot };
}

function session(i: number): ShownSession {
  const mesh = MESHES[(i * i) % MESHES.length] ?? '';
  const destination = nameOf((i * 7) % SERVICES);
  return {
    id: `${i % 2}.${i}`,
    worker: i % 2,
    state: 'relay',
    startedAt: NOW - i * 7_000,
    ageMs: i * 7_000,
    idleMs: (i * 37) % 9_000,
    clientAddress: `10.0.${i % 250}.7`,
    clientPort: 30_000 + i,
    spiffeIds: [`spiffe://${mesh}/frontend`],
    sni: `${destination}{mesh=${mesh}}`,
    mode: 'terminate',
    mesh,
    destination,
    cluster: `${mesh}:${destination}`,
    endpoint: `10.1.0.${(i % 9) + 1}:443`,
    endpointTls: true,
    bytesUp: i * 12_345,
    bytesDown: i * 98_765,
    rateUp: (i * 131) % 20_000,
    rateDown: (i * 997) % 90_000,
  };
}

function refusal(i: number, { version }: Snapshot): SessionRecord {
  const common = { id: `0.${5_000 + i}`, startedAt: NOW - i * 4_000, snapshotVersion: version };
  if (i % 5 === 0) return unmatched({ ...common, sni: `nowhere-${i}`, detail: `no route has the SNI "nowhere-${i}"` });
  const mesh = MESHES[i % 3] ?? '';
  const destination = nameOf(i % 2);
  const detail = `TrafficPermission ${mesh}/to-${destination}: no rule allows spiffe://${mesh}/batch to reach ${destination}`;
  const id = `spiffe://${mesh}/batch`;
  const route = {
    mesh,
    destination,
    cluster: `${mesh}:${destination}`,
    mode: 'terminate',
    sni: `${destination}{mesh=${mesh}}`,
  } as const;
  return sessionRecord({
    ...common,
    ...route,
    detail,
    reason: 'denied',
    spiffeIds: [id],
    uris: [id],
    connectMs: -1,
    attempts: 0,
  });
}

function answer(snapshot: Snapshot, records: readonly SessionRecord[], question: Question): Answer {
  if ('id' in question) {
    const record = records.find(({ id }) => id === question.id);
    if (record === undefined) return { kind: 'no-record', why: `session ${JSON.stringify(question.id)}: not there` };
    return { kind: 'trace', trace: explain(snapshot, factsOfRecord(record), assumedView) };
  }
  const { sni: serverName, from = [] } = question;
  const claims = claimsOf(from);
  if (typeof claims === 'string' && from.length > 0) return { kind: 'bad-question', why: claims };
  const client: ConnectionFacts['client'] =
    typeof claims === 'string' ? { kind: 'none' } : claimedClient(snapshot, serverName, claims);
  const facts = { serverName, alpn: [], tlsVersion: '', clientAddress: '', client, record: null };
  return { kind: 'trace', trace: explain(snapshot, facts, assumedView) };
}

const ALARM = {
  name: 'endpoints-unhealthy',
  severity: 'critical',
  since: new Date(NOW - 300_000).toISOString(),
  subject: 'payments/mail',
  says: 'health checks hold all 1 endpoints of payments/mail for bad: 10.1.1.3:443 refused the connection',
  do: 'look at the service; `zone-egress explain --probe` dials it and says what fails',
} as const;

const PROBLEM = {
  severity: 'warning',
  file: 'zone.yaml',
  line: 12,
  column: 3,
  field: 'networking.tls',
  message: 'the endpoint is connected without TLS',
} as const;

const CHANGES = {
  routesAdded: 1,
  routesRemoved: 0,
  routesChanged: 1,
  clustersChanged: 1,
  added: ['geo{mesh=payments}'],
  removed: [],
  changed: ['api{mesh=default}'],
  newlyAllowed: ['geo{mesh=payments}: spiffe://payments/frontend'],
  noLongerAllowed: ['api{mesh=default}: spiffe://default/batch'],
};

const SAMPLES: readonly HourSample[] = Array.from({ length: 240 }, (_, i) => {
  const wave = 1 + Math.sin(i / 17) / 3 + ((i * 7_919) % 13) / 60;
  const refused = i > 200 ? (i * 31) % 17 : 0;
  return {
    at: NOW - (239 - i) * 15_000,
    open: Math.round(800 * wave),
    ended: Math.round(900 * wave),
    refused,
    bytes: Math.round(4e8 * wave),
    cpu: 0.2 * wave,
    resident: 140e6 + i * 20_000,
  };
});

/** Ends every text and attribute that is not escaped, and turns the direction of writing. */
export const PAYLOAD = '\u202e"\'></text></title><img src=x onerror="attacked()"><script>attacked()</script>&lt;';

/** Texts that the code compares, of closed lists; a peer cannot choose them. */
const CLOSED = new Set(['kind', 'outcome', 'reason', 'severity', 'state', 'mode', 'step', 'endsAt', 'since', 'action', 'match']);

/** Puts the payload into every text of a value, also into the keys of maps. */
function hostileOf<Value>(value: Value, key?: string): Value;
function hostileOf(value: unknown, key = ''): unknown {
  if (typeof value === 'string') return CLOSED.has(key) ? value : `${value}${PAYLOAD}`;
  if (Array.isArray(value)) return value.map((each) => hostileOf(each as unknown, key));
  if (value instanceof Map)
    return new Map([...value].map(([name, each]) => [hostileOf(name as unknown), hostileOf(each as unknown)] as const));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, hostileOf(each as unknown, name)]));
  return value;
}

/** Makes every text hostile that the facts hold. */
export function hostileFacts(facts: PageFacts): PageFacts {
  return {
    ...facts,
    version: hostileOf(facts.version),
    name: () => PAYLOAD,
    ready: () => ({ ok: false, text: PAYLOAD, note: PAYLOAD }),
    proxies: () => hostileOf(facts.proxies?.() ?? []),
    alarms: async () => hostileOf(await facts.alarms()),
    decisions: (query) => hostileOf(facts.decisions({ outcome: 'refused', limit: query.limit ?? 50 })),
    sessions: async (query) => hostileOf(await facts.sessions({ sort: query.sort, most: query.most })),
    snapshot: () => hostileOf(facts.snapshot()),
    problems: () => hostileOf(facts.problems()),
    lastLoad: () => hostileOf(facts.lastLoad()),
    explain: (question) => hostileOf(facts.explain(question)),
  };
}
