import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { METRICS, createMetrics } from '../../src/observe/metrics.ts';
import { sessionRecord, unmatched } from './record.ts';

function series(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    const parts = /^([^#\s]\S*(?: [^{}]*\})?) (\S+)$/.exec(line);
    if (parts?.[1] !== undefined) found.set(parts[1], Number(parts[2]));
  }
  return found;
}

t.test('the text has every metric of the table with its help and type, and nothing else', async (t) => {
  const metrics = createMetrics({ clock: systemClock({ keepAlive: false }), version: '1.2.3' });
  t.teardown(() => metrics.close());
  const text = await metrics.text();
  const told = [...text.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name, help]) => `${name} ${help}`);
  t.same(
    told.sort(),
    Object.entries(METRICS)
      .map(([name, { help }]) => `${name} ${help}`)
      .sort(),
  );
  const types = [...text.matchAll(/^# TYPE (\S+) (.*)$/gm)].map(([, name, type]) => `${name} ${type}`);
  t.same(
    types.sort(),
    Object.entries(METRICS)
      .map(([name, { type }]) => `${name} ${type}`)
      .sort(),
  );
});

t.test('names say their unit, counters end in total, and help is one sentence', async (t) => {
  for (const [name, { type, unit, help }] of Object.entries(METRICS)) {
    t.match(name, /^(zone_egress|process|nodejs)_[a-z0-9_]+$/);
    t.equal(name.endsWith('_total') && !name.includes('_size_'), type === 'counter', `${name} ${type}`);
    if (unit !== '') t.match(name, unit, name);
    t.match(help, /^[A-Z0-9].{5,}[^.]$/, name);
  }
});

t.test('a session counts once, with its bytes, its phases and its length', async (t) => {
  const metrics = createMetrics({ clock: systemClock({ keepAlive: false }), version: '1.2.3', process: false });
  metrics.record(sessionRecord());
  metrics.record(sessionRecord({ bytesUp: 1, bytesDown: 2, shadowDenied: true, mode: 'terminate', handshakeMs: 3 }));
  metrics.record(sessionRecord());
  const found = series(await metrics.text());
  t.equal(found.get('zone_egress_sessions_total{mode="passthrough",mesh="default",reason="closed"}'), 2);
  t.equal(found.get('zone_egress_sessions_total{mode="terminate",mesh="default",reason="closed"}'), 1);
  t.equal(found.get('zone_egress_bytes_total{direction="up",mode="passthrough",mesh="default"}'), 200);
  t.equal(found.get('zone_egress_bytes_total{direction="down",mode="passthrough",mesh="default"}'), 4000);
  t.equal(found.get('zone_egress_bytes_total{direction="down",mode="terminate",mesh="default"}'), 2);
  t.equal(found.get('zone_egress_shadow_denied_total{mesh="default"}'), 1);
  t.equal(found.get('zone_egress_phase_seconds_count{phase="hello"}'), 3);
  t.equal(found.get('zone_egress_phase_seconds_count{phase="handshake"}'), 1);
  t.equal(found.get('zone_egress_phase_seconds_count{phase="connect"}'), 3);
  t.equal(found.get('zone_egress_phase_seconds_sum{phase="handshake"}'), 0.003);
  t.equal(found.get('zone_egress_session_seconds_count'), 3);
  t.equal(found.get('zone_egress_session_seconds_bucket{le="1"}'), 0);
  t.equal(found.get('zone_egress_session_seconds_bucket{le="10"}'), 3);
});

t.test('ten thousand unmatched names make no series and appear nowhere', async (t) => {
  const metrics = createMetrics({ clock: systemClock({ keepAlive: false }), version: '1.2.3', process: false });
  metrics.record(unmatched({ sni: 'canary-0' }));
  const before = series(await metrics.text());
  for (let i = 1; i < 10_000; i++) metrics.record(unmatched({ sni: `canary-${i}`, clientAddress: `10.0.${i >> 8}.${i & 255}` }));
  const text = await metrics.text();
  t.same([...series(text).keys()], [...before.keys()]);
  t.equal(series(text).get('zone_egress_sessions_total{mode="",mesh="",reason="no-route"}'), 10_000);
  t.notMatch(text, /canary|10\.0\./);
});

t.test('a session that was not connected has no length, and one that sent no hello no phase', async (t) => {
  const metrics = createMetrics({ clock: systemClock({ keepAlive: false }), version: '1.2.3', process: false });
  metrics.record(unmatched({ reason: 'hello-timeout', helloMs: -1 }));
  const found = series(await metrics.text());
  t.equal(found.get('zone_egress_session_seconds_count') ?? 0, 0);
  t.equal(found.get('zone_egress_phase_seconds_count{phase="hello"}') ?? 0, 0);
});

t.test('an info gauge has one series, the last one; a series that is taken away is gone', async (t) => {
  const metrics = createMetrics({ clock: systemClock({ keepAlive: false }), version: '1.2.3', process: false });
  metrics.info('zone_egress_config_info', { version: 'aaaa' });
  metrics.info('zone_egress_config_info', { version: 'bbbb' });
  metrics.set('zone_egress_certificate_expiry_timestamp_seconds', { mesh: 'default' }, 1.5);
  metrics.set('zone_egress_certificate_expiry_timestamp_seconds', { mesh: 'gone' }, 2);
  metrics.remove('zone_egress_certificate_expiry_timestamp_seconds', { mesh: 'gone' });
  metrics.count('zone_egress_config_loads_total', { result: 'applied' });
  metrics.count('zone_egress_dns_failures_total', {}, 3);
  const found = series(await metrics.text());
  t.equal(found.get('zone_egress_config_info{version="bbbb"}'), 1);
  t.notOk(found.has('zone_egress_config_info{version="aaaa"}'));
  t.equal(found.get('zone_egress_certificate_expiry_timestamp_seconds{mesh="default"}'), 1.5);
  t.notOk(found.has('zone_egress_certificate_expiry_timestamp_seconds{mesh="gone"}'));
  t.equal(found.get('zone_egress_config_loads_total{result="applied"}'), 1);
  t.equal(found.get('zone_egress_dns_failures_total'), 3);
  t.equal(found.get(`zone_egress_build_info{version="1.2.3",node="${process.versions.node}"}`), 1);
});

t.test('the process tells of its memory, descriptors and event loop, at every scrape anew', async (t) => {
  const metrics = createMetrics({ clock: systemClock({ keepAlive: false }), version: '1.2.3' });
  t.teardown(() => metrics.close());
  const first = series(await metrics.text());
  const second = series(await metrics.text());
  t.ok((first.get('process_resident_memory_bytes') ?? 0) > 1e6);
  t.ok((first.get('process_start_time_seconds') ?? 0) > 1.7e9);
  t.ok((second.get('process_cpu_seconds_total') ?? 0) >= (first.get('process_cpu_seconds_total') ?? Infinity));
  t.ok((second.get('nodejs_eventloop_lag_max_seconds') ?? NaN) >= 0);
  t.ok((second.get('nodejs_eventloop_lag_mean_seconds') ?? NaN) >= 0);
  if (process.platform !== 'linux') return;
  t.ok((first.get('process_open_fds') ?? 0) > 3);
  t.ok((first.get('process_max_fds') ?? 0) > 64);
});

t.test('two egresses in one process count apart, and a closed one is empty', async (t) => {
  const one = createMetrics({ clock: systemClock({ keepAlive: false }), version: '1', process: false });
  const other = createMetrics({ clock: systemClock({ keepAlive: false }), version: '1', process: false });
  one.record(sessionRecord());
  t.match(await one.text(), 'reason="closed"');
  t.notMatch(await other.text(), 'reason="closed"');
  one.close();
  t.equal((await one.text()).trim(), '');
});
