import t from 'tap';
import type { Problem } from '../../src/base/problem.ts';
import type { Cluster } from '../../src/model/cluster.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import { createObserver } from '../../src/observe/observer.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { sessionRecord, unmatched } from './record.ts';

function setUp() {
  const raw: string[] = [];
  const clock = new FakeClock();
  const observer = createObserver({
    clock,
    level: 'info',
    process: false,
    destination: { write: (line) => void raw.push(line) },
  });
  return { observer, clock, lines: () => raw.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

const now = { sessions: 3, handshakes: 1 };
const problem: Problem = { severity: 'error', file: 'mesh.yaml', line: 3, column: 1, field: 'name', message: 'is missing' };
const warning: Problem = { ...problem, severity: 'warning' };
const cluster: Cluster = {
  name: 'default:api',
  connectTimeoutMs: 5000,
  endpoints: [
    {
      address: { kind: 'name', name: 'api.test', family: 'v4' },
      port: 443,
      weight: 1,
      priority: 0,
      zone: '',
      tags: {},
      tls: {
        serverName: 'api.test',
        trust: { kind: 'none', reason: 'no caCert' },
        names: null,
        clientCertificate: null,
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.3',
        alpn: [],
        allowRenegotiation: false,
      },
    },
  ],
};
const sni = serverName('api{mesh=default}');
const snapshot = {
  ...EMPTY_SNAPSHOT,
  version: 'abcdef0123456789',
  zone: 'east',
  clusters: new Map([[cluster.name, cluster]]),
  routes: new Map([
    [
      sni,
      {
        kind: 'terminate' as const,
        serverName: sni,
        mesh: meshName('default'),
        destination: 'api',
        cluster: cluster.name,
        permission: { kind: 'allow-all' as const, by: 'x' },
        protocol: 'tcp' as const,
      },
    ],
  ]),
};
const config = { snapshot, listener: { name: 'egress-1', address: '', port: 10002, adminPort: 9901 } };

t.test('one record is one line, one count, one decision and one call of each listener', async (t) => {
  const { observer, lines } = setUp();
  const seen: string[] = [];
  const stop = observer.onRecord(({ id }) => void seen.push(id));
  observer.record(unmatched({ id: '0.7' }));
  stop();
  observer.record(sessionRecord({ id: '0.8' }));
  t.same(seen, ['0.7']);
  t.same(
    lines().map(({ id }) => id),
    ['0.7', '0.8'],
  );
  t.same(
    observer.decisions().map(({ id }) => id),
    ['0.8', '0.7'],
  );
  t.same(
    observer.decisions({ reason: 'no-route' }).map(({ id }) => id),
    ['0.7'],
  );
  t.equal(observer.decision('0.7')?.reason, 'no-route');
  const text = await observer.text(now);
  t.match(text, 'zone_egress_sessions_total{mode="",mesh="",reason="no-route"} 1\n');
  t.match(text, 'zone_egress_sessions_active 3\n');
  t.match(text, 'zone_egress_handshakes_active 1\n');
});

t.test('a listener that throws is logged, and the others are still called', async (t) => {
  const { observer, lines } = setUp();
  const seen: string[] = [];
  observer.onRecord(() => {
    throw new Error('mine');
  });
  observer.onRecord(({ id }) => void seen.push(id));
  observer.record(sessionRecord());
  t.same(seen, ['0.1']);
  t.match(lines()[1], { level: 'error', err: { message: 'mine' } });
  t.match(await observer.text(now), 'zone_egress_faults_total 1\n');
});

t.test('lines that are left out are counted, and the sessions behind them are too', async (t) => {
  const { observer, lines } = setUp();
  for (let i = 0; i < 30; i++) observer.record(unmatched());
  t.equal(lines().length, 10);
  const text = await observer.text(now);
  t.match(text, 'zone_egress_log_suppressed_total{reason="no-route"} 20\n');
  t.match(text, 'reason="no-route"} 30\n');
  t.equal(observer.decisions().length, 30);
});

t.test('a good load is logged with its version, and every line after it names zone and egress', async (t) => {
  const { observer, clock, lines } = setUp();
  observer.load({ kind: 'live', changed: true, config, problems: [warning] }, 12.4);
  observer.load({ kind: 'live', changed: false, config, problems: [] }, 3);
  t.match(lines(), [
    { level: 'warn', problems: ['mesh.yaml:3:1 warning: name: is missing'], zone: 'east', egress: 'egress-1' },
    { level: 'info', version: snapshot.version, routes: 1, tookMs: 12, zone: 'east' },
  ]);
  t.equal(lines().length, 2);
  const text = await observer.text(now);
  t.match(text, `zone_egress_config_info{version="${snapshot.version}"} 1\n`);
  t.match(text, 'zone_egress_config_loads_total{result="applied"} 1\n');
  t.match(text, 'zone_egress_config_loads_total{result="unchanged"} 1\n');
  t.match(text, 'zone_egress_config_problems{severity="warning"} 0\n');
  t.match(text, `zone_egress_config_last_success_timestamp_seconds ${clock.wall() / 1e3}\n`);
  t.match(text, 'zone_egress_unverified_destinations 1\n');
  t.match(text, 'zone_egress_dns_names 1\n');
});

t.test('a warning is logged once, and again where it was gone in between', async (t) => {
  const { observer, lines } = setUp();
  const other = { ...warning, line: 9 };
  for (const problems of [[warning], [warning], [warning, other], [other], [warning, other]])
    observer.load({ kind: 'live', changed: true, config, problems }, 1);
  t.same(
    lines().flatMap(({ level, problems }) => (level === 'warn' ? [problems] : [])),
    [
      ['mesh.yaml:3:1 warning: name: is missing'],
      ['mesh.yaml:9:1 warning: name: is missing'],
      ['mesh.yaml:3:1 warning: name: is missing'],
    ],
  );
});

t.test('a rejected load is one error line with the places, and leaves the live version', async (t) => {
  const { observer, lines } = setUp();
  observer.load({ kind: 'live', changed: true, config, problems: [] }, 1);
  observer.load({ kind: 'rejected', problems: [problem, warning] }, 1);
  t.match(lines()[1], { level: 'error', errors: 1, warnings: 1, problems: ['mesh.yaml:3:1 name: is missing', /warning/] });
  const text = await observer.text(now);
  t.match(text, 'zone_egress_config_loads_total{result="rejected"} 1\n');
  t.match(text, 'zone_egress_config_problems{severity="error"} 1\n');
  t.match(text, `zone_egress_config_info{version="${snapshot.version}"} 1\n`);
});

t.test('relay, workers, look-ups, faults and certificates have their metrics', async (t) => {
  const { observer } = setUp();
  const { metrics } = observer;
  metrics.relay('public-api');
  metrics.relay('adopted-handle');
  metrics.workers(2);
  metrics.dnsFailed();
  metrics.certificate('default', 1_500);
  metrics.certificate('gone', 1_500);
  metrics.certificateGone('gone');
  const text = await observer.text(now);
  t.match(text, 'zone_egress_relay_info{path="adopted-handle"} 1\n');
  t.notMatch(text, 'path="public-api"');
  t.match(text, 'zone_egress_workers 2\n');
  t.match(text, 'zone_egress_dns_failures_total 1\n');
  t.match(text, 'zone_egress_certificate_expiry_timestamp_seconds{mesh="default"} 1.5\n');
  t.notMatch(text, 'mesh="gone"');
});
