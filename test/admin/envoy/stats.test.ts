/**
 * Compares statistics with those of a real Envoy for the same configuration, and with the queries
 * of Kuma's GUI and Prometheus. `kuma-dashboard.test.ts` has those of Kuma's dashboard.
 */
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { envoyStats } from '../../../src/admin/envoy/stats.ts';
import { statsJson, statsPrometheus, statsText } from '../../../src/admin/envoy/stats-text.ts';
import type { StatsQuery } from '../../../src/admin/envoy/stats-text.ts';
import type { EnvoyFacts } from '../../../src/admin/envoy/facts.ts';
import { TrafficCounters } from '../../../src/observe/traffic-counters.ts';
import { requestRecord, sessionRecord } from '../../observe/record.ts';
import { emptyFacts, recordedBytes, recordedFacts } from './recorded-facts.ts';

const ALL: StatsQuery = { usedOnly: false, matches: () => true };
const USED: StatsQuery = { usedOnly: true, matches: () => true };

/** Makes requests of an HTTP service of the recorded egress: answered, failed, and denied. */
function requestFacts(): EnvoyFacts {
  const traffic = new TrafficCounters();
  const es = { cluster: 'default:es-http', destination: 'es-http' } as const;
  traffic.record(sessionRecord({ endpoint: '127.0.0.3:20001' }));
  traffic.recordRequest(requestRecord(es));
  traffic.recordRequest(requestRecord({ ...es, status: 500, connections: 0, attempts: 0, connectMs: -1 }));
  const alone = { ...es, forwarded: false, endpoint: '', attempts: 0, connections: 0, connectMs: -1, serviceTimeMs: -1 } as const;
  traffic.recordRequest(requestRecord({ ...alone, reason: 'denied', status: 403 }));
  const refused = { ...alone, cluster: 'default:es-http-refused', destination: 'es-http-refused' } as const;
  traffic.recordRequest(requestRecord({ ...refused, reason: 'connect-refused', status: 503, flags: 'UF', attempts: 1 }));
  return recordedFacts({ traffic });
}

async function text(facts: EnvoyFacts, query: StatsQuery = ALL): Promise<string> {
  return [...statsText(await envoyStats(facts), query)].join('');
}

async function prometheus(facts: EnvoyFacts, query: StatsQuery = ALL): Promise<string> {
  return [...statsPrometheus(await envoyStats(facts), query)].join('');
}

/** Makes one session to a service of another zone, one to an external service, and a denied one. */
function busyFacts(): EnvoyFacts {
  const traffic = new TrafficCounters();
  const terminated = {
    mode: 'terminate',
    cluster: 'default:es-tcp',
    destination: 'es-tcp',
    tlsVersion: 'TLSv1.3',
    handshakeMs: 3,
  } as const;
  traffic.record(sessionRecord({ endpoint: '127.0.0.3:20001' }));
  traffic.record(sessionRecord({ ...terminated, endpoint: '127.0.0.1:18081' }));
  traffic.record(sessionRecord({ ...terminated, reason: 'denied', attempts: 0, connectMs: -1, bytesUp: 0, bytesDown: 0 }));
  const use = (cluster: string) => ({ connections: cluster === 'default:backend' ? 2 : 0, pending: 0, requests: 0 });
  return recordedFacts({ traffic, use, sessions: () => 2 });
}

interface Series {
  readonly family: string;
  readonly labels: Readonly<Record<string, string>>;
}

function seriesOf(exposition: string): readonly Series[] {
  return exposition.split('\n').flatMap((line) => {
    const [, family, labels = ''] = /^([a-zA-Z_:]\w*)(?:\{(.*)\})? [^ ]+$/.exec(line) ?? [];
    if (family === undefined) return [];
    return [
      {
        family,
        labels: Object.fromEntries(
          [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = '', value = '']) => [name, value]),
        ),
      },
    ];
  });
}

t.test('every name is one that the recorded Envoy has', async (t) => {
  const nameOf = (line: string): string => line.slice(0, line.indexOf(': '));
  const names = (all: string): Set<string> =>
    new Set(
      all
        .split('\n')
        .filter((line) => line !== '')
        .map(nameOf),
    );
  const theirs = names(gunzipSync(recordedBytes('admin/stats.txt.gz')).toString());
  // Envoy has these only for some clusters: those with endpoints over ADS, with TLS, or with
  // outlier detection.
  const some = /^cluster\..*\.(update_rejected|ssl\.\w+|outlier_detection\.\w+)$/;
  const ofCluster = (name: string): string => name.split('.').slice(-2).join('.');
  const ofAnyCluster = new Set([...theirs].filter((name) => name.startsWith('cluster.')).map(ofCluster));
  const unknown = [...names(await text(busyFacts()))].filter((name) => {
    if (theirs.has(name)) return false;
    if (some.test(name) && (ofAnyCluster.has(ofCluster(name)) || name.endsWith('.update_rejected'))) return false;
    // Envoy has one number of denials for all services of a MeshTrafficPermission; here each
    // service has its own.
    if (/\.rbac\.(allowed|denied|shadow_denied)$/.test(name)) return false;
    return true;
  });
  t.same(unknown, []);
});

