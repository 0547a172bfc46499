/** The dashboard for Grafana: rows of panels, each query under the variables of the dashboard. */
import type { Panel, Query, Row } from './types.ts';

const AT = 'job=~"$job",instance=~"$instance"';
const OF = `${AT},mesh=~"$mesh"`;
const TO = `${OF},destination=~"$destination"`;
const RATE = '[$__rate_interval]';

function panel(
  type: Panel['type'],
  [title, description]: readonly [title: string, description: string],
  { unit = 'short', width = 8 }: { readonly unit?: string; readonly width?: number },
  ...queries: readonly (readonly [expr: string, legend: string])[]
): Panel {
  return { title, description, type, width, unit, queries: queries.map(([expr, legend]): Query => ({ expr, legend })) };
}

const quantile = (share: number, by: string, metric: string, labels: string): string =>
  `histogram_quantile(${share}, sum by (${by}le) (rate(${metric}_bucket{${labels}}${RATE})))`;

export const ROWS: readonly Row[] = [
  {
    title: 'State',
    panels: [
      panel('stat', ['Replicas', 'Egresses that Prometheus can read.'], { width: 4 }, [
        `count(zone_egress_build_info{${AT}})`,
        'replicas',
      ]),
      panel('stat', ['Open sessions', 'Accepted connections that have not ended.'], { width: 4 }, [
        `sum(zone_egress_sessions_active{${AT}})`,
        'sessions',
      ]),
      panel('stat', ['Alarms', 'Alarms that are on; /alarms says what to do.'], { width: 4 }, [
        `sum by (severity) (zone_egress_alarm{${AT}})`,
        '{{severity}}',
      ]),
      panel('stat', ['Problems of the configuration', 'Findings of the last load, see /config_errors.'], { width: 4 }, [
        `max by (severity) (zone_egress_config_problems{${AT}})`,
        '{{severity}}',
      ]),
      panel('stat', ['Broken routes', 'Routes that refuse every client.'], { width: 4 }, [
        `max(zone_egress_broken_routes{${AT}})`,
        'routes',
      ]),
      panel('stat', ['First certificate to end', 'Of the egress, in any mesh.'], { unit: 's', width: 4 }, [
        `min(zone_egress_certificate_expiry_timestamp_seconds{${OF}} - time())`,
        'ends in',
      ]),
    ],
  },
  {
    title: 'Traffic',
    panels: [
      panel('timeseries', ['Sessions by what became of them', 'Of those with a route.'], { unit: 'cps' }, [
        `sum by (outcome) (rate(zone_egress_destination_sessions_total{${TO}}${RATE}))`,
        '{{outcome}}',
      ]),
      panel('timeseries', ['Busiest destinations', 'Sessions that ended.'], { unit: 'cps' }, [
        `topk(10, sum by (mesh, destination) (rate(zone_egress_destination_sessions_total{${TO}}${RATE})))`,
        '{{mesh}} {{destination}}',
      ]),
      panel('timeseries', ['Bytes by destination', 'Counted when a session ends.'], { unit: 'Bps' }, [
        `topk(10, sum by (mesh, destination, direction) (rate(zone_egress_destination_bytes_total{${TO}}${RATE})))`,
        '{{mesh}} {{destination}} {{direction}}',
      ]),
      panel('timeseries', ['Sessions by mesh and kind', 'All that ended, without a route too.'], { unit: 'cps' }, [
        `sum by (mesh, mode) (rate(zone_egress_sessions_total{${AT}}${RATE}))`,
        '{{mesh}} {{mode}}',
      ]),
      panel('timeseries', ['Bytes', 'Both directions, of sessions that ended.'], { unit: 'Bps' }, [
        `sum by (direction) (rate(zone_egress_bytes_total{${OF}}${RATE}))`,
        '{{direction}}',
      ]),
      panel(
        'timeseries',
        ['Open', 'Sessions, and handshakes under way.'],
        {},
        [`sum by (instance) (zone_egress_sessions_active{${AT}})`, '{{instance}} sessions'],
        [`sum by (instance) (zone_egress_handshakes_active{${AT}})`, '{{instance}} handshakes'],
      ),
    ],
  },
  {
    title: 'Refusals',
    panels: [
      panel('timeseries', ['By reason', 'docs/reference/refusals.md explains each.'], { unit: 'cps' }, [
        `sum by (reason) (rate(zone_egress_sessions_total{${AT},reason!~"closed|client-reset|endpoint-reset"}${RATE}))`,
        '{{reason}}',
      ]),
      panel('timeseries', ['By destination', 'Of those with a route.'], { unit: 'cps' }, [
        `topk(10, sum by (mesh, destination, reason) (rate(zone_egress_destination_refusals_total{${TO}}${RATE})))`,
        '{{mesh}} {{destination}} {{reason}}',
      ]),
      panel(
        'timeseries',
        ['Limits and shadow rules', 'Sessions that a limit refused, and that a shadow rule would have.'],
        { unit: 'cps' },
        [`sum by (limit) (rate(zone_egress_limit_refusals_total{${AT}}${RATE}))`, '{{limit}}'],
        [`sum by (mesh) (rate(zone_egress_shadow_denied_total{${OF}}${RATE}))`, '{{mesh}} shadow'],
      ),
    ],
  },
  {
    title: 'How long it takes',
    panels: [
      panel('timeseries', ['Phases, 95 of 100', 'To read the hello, to shake hands, to connect.'], { unit: 's' }, [
        quantile(0.95, 'phase, ', 'zone_egress_phase_seconds', AT),
        '{{phase}}',
      ]),
      panel(
        'timeseries',
        ['Handshakes', 'Full ones, and those that a ticket shortens.'],
        { unit: 's' },
        [quantile(0.5, 'kind, ', 'zone_egress_handshake_seconds', AT), '{{kind}}, 50 of 100'],
        [quantile(0.99, 'kind, ', 'zone_egress_handshake_seconds', AT), '{{kind}}, 99 of 100'],
      ),
      panel('timeseries', ['Connecting, by destination', '95 of 100.'], { unit: 's' }, [
        `topk(10, ${quantile(0.95, 'mesh, destination, ', 'zone_egress_destination_connect_seconds', TO)})`,
        '{{mesh}} {{destination}}',
      ]),
      panel('timeseries', ['Look-ups of names', '95 of 100, by result.'], { unit: 's' }, [
        quantile(0.95, 'result, ', 'zone_egress_dns_seconds', AT),
        '{{result}}',
      ]),
      panel('timeseries', ['Resumed handshakes', 'Share of those that a ticket shortened.'], { unit: 'percentunit' }, [
        `sum(rate(zone_egress_handshake_seconds_count{${AT},kind="resumed"}${RATE})) / sum(rate(zone_egress_handshake_seconds_count{${AT}}${RATE}))`,
        'resumed',
      ]),
      panel(
        'timeseries',
        ['Length of sessions', 'Half, and 95 of 100.'],
        { unit: 's' },
        [quantile(0.5, '', 'zone_egress_session_seconds', AT), '50 of 100'],
        [quantile(0.95, '', 'zone_egress_session_seconds', AT), '95 of 100'],
      ),
    ],
  },
  {
    title: 'Endpoints',
    panels: [
      panel('timeseries', ['Endpoints that fail', 'Sessions and connections that could not be made.'], { unit: 'cps' }, [
        `topk(10, sum by (mesh, destination, endpoint) (rate(zone_egress_endpoint_sessions_total{${TO},result="failed"}${RATE})))`,
        '{{destination}} {{endpoint}}',
      ]),
      panel('timeseries', ['Health', 'Of endpoints that are checked, or may be ejected.'], {}, [
        `sum by (health) (zone_egress_endpoints{${AT}})`,
        '{{health}}',
      ]),
      panel(
        'timeseries',
        ['Checks, ejections and failed look-ups', 'What the control side finds out.'],
        { unit: 'cps' },
        [`sum by (result) (rate(zone_egress_health_checks_total{${AT}}${RATE}))`, 'check {{result}}'],
        [`sum by (detector, result) (rate(zone_egress_ejections_total{${AT}}${RATE}))`, '{{detector}} {{result}}'],
        [`sum(rate(zone_egress_dns_failures_total{${AT}}${RATE}))`, 'look-ups failed'],
      ),
    ],
  },
  {
    title: 'Requests of services that speak HTTP',
    panels: [
      panel('timeseries', ['By class of the answer', ''], { unit: 'reqps', width: 12 }, [
        `sum by (destination, code_class) (rate(zone_egress_destination_requests_total{${TO}}${RATE}))`,
        '{{destination}} {{code_class}}',
      ]),
      panel(
        'timeseries',
        ['Time', '95 of 100, from the head of the request to the end of the answer.'],
        { unit: 's', width: 12 },
        [quantile(0.95, 'mesh, destination, ', 'zone_egress_destination_request_seconds', TO), '{{mesh}} {{destination}}'],
      ),
    ],
  },
  {
    title: 'Configuration and control plane',
    panels: [
      panel('timeseries', ['Loads', 'By result.'], {}, [
        `sum by (result) (increase(zone_egress_config_loads_total{${AT}}${RATE}))`,
        '{{result}}',
      ]),
      panel(
        'timeseries',
        ['Control plane', '1 while it answers, and while a type is refused.'],
        {},
        [
          `min by (instance, mesh, dataplane) (zone_egress_control_plane_connected{${AT}})`,
          '{{instance}} {{mesh}} {{dataplane}} connected',
        ],
        [`max by (instance, type, mesh, dataplane) (zone_egress_control_plane_refused{${AT}})`, '{{instance}} {{type}} refused'],
      ),
      panel('table', ['Versions', 'Of the configuration of each replica.'], {}, [
        `max by (instance, version) (zone_egress_config_info{${AT}})`,
        '{{instance}} {{version}}',
      ]),
    ],
  },
  {
    title: 'Process',
    panels: [
      panel('timeseries', ['CPU', 'Seconds in each second, of all threads.'], { width: 6 }, [
        `rate(process_cpu_seconds_total{${AT}}${RATE})`,
        '{{instance}}',
      ]),
      panel('timeseries', ['Memory', 'Resident.'], { unit: 'bytes', width: 6 }, [
        `process_resident_memory_bytes{${AT}}`,
        '{{instance}}',
      ]),
      panel('timeseries', ['File descriptors', 'Share of the limit.'], { unit: 'percentunit', width: 6 }, [
        `process_open_fds{${AT}} / process_max_fds{${AT}}`,
        '{{instance}}',
      ]),
      panel('timeseries', ['Delay of the main thread', '99 of 100.'], { unit: 's', width: 6 }, [
        `nodejs_eventloop_lag_p99_seconds{${AT}}`,
        '{{instance}}',
      ]),
      panel(
        'timeseries',
        ['Faults and lost lines', 'Faults, and lines that the log, an access log or the recording left out.'],
        { width: 24 },
        [`sum by (instance) (increase(zone_egress_faults_total{${AT}}${RATE}))`, '{{instance}} faults'],
        [`sum by (reason) (increase(zone_egress_log_suppressed_total{${AT}}${RATE}))`, 'log {{reason}}'],
        [`sum by (result) (increase(zone_egress_access_log_lines_total{${AT},result="dropped"}${RATE}))`, 'access log'],
        [`sum by (result) (increase(zone_egress_recorded_total{${AT},result="dropped"}${RATE}))`, 'recording'],
      ),
    ],
  },
];

