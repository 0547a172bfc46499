/** Series by destination and by endpoint: bounded, and a sum over them is the sum of all. */
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import type { Metrics } from '../../src/observe/metrics.ts';
import { requestRecord, sessionRecord, unmatched } from './record.ts';

function metricsWith(top: number, openMetrics = false): Metrics {
  return createMetrics({ version: '1', process: false, clock: systemClock({ keepAlive: false }), top, openMetrics });
}

function series(text: string): ReadonlyMap<string, number> {
  const lines = text.split('\n').flatMap((line) => {
    const [, name, value] = /^([^#\s]\S*(?: [^{}#]*\})?) (\S+)/.exec(line) ?? [];
    return name === undefined ? [] : [[name, Number(value)] as const];
  });
  return new Map(lines);
}

function sumOf(all: ReadonlyMap<string, number>, family: string): number {
  return [...all].reduce((sum, [name, value]) => sum + (name.startsWith(`${family}{`) ? value : 0), 0);
}

const to = (destination: string, endpoint = '10.1.0.1:443') => ({
  destination,
  cluster: `default:${destination}`,
  endpoint,
});

t.test('a session counts for its destination and its endpoint, by what became of it', async (t) => {
  const metrics = metricsWith(10);
  const none = { connectMs: -1, bytesUp: 0, bytesDown: 0 } as const;
  metrics.record(sessionRecord(to('api')));
  metrics.record(sessionRecord({ ...to('api'), reason: 'idle-timeout' }));
  metrics.record(sessionRecord({ ...to('api'), ...none, reason: 'denied', endpoint: '', attempts: 0 }));
  metrics.record(sessionRecord({ ...to('api'), ...none, reason: 'connect-refused', attempts: 3 }));
  metrics.record(sessionRecord({ ...to('api'), ...none, reason: 'no-endpoint', endpoint: '', attempts: 0 }));
  metrics.record(sessionRecord({ ...to('api'), ...none, reason: 'client-gone', endpoint: '', attempts: 0 }));
  const found = series(await metrics.text());
  const of = (name: string, label: string): number | undefined =>
    found.get(`zone_egress_destination_${name}{mesh="default",destination="api",${label}}`);
  t.same(
    ['served', 'refused', 'failed', 'left'].map((outcome) => of('sessions_total', `outcome="${outcome}"`)),
    [2, 1, 2, 1],
  );
  t.equal(of('refusals_total', 'reason="denied"'), 1);
  t.equal(of('refusals_total', 'reason="idle-timeout"'), 1);
  t.equal(of('bytes_total', 'direction="down"'), 4_000);
  t.equal(of('connect_seconds_bucket', 'le="0.005"'), 2);
  t.equal(found.get('zone_egress_destination_connect_seconds_count{mesh="default",destination="api"}'), 2);
  const endpoint = 'mesh="default",destination="api",endpoint="10.1.0.1:443"';
  t.equal(found.get(`zone_egress_endpoint_sessions_total{${endpoint},result="connected"}`), 2);
  t.equal(found.get(`zone_egress_endpoint_sessions_total{${endpoint},result="failed"}`), 1);
});

t.test('a request counts for its destination; the connection that it made for its endpoint', async (t) => {
  const metrics = metricsWith(10);
  metrics.recordRequest(requestRecord());
  metrics.recordRequest(requestRecord({ status: 503, connections: 0, attempts: 1, connectMs: -1, serviceTimeMs: -1 }));
  metrics.record(sessionRecord({ ...to('shop'), mode: 'terminate', requests: 2, attempts: 2 }));
  const found = series(await metrics.text());
  const shop = 'mesh="default",destination="shop"';
  t.equal(found.get(`zone_egress_destination_requests_total{${shop},code_class="2xx"}`), 1);
  t.equal(found.get(`zone_egress_destination_requests_total{${shop},code_class="5xx"}`), 1);
  t.equal(found.get(`zone_egress_destination_request_seconds_count{${shop}}`), 1);
  t.equal(found.get(`zone_egress_destination_connect_seconds_count{${shop}}`), 1, 'the session makes none of its own');
  const endpoint = `${shop},endpoint="127.0.0.1:18080"`;
  t.equal(found.get(`zone_egress_endpoint_sessions_total{${endpoint},result="connected"}`), 1);
  t.equal(found.get(`zone_egress_endpoint_sessions_total{${endpoint},result="failed"}`), 1);
});

t.test('what a peer sends makes no series: names without a route, and endless addresses of a name', async (t) => {
  const metrics = metricsWith(5);
  for (let i = 0; i < 2_000; i++) {
    metrics.record(unmatched({ sni: `canary-${i}` }));
    metrics.record(sessionRecord(to('api', `10.2.${i >> 8}.${i & 255}:443`)));
    metrics.record(sessionRecord(to(`service-${i}`)));
  }
  const text = await metrics.text();
  t.notMatch(text, /canary/);
  const found = series(text);
  const named = (family: string): number => [...found.keys()].filter((name) => name.startsWith(`${family}{`)).length;
  t.equal(named('zone_egress_endpoint_sessions_total'), 2 * 6, 'five, and the rest as other');
  t.equal(named('zone_egress_destination_sessions_total'), 4 * 6);
  t.equal(sumOf(found, 'zone_egress_destination_sessions_total'), 4_000, 'a sum misses none');
  t.equal(sumOf(found, 'zone_egress_endpoint_sessions_total'), 4_000);
  t.equal(sumOf(found, 'zone_egress_destination_bytes_total'), 4_000 * 2_100);
  t.equal(
    found.get('zone_egress_destination_sessions_total{mesh="default",destination="other",outcome="served"}'),
    4_000 - 2_000 - 4,
  );
});

t.test('a service with the name of the rest is counted with it, never beside it', async (t) => {
  const metrics = metricsWith(1);
  for (const name of ['other', 'api', 'more']) metrics.record(sessionRecord(to(name)));
  const text = await metrics.text();
  t.equal(
    text.match(/^zone_egress_destination_sessions_total\{mesh="default",destination="other",outcome="served"\} 2$/gm)?.length,
    1,
  );
});

t.test('names are escaped, and 0 gives none any', async (t) => {
  const metrics = metricsWith(1);
  metrics.record(sessionRecord(to('a"b\\c\nd')));
  t.match(await metrics.text(), 'destination="a\\"b\\\\c\\nd",outcome="served"} 1');
  const without = metricsWith(0);
  without.record(sessionRecord(to('api')));
  const text = await without.text();
  t.notMatch(text, /destination="api"/);
  t.match(text, 'destination="other",outcome="served"} 1');
});

t.test('destinations of the configuration have their series from the start, and lose them with their route', async (t) => {
  const metrics = metricsWith(10);
  const routes = (...names: readonly string[]) => ({
    routes: new Map(
      names.map((destination) => [destination, { mesh: 'default', destination, cluster: `default:${destination}` }]),
    ),
  });
  const serves = (...names: readonly string[]): void => metrics.serves(routes(...names) as never, null);
  serves('api', 'legacy');
  const zero = 'zone_egress_destination_sessions_total{mesh="default",destination="legacy",outcome="failed"} 0';
  t.match(await metrics.text(), zero);
  serves('api');
  t.notMatch(await metrics.text(), /destination="legacy"/);
});

t.test('several proxies in one process have their name on the series of sessions, one alone has none', async (t) => {
  const metrics = metricsWith(10);
  metrics.record(sessionRecord());
  metrics.serves({ routes: new Map() }, new Map([['default:backend', 'egress-a']]));
  metrics.record(sessionRecord());
  metrics.record(sessionRecord());
  metrics.recordRequest(requestRecord({ cluster: 'default:backend' }));
  metrics.record(unmatched());
  const found = series(await metrics.text());
  const own = 'mode="passthrough",mesh="default",reason="closed"';
  t.equal(found.get(`zone_egress_sessions_total{${own}}`), 1);
  t.equal(found.get(`zone_egress_sessions_total{${own},dataplane="egress-a"}`), 2);
  t.equal(found.get('zone_egress_sessions_total{mode="",mesh="",reason="no-route",dataplane=""}'), 1);
  t.equal(found.get('zone_egress_requests_total{mesh="default",code_class="2xx",reason="closed",dataplane="egress-a"}'), 1);
  t.equal(sumOf(found, 'zone_egress_sessions_total'), 4);
});
