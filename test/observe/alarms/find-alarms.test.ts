// Each alarm of the list from its facts, and the marks at which it begins and ends.
import t from 'tap';
import { ALARMS } from '../../../src/model/alarm.ts';
import type { AlarmSeverity } from '../../../src/model/alarm.ts';
import type { AlarmFacts } from '../../../src/observe/alarms/alarm-facts.ts';
import { findAlarms } from '../../../src/observe/alarms/find-alarms.ts';

const NOW = Date.UTC(2026, 0, 1);
const DAY = 86_400_000;

const CERTIFICATES = [
  'certificate-expires',
  'client-trust-expires',
  'service-certificate-expires',
  'service-trust-expires',
  'admin-certificate-expires',
] as const;

const GOOD: AlarmFacts = {
  now: NOW,
  certificates: CERTIFICATES.map((name) => ({
    name,
    subject: 'default',
    notBefore: NOW - DAY,
    notAfter: NOW + 300 * DAY,
  })),
  tokens: [{ proxy: 'egress', issuedAt: NOW - DAY, expiresAt: NOW + 300 * DAY }],
  controlPlanes: [{ proxy: 'egress', away: null, refused: [] }],
  keptSince: null,
  lastLoad: { isRejected: false, errors: 0, first: '' },
  noIdentity: [],
  destinations: [],
  refusals: [{ subject: 'default/api', inLastMinute: 100, usual: 90, commonest: 'denied' }],
  limits: [
    { subject: 'sessions', used: 70, limit: 100 },
    { subject: 'sessions of one client', used: 9, limit: 0 },
  ],
  silentSides: [],
  isListening: true,
  dropped: [{ of: 'log', lines: 0 }],
  internalErrors: { count: 0, last: '' },
};

const off = (): null => null;

/** The alarms of changed facts, as `severity name subject`. */
function found(changes: Partial<AlarmFacts>, isOn: () => AlarmSeverity | null = off): readonly string[] {
  return findAlarms({ ...GOOD, ...changes }, isOn).map(({ severity, name, subject }) => `${severity} ${name} ${subject}`);
}

function life(name: AlarmFacts['certificates'][number]['name'], leftMs: number, wholeMs: number): Partial<AlarmFacts> {
  return { certificates: [{ name, subject: 'default', notBefore: NOW + leftMs - wholeMs, notAfter: NOW + leftMs }] };
}

const TROUBLES: readonly (readonly [Partial<AlarmFacts>, string])[] = [
  ...CERTIFICATES.flatMap(
    (name) =>
      [
        [life(name, 0.09 * DAY, DAY), `warning ${name} default`],
        [life(name, 0.02 * DAY, DAY), `critical ${name} default`],
        [life(name, 29 * DAY, 3_650 * DAY), `warning ${name} default`],
        [life(name, 2.9 * DAY, 3_650 * DAY), `critical ${name} default`],
        [life(name, -1, DAY), `critical ${name} default`],
      ] as const,
  ),
  [{ tokens: [{ proxy: 'egress', issuedAt: NOW - 9 * DAY, expiresAt: NOW + 0.9 * DAY }] }, 'warning token-expires egress'],
  [{ tokens: [{ proxy: 'egress', issuedAt: null, expiresAt: NOW - 1 }] }, 'critical token-expires egress'],
  [{ controlPlanes: [{ proxy: 'egress', away: 'it is gone', refused: [] }] }, 'warning control-plane-away egress'],
  [{ keptSince: NOW - DAY }, 'warning kept-configuration egress'],
  [
    { controlPlanes: [{ proxy: 'egress', away: null, refused: [{ type: 'listener', times: 3, message: 'bad' }] }] },
    'warning resources-refused listener',
  ],
  [{ lastLoad: { isRejected: true, errors: 2, first: 'a.yaml:1:1 name: is missing' } }, 'warning configuration-rejected egress'],
  [{ lastLoad: { isRejected: false, errors: 1, first: 'a.yaml:1:1 name: is missing' } }, 'warning configuration-errors egress'],
  [{ noIdentity: [{ mesh: 'default', why: 'no CA' }] }, 'critical no-identity default'],
  ...(['destination-broken', 'policy-unsupported', 'no-endpoint', 'endpoints-unhealthy'] as const).map(
    (name) => [{ destinations: [{ name, subject: 'default/api', why: 'it is so' }] }, `critical ${name} default/api`] as const,
  ),
  [
    { refusals: [{ subject: 'default/api', inLastMinute: 20, usual: 4, commonest: 'denied' }] },
    'warning refusals-jump default/api',
  ],
  [{ limits: [{ subject: 'sessions', used: 80, limit: 100 }] }, 'warning limit-near sessions'],
  [{ limits: [{ subject: 'memory', used: 95e6, limit: 100e6, unit: 'bytes' }] }, 'critical limit-near memory'],
  [{ silentSides: [{ side: 1, forMs: 7_000 }] }, 'critical data-side-silent data side 1'],
  [{ isListening: false }, 'critical not-listening egress'],
  [{ dropped: [{ of: 'recording', lines: 3 }] }, 'warning lines-dropped recording'],
  [{ dropped: [{ of: 'collector', lines: 3 }] }, 'warning lines-dropped collector'],
  [{ internalErrors: { count: 2, last: 'boom' } }, 'warning internal-errors egress'],
];