t.test('every series has the family and the labels that the recorded Envoy has', async (t) => {
  const key = ({ family, labels }: Series): string => `${family}{${Object.keys(labels).sort().join()}}`;
  const theirs = new Set(seriesOf(gunzipSync(recordedBytes('admin/stats.prometheus.txt.gz')).toString()).map(key));
  // The recorded Envoy of a mesh with its own chains has them (mesh-scoped).
  for (const name of ['allowed', 'denied', 'shadow_denied'])
    theirs.add(`envoy_rbac_${name}{envoy_http_conn_manager_prefix,listener}`);
  const unknown = new Set(
    seriesOf(await prometheus(busyFacts()))
      .map(key)
      .filter((each) => !theirs.has(each)),
  );
  t.same([...unknown], []);
});

t.test(
  'the exposition is what Prometheus reads: one type for each family, its series together, buckets that add up',
  async (t) => {
    const lines = (await prometheus(busyFacts())).split('\n').filter((line) => line !== '');
    const seen = new Set<string>();
    let current = '';
    for (const line of lines) {
      const [, name] = /^# TYPE (\w+) (?:counter|gauge|histogram)$/.exec(line) ?? [];
      if (name !== undefined) {
        if (seen.has(name)) t.fail(`${name} twice`);
        seen.add(name);
        current = name;
      } else if (!new RegExp(`^${current}(_bucket|_sum|_count)?\\{[^}]*\\} [0-9.e+-]+$`).test(line)) t.fail(line);
    }
    const bucket = (le: string): string | undefined =>
      lines.find((line) =>
        line.startsWith(`envoy_cluster_upstream_cx_connect_ms_bucket{envoy_cluster_name="default_es-tcp",le="${le}"}`),
      );
    t.match([bucket('1'), bucket('5'), bucket('+Inf')], [/ 0$/, / 1$/, / 1$/]);
  },
);

t.test('the numbers are those of the sessions', async (t) => {
  const lines = (await text(busyFacts())).split('\n');
  for (const line of [
    'cluster.default_es-tcp.upstream_cx_total: 1',
    'cluster.default_es-tcp.upstream_cx_tx_bytes_total: 100',
    'cluster.default_es-tcp.upstream_cx_rx_bytes_total: 2000',
    // One session that ended, and two open ones.
    'cluster.default_backend.upstream_cx_total: 3',
    'cluster.default_backend.upstream_cx_active: 2',
    'cluster.default_backend.upstream_rq_total: 3',
    'cluster.default_backend.circuit_breakers.default.remaining_cx: 1022',
    'cluster.default_backend.membership_healthy: 2',
    'es-tcp.rbac.allowed: 1',
    'es-tcp.rbac.denied: 1',
    'listener.127.0.0.2_10002.downstream_cx_active: 2',
    'listener.127.0.0.2_10002.downstream_cx_total: 5',
    'listener.127.0.0.2_10002.ssl.handshake: 2',
    'listener.127.0.0.2_10002.ssl.versions.TLSv1.3: 2',
    'tcp.es-tcp.downstream_cx_rx_bytes_total: 100',
    'control_plane.connected_state: 1',
    'listener_manager.lds.update_success: 1',
    'server.uptime: 427',
  ])
    t.ok(lines.includes(line), line);
});

t.test('usedonly leaves out what never moved, and a filter takes what it matches', async (t) => {
  const facts = busyFacts();
  const used = await text(facts, USED);
  t.match(used, /^cluster\.default_backend\.upstream_cx_active: 2$/m);
  t.notMatch(used, /upstream_cx_connect_fail/);
  t.ok(used.length < (await text(facts)).length / 2);
  const some = await text(facts, { usedOnly: false, matches: (name) => name.includes('upstream_cx_total') });
  t.ok(some.split('\n').every((line) => line === '' || line.includes('upstream_cx_total')));
});