/** Each variable takes what the one before it leaves. */
export const VARIABLES: readonly { readonly name: string; readonly query: string }[] = [
  { name: 'job', query: 'label_values(zone_egress_build_info, job)' },
  { name: 'instance', query: 'label_values(zone_egress_build_info{job=~"$job"}, instance)' },
  { name: 'mesh', query: `label_values(zone_egress_destination_sessions_total{${AT}}, mesh)` },
  { name: 'destination', query: `label_values(zone_egress_destination_sessions_total{${OF}}, destination)` },
];

const DATASOURCE = { type: 'prometheus', uid: '${datasource}' } as const;
const HEIGHT = 8;
const COLUMNS = 24;

function target({ expr, legend }: Query, at: number, type: Panel['type']): object {
  const once = type === 'timeseries' ? {} : { instant: true };
  return { refId: String.fromCharCode(65 + at), datasource: DATASOURCE, expr, legendFormat: legend, ...once };
}

/** Returns what Grafana imports. */
export function dashboard(): object {
  const panels: object[] = [];
  let [x, y, id] = [0, 0, 1];
  for (const { title, panels: inRow } of ROWS) {
    panels.push({ id: id++, type: 'row', title, collapsed: false, gridPos: { h: 1, w: COLUMNS, x: 0, y }, panels: [] });
    [x, y] = [0, y + 1];
    const height = inRow.every(({ type }) => type === 'stat') ? HEIGHT / 2 : HEIGHT;
    for (const { queries, type, width, unit, ...texts } of inRow) {
      if (x + width > COLUMNS) [x, y] = [0, y + height];
      panels.push({
        id: id++,
        type,
        ...texts,
        datasource: DATASOURCE,
        gridPos: { h: height, w: width, x, y },
        fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
        options:
          type === 'timeseries' ? { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } } : {},
        targets: queries.map((query, at) => target(query, at, type)),
      });
      x += width;
    }
    y += height;
  }
  const variable = { type: 'query', datasource: DATASOURCE, includeAll: true, multi: true, allValue: '.*', refresh: 2, sort: 1 };
  return {
    uid: 'zone-egress',
    title: 'Zone Egress',
    tags: ['zone-egress', 'kuma'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    timezone: 'browser',
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', label: 'Datasource', type: 'datasource', query: 'prometheus' },
        ...VARIABLES.map(({ name, query }) => ({
          ...variable,
          name,
          label: name,
          definition: query,
          query: { query, refId: name },
        })),
      ],
    },
    panels,
  };
}
