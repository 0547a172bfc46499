// Refusals as `explain` prints them. `UPDATE_GOLDEN=1 npm test -- test/explain/goldens.test.ts`
// writes the texts, and those of docs/explain.md.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { assumedView } from '../../src/explain/assumed-view.ts';
import { explain } from '../../src/explain/explain.ts';
import { factsOfRecord } from '../../src/explain/facts.ts';
import type { ConnectionFacts } from '../../src/explain/facts.ts';
import { traceText } from '../../src/explain/print.ts';
import type { EndpointView } from '../../src/model/endpoint-view.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';
import { sessionRecord, unmatched } from '../observe/record.ts';
import { compiled, facts, sourcesOf, ZONE } from './zone.ts';

const VERSION = '0123456789abcdef';
const FOLDER = new URL('golden/', import.meta.url);

interface Case {
  readonly reason: string;
  readonly facts: ConnectionFacts;
  readonly view?: Partial<EndpointView>;
  readonly yaml?: string;
}

const frontend = 'spiffe://default/frontend';
const canary = `${ZONE}---
type: TrafficRoute
mesh: default
name: canary
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: backend } }]
conf: { destination: { kuma.io/service: backend, version: v9 } }
`;
const unsupported = `${ZONE}---
type: MeshTrafficPermission
mesh: default
name: by-labels
spec: { targetRef: { kind: Mesh }, from: [{ targetRef: { kind: MeshService, labels: { team: a } }, default: { action: Allow } }] }
`;
const denied = `${ZONE}---
type: MeshTrafficPermission
mesh: default
name: not-batch
spec:
  targetRef: { kind: Mesh }
  from:
  - { targetRef: { kind: Mesh }, default: { action: Allow } }
  - { targetRef: { kind: MeshService, name: batch }, default: { action: Deny } }
`;

function recorded(change: Partial<SessionRecord>): ConnectionFacts {
  const terminated = {
    sni: 'api{mesh=default}',
    mode: 'terminate',
    mesh: 'default',
    destination: 'api',
    cluster: 'default:api',
  } as const;
  return factsOfRecord(sessionRecord({ id: '0.17', ...terminated, connectMs: -1, attempts: 0, endpoint: '', ...change }));
}

const CASES: Readonly<Record<string, Case>> = {
  'no-route-spelling': { reason: 'no-route', facts: facts('backedn{mesh=default}') },
  'no-route-other-mesh': { reason: 'no-route', facts: facts('backend{mesh=payments}') },
  'no-route-zone-egress-disabled': { reason: 'no-route', facts: facts('ledger{mesh=payments}') },
  'no-route-address': { reason: 'no-route', facts: facts('api.partner.test') },
  'no-sni': { reason: 'no-sni', facts: facts(null) },
  'no-client-certificate': { reason: 'no-client-certificate', facts: facts('api{mesh=default}') },
  'wrong-mesh': { reason: 'wrong-mesh', facts: facts('api{mesh=default}', 'spiffe://payments/till') },
  'client-not-trusted': {
    reason: 'client-not-trusted',
    facts: recorded({
      reason: 'client-not-trusted',
      startedAt: Date.UTC(2026, 0, 2),
      detail: 'the client certificate expired 2026-01-01T00:00:00.000Z, it is 2026-01-02T00:00:00.000Z',
      tlsVersion: 'TLSv1.3',
      spiffeIds: [frontend],
      certificateIssuer: 'CN=default',
      certificateExpiry: '2026-01-01T00:00:00.000Z',
    }),
  },
  'denied-other-service': { reason: 'denied', facts: facts('api{mesh=default}', 'spiffe://default/batch') },
  'denied-other-tag': { reason: 'denied', facts: facts('api{mesh=default}', 'spiffe://default/checkout', 'kuma://version/v1') },
  'denied-no-permission': { reason: 'denied', facts: facts('reports{mesh=default}', frontend) },
  'denied-by-rule': { reason: 'denied', facts: facts('api{mesh=default}', 'spiffe://default/batch'), yaml: denied },
  'unsupported-policy': { reason: 'unsupported-policy', facts: facts('api{mesh=default}', frontend), yaml: unsupported },
  'no-endpoint': { reason: 'no-endpoint', facts: facts('backend{mesh=default,version=v9}'), yaml: canary },
  'dns-failed': {
    reason: 'dns-failed',
    facts: facts('api{mesh=default}', frontend),
    view: { names: new Map([['api.partner.test', { kind: 'failed', message: 'ENOTFOUND' }]]) },
  },
  'forbidden-address': {
    reason: 'forbidden-address',
    facts: facts('api{mesh=default}', frontend),
    view: { names: new Map([['api.partner.test', { kind: 'resolved', addresses: ['169.254.169.254'] }]]) },
  },
  'connect-refused': {
    reason: 'connect-refused',
    facts: recorded({
      reason: 'connect-refused',
      detail: 'connect api: 10.9.0.1:443 refused',
      snapshotVersion: VERSION,
      spiffeIds: [frontend],
      uris: [frontend],
      attempts: 1,
      endpoint: '10.9.0.1:443',
    }),
  },
  'not-tls': {
    reason: 'not-tls',
    facts: factsOfRecord(
      unmatched({
        id: '0.18',
        reason: 'not-tls',
        detail: 'the first byte is 0x47, not a TLS handshake',
        sni: '',
        alpn: [],
        tlsOffered: '',
        helloMs: -1,
      }),
    ),
  },
};

