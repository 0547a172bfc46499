// Explains every end of a session by its record, with the step at which it ends.
import t from 'tap';
import { NORMAL_ENDS, REFUSALS } from '../../src/base/refusal.ts';
import type { EndReason } from '../../src/base/refusal.ts';
import { assumedView } from '../../src/explain/assumed-view.ts';
import { explain } from '../../src/explain/explain.ts';
import { factsOfRecord } from '../../src/explain/facts.ts';
import { traceText } from '../../src/explain/print.ts';
import type { Trace } from '../../src/explain/trace.ts';
import { serverName } from '../../src/model/names.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';
import { sessionRecord, unmatched } from '../observe/record.ts';
import { compiled, sourcesOf } from './zone.ts';

const config = compiled();
const frontend = 'spiffe://default/frontend';

/**
 * A session to `api`, which has TLS to its endpoint, or to `reports`, which has none, with how far
 * it got.
 */
const reached = {
  accepted: (changes: Partial<SessionRecord>) => unmatched({ sni: '', tlsOffered: '', helloMs: -1, ...changes }),
  hello: (changes: Partial<SessionRecord>) => unmatched({ sni: 'nowhere', ...changes }),
  route: (changes: Partial<SessionRecord>) =>
    through({ uris: [], spiffeIds: [], attempts: 0, endpoint: '', connectMs: -1, ...changes }),
  client: (changes: Partial<SessionRecord>) => through({ attempts: 0, endpoint: '', connectMs: -1, ...changes }),
  dialled: (changes: Partial<SessionRecord>) => through({ connectMs: -1, ...changes }),
  joined: through,
};

function through(changes: Partial<SessionRecord>): SessionRecord {
  return sessionRecord({
    sni: 'api{mesh=default}',
    mode: 'terminate',
    destination: 'api',
    cluster: config.snapshot.routes.get(serverName('api{mesh=default}'))?.cluster ?? '',
    spiffeIds: [frontend],
    uris: [frontend],
    endpoint: '10.9.0.1:443',
    endpointTls: true,
    snapshotVersion: config.snapshot.version,
    ...changes,
  });
}

function ended(record: SessionRecord): Trace {
  return explain(config.snapshot, factsOfRecord(record), assumedView, sourcesOf(config));
}

type Reached = keyof typeof reached;

/** Codes of one step occur there; others occur at the present step of a session. */
const ENDS: Readonly<Record<EndReason, readonly (readonly [Reached, Trace['endsAt'], Partial<SessionRecord>?])[]>> = {
  'hello-timeout': [['accepted', 'hello']],
  'hello-too-large': [['accepted', 'hello']],
  'not-tls': [['accepted', 'hello']],
  'malformed-hello': [['accepted', 'hello']],
  'client-gone': [
    ['accepted', 'hello'],
    ['route', 'identity'],
    ['client', 'endpoint'],
    ['dialled', 'endpoint', { endpointTls: false }],
    ['dialled', 'tls'],
  ],
  'no-sni': [['accepted', 'route', { helloMs: 1 }]],
  'no-route': [['hello', 'route']],
  'identity-unavailable': [['route', 'identity']],
  'handshake-failed': [['route', 'identity']],
  'no-client-certificate': [['route', 'identity']],
  'client-not-trusted': [['route', 'identity']],
  'wrong-mesh': [['route', 'identity']],
  denied: [['client', 'permission', { spiffeIds: ['spiffe://default/batch'], uris: ['spiffe://default/batch'] }]],
  'unsupported-policy': [],
  misconfigured: [],
  'over-limit': [
    ['accepted', 'hello'],
    ['route', 'route', { limit: 'rate' }],
    ['route', 'identity'],
    ['client', 'endpoint', { limit: 'max-connections' }],
    ['client', 'endpoint', { limit: 'max-pending' }],
  ],
  'no-endpoint': [['client', 'endpoint']],
  'dns-failed': [['client', 'endpoint']],
  'forbidden-address': [['client', 'endpoint']],
  'connect-timeout': [
    ['dialled', 'endpoint'],
    ['dialled', 'endpoint', { endpointTls: false }],
  ],
  'connect-refused': [
    ['dialled', 'endpoint'],
    ['dialled', 'endpoint', { endpointTls: false }],
  ],
  'upstream-tls-failed': [
    ['dialled', 'tls'],
    ['joined', 'tls'],
  ],
  'malformed-request': [
    ['client', 'request', { requests: 1 }],
    ['joined', 'splice', { requests: 2 }],
  ],
  'request-timeout': [['joined', 'splice', { requests: 1 }]],
  'fault-injected': [['client', 'request', { requests: 1 }]],
  'endpoint-failed': [['joined', 'splice', { requests: 1 }]],
  'idle-timeout': [['joined', 'splice']],
  'tls-error': [
    ['client', 'endpoint'],
    ['dialled', 'tls'],
    ['joined', 'splice'],
  ],
  'policy-changed': [
    ['client', 'endpoint'],
    ['joined', 'splice'],
  ],
  'ended-by-operator': [
    ['accepted', 'hello'],
    ['route', 'identity'],
    ['dialled', 'tls'],
    ['joined', 'splice'],
  ],
  drained: [
    ['route', 'identity'],
    ['dialled', 'tls'],
    ['joined', 'splice'],
  ],
  'internal-error': [
    ['route', 'identity'],
    ['dialled', 'tls'],
    ['joined', 'splice'],
  ],
  closed: [['joined', null]],
  'client-reset': [['joined', null]],
  'endpoint-reset': [['joined', null]],
};

t.test('every code that a record may have ends at its step', async (t) => {
  t.same(Object.keys(ENDS).sort(), [...Object.keys(REFUSALS), ...Object.keys(NORMAL_ENDS)].sort());
  for (const [reason, cases] of Object.entries(ENDS)) {
    for (const [how, step, changes] of cases) {
      const trace = ended(reached[how]({ reason: reason as EndReason, detail: 'because', ...changes }));
      const name = `${reason} where the session got to: ${how} ${JSON.stringify(changes ?? {})}`;
      t.equal(trace.endsAt, step, name);
      t.equal(trace.reason, reason, name);
      if (trace.outcome === 'refused') t.match(traceText(trace), `refused at ${step ?? ''}: ${reason}\n`, name);
    }
  }
});