t.test('each alarm of the list is found by its facts, with each of its severities, and none without', async (t) => {
  t.same(found({}), []);
  for (const [changes, alarm] of TROUBLES) t.same(found(changes), [alarm], JSON.stringify(changes));
  const all = Object.entries(ALARMS).flatMap(([name, { severities }]) => severities.map((severity) => `${severity} ${name}`));
  const seen = new Set(TROUBLES.map(([, alarm]) => alarm.split(' ').slice(0, 2).join(' ')));
  t.same([...seen].sort(), all.sort());
});

t.test('the sentence has the numbers and the reason', async (t) => {
  const says = (changes: Partial<AlarmFacts>): string => findAlarms({ ...GOOD, ...changes }, off)[0]?.says ?? '';
  t.equal(
    says(life('certificate-expires', 0.01 * DAY, DAY)),
    'the certificate of this egress in mesh default ends 2026-01-01T00:14:24.000Z',
  );
  t.equal(
    says(life('client-trust-expires', -1_000, DAY)),
    'the CA by which clients are trusted in mesh default expired 2025-12-31T23:59:59.000Z',
  );
  t.equal(
    says({ dropped: [{ of: 'collector', lines: 3 }] }),
    '3 spans and log records for the collector of --otlp-endpoint were dropped in the last 10 minutes',
  );
  t.equal(says({ limits: [{ subject: 'memory', used: 96e6, limit: 100e6, unit: 'bytes' }] }), '96MB of 100MB are used: 96 %');
  t.equal(
    says({ refusals: [{ subject: 'x', inLastMinute: 50, usual: 0.1, commonest: 'denied' }] }),
    '50 refusals in a minute, where less than one is usual; most with denied',
  );
  t.equal(
    says({ refusals: [{ subject: 'x', inLastMinute: 50, usual: 6.2, commonest: 'denied' }] }),
    '50 refusals in a minute, where about 6 are usual; most with denied',
  );
  const two = [
    { proxy: 'a', away: null, refused: [{ type: 'listener', times: 1, message: 'bad' }] },
    { proxy: 'b', away: null, refused: [] },
  ];
  t.match(findAlarms({ ...GOOD, controlPlanes: two }, off), [{ subject: 'listener for a', says: /refused once: bad$/ }]);
});

t.test('an alarm that is on ends at another mark than the one at which it begins', async (t) => {
  const sessions = (used: number): Partial<AlarmFacts> => ({ limits: [{ subject: 'sessions', used, limit: 100 }] });
  const on = (severity: AlarmSeverity) => (): AlarmSeverity => severity;
  t.same(found(sessions(79)), []);
  t.same(found(sessions(71), on('warning')), ['warning limit-near sessions']);
  t.same(found(sessions(69), on('warning')), []);
  t.same(found(sessions(94), on('warning')), ['warning limit-near sessions']);
  t.same(found(sessions(91), on('critical')), ['critical limit-near sessions']);
  t.same(found(sessions(89), on('critical')), ['warning limit-near sessions']);
  const refusals = (inLastMinute: number): Partial<AlarmFacts> => ({
    limits: [],
    refusals: [{ subject: 'api', inLastMinute, usual: 4, commonest: 'denied' }],
  });
  t.same(found(refusals(19)), []);
  t.same(found(refusals(11), on('warning')), ['warning refusals-jump api']);
  t.same(found(refusals(9), on('warning')), []);
});