t.test('the JSON has the form of Envoy’s', async (t) => {
  interface Stats {
    readonly stats: readonly (
      | { readonly name: string; readonly value: unknown }
      | {
          readonly histograms: {
            readonly supported_quantiles: unknown;
            readonly computed_quantiles: readonly { readonly name: string; readonly values: readonly unknown[] }[];
          };
        }
    )[];
  }
  const ours = JSON.parse([...statsJson(await envoyStats(busyFacts()), USED)].join('')) as Stats;
  const theirs = JSON.parse(gunzipSync(recordedBytes('admin/stats.usedonly.json.gz')).toString()) as Stats;
  const last = ({ stats }: Stats) => {
    const item = stats.at(-1);
    return item !== undefined && 'histograms' in item ? item.histograms : null;
  };
  t.same(last(ours)?.supported_quantiles, last(theirs)?.supported_quantiles);
  t.equal(last(ours)?.computed_quantiles[0]?.values.length, last(theirs)?.computed_quantiles[0]?.values.length);
  t.match(ours.stats[0], { name: /version_text$/, value: '1' });
  t.ok(ours.stats.slice(0, -1).every((item) => 'name' in item));
  const nothing = [...statsJson(await envoyStats(emptyFacts()), { usedOnly: true, matches: () => false })].join('');
  t.match(JSON.parse(nothing), { stats: [{ histograms: { computed_quantiles: [] } }] });
});

t.test('the GUI finds the inbound by its address, and joins a service of another zone with its cluster', async (t) => {
  const lines = (await text(busyFacts(), USED)).split('\n').filter((line) => /^(http|tcp|cluster|listener)\./.test(line));
  t.ok(lines.some((line) => line.startsWith('listener.127.0.0.2_10002.')));
  t.ok(
    lines.some((line) => line.startsWith('tcp.default_backend.')) &&
      lines.some((line) => line.startsWith('cluster.default_backend.')),
  );
  t.ok(
    lines.every((line) => line.split(': ').length === 2),
    'a name and a value',
  );
});

/** The queries of dashboards about HTTP services: a series, or why there is none. */
const HTTP_QUERIES: readonly (readonly [selector: string, value: number | string])[] = [
  ['envoy_cluster_upstream_rq_total{envoy_cluster_name="default_es-http"}', 2],
  ['envoy_cluster_upstream_rq_total{envoy_cluster_name="default_es-http-refused"}', 0],
  ['envoy_cluster_upstream_rq_xx{envoy_cluster_name="default_es-http",envoy_response_code_class="2"}', 1],
  ['envoy_cluster_upstream_rq_xx{envoy_cluster_name="default_es-http",envoy_response_code_class="5"}', 1],
  ['envoy_cluster_upstream_rq_xx{envoy_cluster_name="default_es-http",envoy_response_code_class="4"}', 'it was denied here'],
  ['envoy_cluster_upstream_rq_xx{envoy_cluster_name="default_es-http-refused",envoy_response_code_class="5"}', 1],
  ['envoy_cluster_upstream_rq_time_count{envoy_cluster_name="default_es-http"}', 2],
  ['envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="default_es-http",le="5"}', 0],
  ['envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="default_es-http",le="10"}', 2],
  ['envoy_cluster_upstream_rq_time_count{envoy_cluster_name="default_es-tcp"}', 'a service of bytes has no answers'],
  ['envoy_cluster_upstream_rq_retry{envoy_cluster_name="default_es-http"}', 0],
  ['envoy_cluster_upstream_rq_timeout{envoy_cluster_name="default_es-http"}', 0],
  ['envoy_cluster_upstream_rq_pending_overflow{envoy_cluster_name="default_es-http"}', 0],
  ['envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="es-http"}', 3],
  ['envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="es-http",envoy_response_code_class="2"}', 1],
  ['envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="es-http",envoy_response_code_class="4"}', 1],
  ['envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="es-http",envoy_response_code_class="5"}', 1],
  ['envoy_http_downstream_rq_time_count{envoy_http_conn_manager_prefix="es-http"}', 3],
  ['envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="es-http",le="10"}', 3],
  ['envoy_http_downstream_rq_active{envoy_http_conn_manager_prefix="es-http"}', 0],
];

t.test('what dashboards ask of services that speak HTTP has its number, or its reason', async (t) => {
  const values = new Map<string, number>();
  for (const line of (await prometheus(requestFacts())).split('\n')) {
    const [, family = '', labels = '', value = ''] = /^(\w+)\{(.*)\} ([^ ]+)$/.exec(line) ?? [];
    values.set(`${family}{${labels.split(',').sort().join(',')}}`, Number(value));
  }
  for (const [selector, wanted] of HTTP_QUERIES) {
    if (typeof wanted === 'number') t.equal(values.get(selector), wanted, selector);
    else t.notOk(values.has(selector), `${selector}: ${wanted}`);
  }
});
