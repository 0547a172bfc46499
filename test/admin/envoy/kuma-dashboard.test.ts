/**
 * The 51 queries of Kuma's dashboard for zone egresses: each has an answer by the pages of this
 * egress, as a ZoneEgress or as a Dataplane of one mesh. `UPDATE_README=1` writes the table of the
 * docs.
 */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { startPrometheus } from '../../../deploy/monitoring/prometheus.ts';
import type { EnvoyFacts } from '../../../src/admin/envoy/facts.ts';
import { statsPrometheus } from '../../../src/admin/envoy/stats-text.ts';
import { envoyStats } from '../../../src/admin/envoy/stats.ts';
import { TrafficCounters } from '../../../src/observe/traffic-counters.ts';
import { createTranslator } from '../../../src/xds/translate/translate.ts';
import { KUMA, LIVE, withKuma, withPrometheus } from '../../data.ts';
import { until } from '../../egress/until.ts';
import { freePort } from '../../free-ports.ts';
import { requestRecord, sessionRecord } from '../../observe/record.ts';
import { recordedState } from '../../xds/recorded-state.ts';
import { recordedFacts } from './recorded-facts.ts';

const DOCS = new URL('../../../docs/reference/alerts.md', import.meta.url);

interface Panel {
  readonly title?: string;
  readonly targets?: readonly { readonly expr?: string }[];
  readonly panels?: readonly Panel[];
}

interface Asked {
  readonly panel: string;
  readonly expression: string;
}

function queriesIn(panels: readonly Panel[]): readonly Asked[] {
  return panels.flatMap(({ title = '', targets = [], panels: inner = [] }) => [
    ...targets.flatMap(({ expr }) => (expr === undefined ? [] : [{ panel: title, expression: expr }])),
    ...queriesIn(inner),
  ]);
}

/** The number is always 0 here, because this egress has nothing of the kind. */
const NEVER: Readonly<Record<string, string>> = {
  envoy_cluster_circuit_breakers_default_rq_retry_open: 'the egress repeats no request',
  envoy_cluster_upstream_rq_retry: 'the egress repeats no request',
  envoy_cluster_upstream_rq_retry_success: 'the egress repeats no request',
  envoy_cluster_upstream_cx_pool_overflow: 'pools have no limit of their number',
  envoy_listener_downstream_cx_overload_reject: 'there is no overload manager; refusals by a limit are `cx overflow`',
  envoy_server_watchdog_miss: 'there is no watchdog; `nodejs_eventloop_lag_*` has the delay of the loop',
  envoy_server_watchdog_mega_miss: 'there is no watchdog; `nodejs_eventloop_lag_*` has the delay of the loop',
  envoy_control_plane_pending_requests: 'requests are never held back',
};

async function pageOf(facts: EnvoyFacts): Promise<string> {
  return [...statsPrometheus(await envoyStats(facts), { usedOnly: false, matches: () => true })].join('');
}

/** A ZoneEgress that has served connections and requests. */
function legacyFacts(): EnvoyFacts {
  const traffic = new TrafficCounters();
  traffic.record(sessionRecord({ endpoint: '127.0.0.3:20001' }));
  traffic.recordRequest(requestRecord({ cluster: 'default:es-http', destination: 'es-http' }));
  return recordedFacts({ traffic });
}

/** A Dataplane of one mesh, whose clusters have the names that the queries about services ask for. */
function scopedFacts(): EnvoyFacts {
  const state = recordedState(new URL('mesh-scoped/ads/', LIVE), 9);
  const { snapshot } = createTranslator()(state, { name: 'egress', zone: 'zone-1', adminPort: 9901 });
  const traffic = new TrafficCounters();
  for (const cluster of snapshot.clusters.keys()) {
    traffic.record(sessionRecord({ cluster, endpoint: '127.0.0.3:20001' }));
    traffic.recordRequest(requestRecord({ cluster }));
  }
  return recordedFacts({ snapshot: () => snapshot, traffic });
}

interface Series {
  readonly family: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function seriesOf(page: string): readonly Series[] {
  return [...page.matchAll(/^([a-zA-Z_:]\w*)\{(.*)\} ([^ \n]+)$/gm)].map(([, family = '', labels = '', value = '']) => ({
    family,
    labels: Object.fromEntries(
      [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = '', text = '']) => [name, text]),
    ),
    value: Number(value),
  }));
}

