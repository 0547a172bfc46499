import t from 'tap';
import { isTold, requestLog, sessionLog } from '../../../src/observe/otlp/log-facts.ts';
import { requestSpan, sessionSpans } from '../../../src/observe/otlp/span-facts.ts';
import type { SessionRecord } from '../../../src/model/session-record.ts';
import { requestRecord, sessionRecord, unmatched } from '../record.ts';

const START = Date.UTC(2026, 0, 1);

/** The steps as `name from to`, with `!` where the step has the error. */
function steps(record: SessionRecord): readonly string[] {
  return sessionSpans(record).steps.map(
    ({ name, startMs, endMs, error }) => `${name} ${startMs - START} ${endMs - START}${error === null ? '' : ' !'}`,
  );
}

t.test('the steps of a session follow one another, and the one it ended in lasts to the end', async (t) => {
  const terminated = { mode: 'terminate', tlsVersion: 'TLSv1.2', handshakeMs: 4, helloMs: 2, connectMs: 3, totalMs: 50 } as const;
  const cases: readonly (readonly [string, SessionRecord, readonly string[]])[] = [
    ['passthrough', sessionRecord({ helloMs: 2, connectMs: 3, totalMs: 50 }), ['hello 0 2', 'connect 2 5', 'splice 5 50']],
    ['terminated', sessionRecord(terminated), ['hello 0 2', 'handshake 2 6', 'connect 6 9', 'splice 9 50']],
    [
      'names that had to be waited for',
      sessionRecord({ ...terminated, waitedMs: 10 }),
      ['hello 0 2', 'handshake 2 6', 'connect 16 19', 'splice 19 50'],
    ],
    [
      'idle',
      sessionRecord({ ...terminated, reason: 'idle-timeout', detail: 'no byte' }),
      ['hello 0 2', 'handshake 2 6', 'connect 6 9', 'splice 9 50 !'],
    ],
    ['no hello', unmatched({ reason: 'hello-timeout', helloMs: -1, totalMs: 50 }), ['hello 0 50 !']],
    ['no route', unmatched({ helloMs: 2, totalMs: 3 }), ['hello 0 2']],
    [
      'no handshake',
      sessionRecord({ ...terminated, reason: 'handshake-failed', handshakeMs: -1, connectMs: -1, attempts: 0 }),
      ['hello 0 2', 'handshake 2 50 !'],
    ],
    [
      'a rate limit before the handshake',
      sessionRecord({ ...terminated, reason: 'over-limit', handshakeMs: -1, connectMs: -1, attempts: 0 }),
      ['hello 0 2'],
    ],
    ['denied', sessionRecord({ ...terminated, reason: 'denied', connectMs: -1, attempts: 0 }), ['hello 0 2', 'handshake 2 6']],
    [
      'no connection',
      sessionRecord({ ...terminated, reason: 'connect-refused', connectMs: -1, attempts: 2 }),
      ['hello 0 2', 'handshake 2 6', 'connect 6 50 !'],
    ],
    ['requests', sessionRecord({ ...terminated, requests: 3 }), ['hello 0 2', 'handshake 2 6', 'requests 6 50']],
  ];
  for (const [name, record, expected] of cases) t.strictSame(steps(record), expected, name);
});

t.test('a session that did not end well has its sentence, and unknown facts are left out', async (t) => {
  const { session } = sessionSpans(unmatched({ sni: '', spiffeIds: [] }));
  t.match(session, { name: 'session', kind: 'server', error: 'no route has the SNI "x"', startMs: START });
  for (const name of ['server.address', 'zone_egress.mesh', 'zone_egress.client.spiffe_ids', 'tls.protocol.version'])
    t.notOk(name in session.attributes, name);
  t.equal(sessionSpans(unmatched({ detail: '' })).session.error, 'no route has this SNI');
  const [, connect] = sessionSpans(sessionRecord({ endpoint: '[fd00::1]:443' })).steps;
  t.match(connect, { kind: 'client', attributes: { 'server.address': 'fd00::1', 'server.port': 443 } });
  const many = sessionRecord({ spiffeIds: Array.from({ length: 40 }, (_, i) => `spiffe://default/${i}`) });
  t.equal([sessionSpans(many).session.attributes['zone_egress.client.spiffe_ids']].flat().length, 16);
});

t.test('a request has the name of a known method only, and 500 and above are errors', async (t) => {
  t.match(requestSpan(requestRecord()), { name: 'GET', error: null, startMs: START, endMs: START + 9 });
  t.match(requestSpan(requestRecord({ method: 'BREW' })), {
    name: 'HTTP',
    attributes: { 'http.request.method': '_OTHER', 'http.request.method_original': 'BREW' },
  });
  t.match(requestSpan(requestRecord({ status: 503 })), {
    error: 'the service answered 503',
    attributes: { 'error.type': '503', 'http.response.status_code': 503 },
  });
  t.match(requestSpan(requestRecord({ reason: 'denied', detail: 'no', status: 403 })), {
    error: 'no',
    attributes: { 'error.type': 'denied' },
  });
});

t.test('log records say how it ended, when, and how bad it is', async (t) => {
  const end = { atMs: START + 5_000 };
  t.match(sessionLog(sessionRecord()), { ...end, severity: 'INFO', body: 'session ended', event: 'zone_egress.session' });
  t.match(sessionLog(unmatched()), { ...end, severity: 'WARN', body: 'no route has the SNI "x"' });
  t.match(sessionLog(sessionRecord({ reason: 'internal-error', detail: 'x is undefined' })), { severity: 'ERROR' });
  t.match(sessionLog(sessionRecord({ wouldRefuse: 'no permission' })), { severity: 'WARN', body: 'no permission' });
  t.match(requestLog(requestRecord()), { severity: 'INFO', body: 'request served', event: 'zone_egress.request' });
  t.strictSame(
    [
      sessionRecord(),
      unmatched(),
      sessionRecord({ wouldRefuse: 'no' }),
      requestRecord(),
      requestRecord({ reason: 'denied' }),
    ].map(isTold),
    [false, true, true, false, true],
  );
});