for (const [name, { reason, facts: asked, view, yaml }] of Object.entries(CASES)) {
  t.test(`${name} says what to change`, async (t) => {
    const config = compiled(yaml);
    const snapshot = { ...config.snapshot, version: VERSION };
    const trace = explain(snapshot, asked, (cluster) => ({ ...assumedView(cluster), ...view }), sourcesOf(config));
    t.equal(trace.outcome, 'refused');
    t.equal(trace.reason, reason);
    const file = new URL(`${name}.txt`, FOLDER);
    if (process.env.UPDATE_GOLDEN === '1') {
      mkdirSync(FOLDER, { recursive: true });
      writeFileSync(file, traceText(trace));
    }
    t.equal(traceText(trace), existsSync(file) ? readFileSync(file, 'utf8') : '');
  });
}

t.test('every golden text has its case', async (t) => {
  t.same(
    readdirSync(FOLDER).sort(),
    Object.keys(CASES)
      .map((name) => `${name}.txt`)
      .sort(),
  );
});

const DOCUMENT = new URL('../../docs/explain.md', import.meta.url);

t.test('the document shows these texts', async (t) => {
  const shown = Object.keys(CASES).map((name) => `\`\`\`text\n${readFileSync(new URL(`${name}.txt`, FOLDER), 'utf8')}\`\`\``);
  const examples = `<!-- examples -->\n${shown.join('\n\n')}\n<!-- /examples -->`;
  const text = readFileSync(DOCUMENT, 'utf8');
  const made = text.replace(/<!-- examples -->[\s\S]*<!-- \/examples -->/, () => examples);
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(DOCUMENT, made);
  t.equal(readFileSync(DOCUMENT, 'utf8'), made);
});

t.test('the document names every field of the JSON form', async (t) => {
  const text = readFileSync(DOCUMENT, 'utf8');
  const config = compiled();
  const trace = explain(
    config.snapshot,
    recorded({ reason: 'no-route', sni: 'apii{mesh=default}' }),
    assumedView,
    sourcesOf(config),
  );
  const whole = explain(config.snapshot, facts('api{mesh=default}', frontend), assumedView, sourcesOf(config));
  const fields = new Set([...fieldsOf(trace), ...fieldsOf(whole)]);
  t.ok(fields.size > 40, `${fields.size} fields`);
  for (const field of fields) t.match(text, new RegExp(`\\b${field}\\b`), field);
});

function fieldsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(fieldsOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...fieldsOf(inner)]);
}