/** Each selector of the query finds a series; labels that a scrape adds are left out. */
function answers(series: readonly Series[], expression: string): boolean {
  const selectors = [...expression.matchAll(/\b(envoy_\w+)\{([^}]*)\}/g)];
  return selectors.every(([, metric = '', matchers = '']) => {
    const tests = [...matchers.matchAll(/(\w+)(=~|!~|=|!=)"([^"]*)"/g)]
      .filter(([, label = '']) => !['job', 'namespace', 'zone', 'proxy'].includes(label))
      .map(([, label = '', operator = '', pattern = '']) => {
        const whole = new RegExp(`^(?:${pattern.replaceAll('$mes', '.*')})$`);
        return (labels: Series['labels']): boolean => whole.test(labels[label] ?? '') === operator.startsWith('=');
      });
    return series.some(({ family, labels }) => family === metric && tests.every((test) => test(labels)));
  });
}

function table(rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(['', 'panel', 'asks for', 'answered']), line(['---', '---', '---', '---']), ...rows.map(line)].join('\n');
}

t.test('each of the 51 queries of Kuma’s dashboard has its answer, as the docs say', withKuma, async (t) => {
  const dashboard = JSON.parse(readFileSync(new URL('grafana/kuma-zone-egress.json', KUMA), 'utf8')) as { panels: Panel[] };
  const queries = queriesIn(dashboard.panels);
  t.equal(queries.length, 51);
  const [legacy, scoped] = await Promise.all([legacyFacts(), scopedFacts()].map(pageOf));
  const pages = [
    ['yes', seriesOf(legacy ?? '')],
    ['yes, as a Dataplane of one mesh: a ZoneEgress has other names of clusters, with Envoy too', seriesOf(scoped ?? '')],
  ] as const;
  const rows = queries.map(({ panel, expression }, i) => {
    const [, metric = ''] = /\b(envoy_\w+)\{/.exec(expression) ?? [];
    const by = pages.find(([, series]) => answers(series, expression));
    t.ok(by !== undefined, `${i + 1}: ${expression}`);
    const why = NEVER[metric];
    const values = pages.flatMap(([, series]) => series.filter(({ family }) => family === metric).map(({ value }) => value));
    if (why !== undefined)
      t.ok(
        values.every((value) => value === 0),
        `${metric} is never more than 0`,
      );
    return [String(i + 1), panel, `\`${metric}\``, why === undefined ? (by?.[0] ?? 'no') : `yes, always 0: ${why}`];
  });
  t.notOk(answers(pages[0][1], 'sum(envoy_no_such{job="a"})'), 'a metric that is not there is found out');

  const text = readFileSync(DOCS, 'utf8');
  const [begin, end] = ['<!-- kuma -->\n', '<!-- /kuma -->'];
  const at = [text.indexOf(begin) + begin.length, text.indexOf(end)] as const;
  const made = `${text.slice(0, at[0])}${table(rows)}\n${text.slice(at[1])}`;
  if (process.env.UPDATE_README === '1') writeFileSync(DOCS, made);
  t.equal(readFileSync(DOCS, 'utf8'), made, 'UPDATE_README=1 writes it');

  await t.test('Prometheus evaluates all of them', withPrometheus, async (t) => {
    const targets = await Promise.all(
      [legacy, scoped].map(async (body, i) => {
        const server = createServer((_, response) => response.setHeader('content-type', 'text/plain; version=0.0.4').end(body));
        await once(server.listen(0, '127.0.0.1'), 'listening');
        t.teardown(() => {
          server.closeAllConnections();
          server.close();
        });
        const labels = {
          job: 'kuma-zone-proxies',
          namespace: 'kuma-system',
          zone: 'zone-1',
          proxy: 'egress',
          pod: `kuma-egress-${i}`,
        };
        return { port: (server.address() as AddressInfo).port, labels };
      }),
    );
    await using prometheus = await startPrometheus({ port: await freePort(), targets });
    let open: readonly string[] = queries.map(({ expression }) =>
      expression
        .replaceAll('$__rate_interval', '1m')
        .replaceAll('$mes', '.+')
        .replaceAll(/\$(?:namespace|zone)\b/g, '.*'),
    );
    await until('each query has an answer', async () => {
      const found = await Promise.all(open.map((query) => prometheus.query(query)));
      open = open.filter((_, i) => found[i]?.length === 0);
      return open.length === 0;
    });
    t.same(open, []);
  });
});
