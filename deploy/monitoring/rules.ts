/**
 * The rules for Prometheus: what is recorded, and the alerts. Each alert has the series with which
 * promtool tests it, and `npm run alerts` makes the fault of each at a running egress.
 */
import type { Alert, Recording, Windows } from './types.ts';

export const WINDOWS: Windows = { rate: '5m', before: '1h', event: '15m' };

const OURS = 'and on (job, instance) zone_egress_build_info';
const AT = 'job="zone-egress",instance="a"';
const LABELS = { job: 'zone-egress', instance: 'a' } as const;
const API = `${AT},mesh="default",destination="api"`;
const API_LABELS = { ...LABELS, mesh: 'default', destination: 'api' } as const;
const BY_DESTINATION = 'by (job, instance, mesh, destination)';
/** The reasons with which a permission or a certificate keeps a client out. */
const ACCESS = 'reason=~"denied|client-not-trusted|wrong-mesh|no-client-certificate|unsupported-policy"';

export function recordings({ rate }: Windows): readonly Recording[] {
  return [
    {
      record: 'zone_egress:destination_sessions:rate',
      expr: `sum by (job, instance, mesh, destination, outcome) (rate(zone_egress_destination_sessions_total[${rate}]))`,
    },
    {
      record: 'zone_egress:destination_failed:ratio',
      expr: `sum ${BY_DESTINATION} (rate(zone_egress_destination_sessions_total{outcome="failed"}[${rate}])) / (sum ${BY_DESTINATION} (rate(zone_egress_destination_sessions_total[${rate}])) > 0)`,
    },
    {
      record: 'zone_egress:destination_access_refusals:rate',
      expr: `sum ${BY_DESTINATION} (rate(zone_egress_destination_refusals_total{${ACCESS}}[${rate}]))`,
    },
    {
      record: 'zone_egress:destination_bytes:rate',
      expr: `sum by (job, instance, mesh, destination, direction) (rate(zone_egress_destination_bytes_total[${rate}]))`,
    },
    {
      record: 'zone_egress:destination_connect_seconds:p95',
      expr: `histogram_quantile(0.95, sum by (job, instance, mesh, destination, le) (rate(zone_egress_destination_connect_seconds_bucket[${rate}])))`,
    },
  ];
}

export function alerts(windows: Windows): readonly Alert[] {
  return [...availability(), ...configuration(), ...traffic(windows), ...process(windows)];
}

function availability(): readonly Alert[] {
  return [
    {
      name: 'ZoneEgressDown',
      severity: 'critical',
      expr: 'up{job=~".*zone-egress.*"} == 0',
      forMinutes: 2,
      summary: 'Prometheus cannot read the zone egress {{ $labels.instance }}.',
      runbook:
        'Look whether the process runs and why it ended (its last log line), and whether the admin listener is open to Prometheus.',
      docs: 'docs/guides/troubleshooting.md#prometheus-reads-nothing',
      series: [`up{${AT}} 0x10`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressAlarm',
      severity: 'critical',
      expr: 'max by (job, instance, name) (zone_egress_alarm{severity="critical"}) > 0',
      forMinutes: 1,
      summary: 'The zone egress {{ $labels.instance }} has the alarm {{ $labels.name }}.',
      runbook: 'Read /alarms of the egress: it says what the alarm is about, since when, and what to do.',
      docs: 'docs/guides/alarms.md#alarms-what-is-wrong-with-the-egress-now',
      series: [`zone_egress_alarm{${AT},severity="critical",name="no-endpoint"} 1x10`],
      labels: { ...LABELS, name: 'no-endpoint' },
    },
    {
      name: 'ZoneEgressEndpointsDown',
      severity: 'critical',
      expr: 'sum by (job, instance) (zone_egress_endpoints{health!="healthy"}) / (sum by (job, instance) (zone_egress_endpoints) > 0) > 0.25',
      forMinutes: 5,
      summary: 'More than a quarter of the checked endpoints of the zone egress {{ $labels.instance }} are not used.',
      runbook:
        'Look in the log for "an endpoint is no longer used", which has the reason, and at /clusters for the health of each.',
      docs: 'docs/reference/resources.md#endpoints',
      series: [`zone_egress_endpoints{${AT},health="healthy"} 2x10`, `zone_egress_endpoints{${AT},health="unhealthy"} 2x10`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressCertificateExpires',
      severity: 'critical',
      expr: 'zone_egress_certificate_expiry_timestamp_seconds - time() < 3600',
      forMinutes: 10,
      summary: 'The certificate of the zone egress {{ $labels.instance }} for mesh {{ $labels.mesh }} ends within an hour.',
      runbook:
        'Read /config_errors: the CA key, the folder of the identity or the control plane does not renew it; with certificates that live less than two hours, lower the limit of this rule.',
      docs: 'docs/guides/troubleshooting.md#a-connection-was-refused',
      series: [`zone_egress_certificate_expiry_timestamp_seconds{${AT},mesh="default"} 1800x20`],
      labels: { ...LABELS, mesh: 'default' },
    },
  ];
}

function configuration(): readonly Alert[] {
  return [
    {
      name: 'ZoneEgressConfigErrors',
      severity: 'warning',
      expr: 'zone_egress_config_problems{severity="error"} > 0',
      forMinutes: 5,
      summary: 'The configuration of the zone egress {{ $labels.instance }} has errors.',
      runbook:
        'Read /config_errors: each has its file, line and field; the last good configuration, or all of it but the broken resources, is served meanwhile.',
      docs: 'docs/guides/troubleshooting.md#a-change-has-no-effect',
      series: [`zone_egress_config_problems{${AT},severity="error"} 1x10`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressBrokenRoutes',
      severity: 'critical',
      expr: 'zone_egress_broken_routes > 0',
      forMinutes: 5,
      summary: 'Routes of the zone egress {{ $labels.instance }} refuse every client.',
      runbook: 'Read /config_errors for the resource, the Secret or the CA that is broken, and correct it.',
      docs: 'docs/reference/refusals.md#refusal-codes',
      series: [`zone_egress_broken_routes{${AT}} 1x10`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressControlPlaneAway',
      severity: 'warning',
      expr: 'zone_egress_control_plane_connected == 0',
      forMinutes: 5,
      summary: 'The zone egress {{ $labels.instance }} has no stream to its control plane.',
      runbook:
        'Read /config_errors for the reason; sessions are served with the last configuration, but no change arrives and certificates are not renewed.',
      docs: 'docs/control-plane.md#what-happens-in-which-event',
      series: [`zone_egress_control_plane_connected{${AT}} 0x10`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressControlPlaneRefused',
      severity: 'critical',
      expr: 'zone_egress_control_plane_refused == 1',
      forMinutes: 5,
      summary: 'The zone egress {{ $labels.instance }} refuses what its control plane sends of the type {{ $labels.type }}.',
      runbook:
        'Read /config_errors for the resource that is refused and why, and correct the policy that makes it: the control plane sends nothing newer until then.',
      docs: 'docs/control-plane.md#what-happens-in-which-event',
      series: [`zone_egress_control_plane_refused{${AT},type="listener"} 1x10`],
      labels: { ...LABELS, type: 'listener' },
    },
    {
      name: 'ZoneEgressKeptConfiguration',
      severity: 'warning',
      expr: 'zone_egress_kept_configuration_timestamp_seconds > 0',
      forMinutes: 15,
      summary: 'The zone egress {{ $labels.instance }} serves a configuration that it kept earlier.',
      runbook: 'Bring the control plane back: the egress started without it and serves what --state-dir had, which gets older.',
      docs: 'docs/deploy/kubernetes.md#start-while-the-control-plane-is-away',
      series: [`zone_egress_kept_configuration_timestamp_seconds{${AT}} 1000x20`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressConfigDiffers',
      severity: 'warning',
      expr: 'count by (job) (count by (job, version) (zone_egress_config_info)) > 1',
      forMinutes: 15,
      summary: 'The zone egresses of {{ $labels.job }} serve different configurations.',
      runbook: 'Compare /config_errors and /routes of the replicas: one of them does not get, or rejects, what the others serve.',
      docs: 'docs/guides/troubleshooting.md#a-change-has-no-effect',
      series: [
        'zone_egress_config_info{job="zone-egress",instance="a",version="1"} 1x20',
        'zone_egress_config_info{job="zone-egress",instance="b",version="2"} 1x20',
      ],
      labels: { job: 'zone-egress' },
    },
  ];
}

function traffic({ rate, before }: Windows): readonly Alert[] {
  const refused = 'zone_egress:destination_access_refusals:rate';
  return [
    {
      name: 'ZoneEgressDestinationFails',
      severity: 'critical',
      expr: 'zone_egress:destination_failed:ratio > 0.1',
      forMinutes: 5,
      summary: 'More than a tenth of the sessions to {{ $labels.destination }} of mesh {{ $labels.mesh }} reach no endpoint.',
      runbook: 'Ask /decisions?outcome=refused&destination={{ $labels.destination }} for the reason and its remedy.',
      docs: 'docs/guides/troubleshooting.md#a-connection-was-refused',
      series: [
        `zone_egress_destination_sessions_total{${API},outcome="served"} 0+6x30`,
        `zone_egress_destination_sessions_total{${API},outcome="failed"} 0+6x30`,
      ],
      labels: API_LABELS,
    },
    {
      name: 'ZoneEgressRefusalsJump',
      severity: 'warning',
      expr: `(${refused} > 0.05) unless (${refused} <= 3 * (${refused} offset ${before}))`,
      forMinutes: 5,
      summary: 'Far more clients than before may not use {{ $labels.destination }} of mesh {{ $labels.mesh }}.',
      runbook:
        'Ask /decisions?outcome=refused&destination={{ $labels.destination }} who they are, and /explain?id= what would let them in, if they should be.',
      docs: 'docs/guides/troubleshooting.md#a-connection-was-refused',
      series: [`zone_egress_destination_refusals_total{${API},reason="denied"} 0+12x30`],
      labels: API_LABELS,
    },
    {
      name: 'ZoneEgressOverLimit',
      severity: 'critical',
      expr: `sum by (job, instance) (rate(zone_egress_sessions_total{reason="over-limit"}[${rate}])) > 0`,
      forMinutes: 5,
      summary: 'The zone egress {{ $labels.instance }} refuses sessions because a limit is reached.',
      runbook:
        'Ask /decisions?reason=over-limit which limit: add replicas or raise it, or find who opens too many with /sessions.',
      docs: 'docs/guides/capacity.md#capacity-what-a-core-carries',
      series: [`zone_egress_sessions_total{${AT},mode="",mesh="",reason="over-limit"} 0+6x30`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressConnectSlow',
      severity: 'warning',
      expr: 'zone_egress:destination_connect_seconds:p95 > 1',
      forMinutes: 10,
      summary: 'Connecting to {{ $labels.destination }} of mesh {{ $labels.mesh }} takes more than a second.',
      runbook:
        'Look at the network to the endpoints of the service and at their load; zone_egress_endpoint_sessions_total tells which of them fail.',
      docs: 'docs/guides/troubleshooting.md#it-is-slow-or-needs-much-memory',
      series: [
        `zone_egress_destination_connect_seconds_bucket{${API},le="1"} 0x40`,
        `zone_egress_destination_connect_seconds_bucket{${API},le="2.5"} 0+6x40`,
        `zone_egress_destination_connect_seconds_bucket{${API},le="+Inf"} 0+6x40`,
      ],
      labels: API_LABELS,
    },
    {
      name: 'ZoneEgressHandshakesSlow',
      severity: 'warning',
      expr: `histogram_quantile(0.95, sum by (job, instance, le) (rate(zone_egress_handshake_seconds_bucket{kind="full"}[${rate}]))) > 1`,
      forMinutes: 10,
      summary: 'TLS handshakes of clients with the zone egress {{ $labels.instance }} take more than a second.',
      runbook:
        'Look at the CPU of the process and of its node: handshakes are most of the work, and a limit of CPU makes them wait.',
      docs: 'docs/guides/troubleshooting.md#it-is-slow-or-needs-much-memory',
      series: [
        `zone_egress_handshake_seconds_bucket{${AT},kind="full",le="1"} 0x40`,
        `zone_egress_handshake_seconds_bucket{${AT},kind="full",le="2.5"} 0+6x40`,
        `zone_egress_handshake_seconds_bucket{${AT},kind="full",le="+Inf"} 0+6x40`,
      ],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressDnsFails',
      severity: 'warning',
      expr: `sum by (job, instance) (rate(zone_egress_dns_seconds_count{result="failed"}[${rate}])) / (sum by (job, instance) (rate(zone_egress_dns_seconds_count[${rate}])) > 0) > 0.1`,
      forMinutes: 10,
      summary: 'More than a tenth of the look-ups of the zone egress {{ $labels.instance }} fail.',
      runbook:
        'Look in the log for "a name could not be resolved", and at the resolver of the machine or pod; the last good answers stay in use.',
      docs: 'docs/reference/refusals.md#refusal-codes',
      series: [
        `zone_egress_dns_seconds_count{${AT},result="answered"} 0+6x40`,
        `zone_egress_dns_seconds_count{${AT},result="failed"} 0+6x40`,
      ],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressHttpErrors',
      severity: 'warning',
      expr: `sum by (job, instance, mesh, destination) (rate(zone_egress_destination_requests_total{code_class="5xx"}[${rate}])) / (sum by (job, instance, mesh, destination) (rate(zone_egress_destination_requests_total[${rate}])) > 0) > 0.05`,
      forMinutes: 5,
      summary: 'More than a twentieth of the requests to {{ $labels.destination }} of mesh {{ $labels.mesh }} fail.',
      runbook:
        'Ask /decisions?destination={{ $labels.destination }} for refused requests with their flags; what is not there, the service answered by itself.',
      docs: 'docs/http.md#services-that-speak-http',
      series: [
        `zone_egress_destination_requests_total{${API},code_class="2xx"} 0+6x30`,
        `zone_egress_destination_requests_total{${API},code_class="5xx"} 0+6x30`,
      ],
      labels: API_LABELS,
    },
  ];
}

function process({ rate, event }: Windows): readonly Alert[] {
  return [
    {
      name: 'ZoneEgressFault',
      severity: 'warning',
      expr: `increase(zone_egress_faults_total[${event}]) > 0`,
      forMinutes: 0,
      summary: 'The zone egress {{ $labels.instance }} has met a bug or a broken environment.',
      runbook: 'Look in the log for the level error: it has the stack; report it.',
      docs: 'docs/reference/refusals.md#refusal-codes',
      series: [`zone_egress_faults_total{${AT}} 0+1x30`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressDescriptorsNear',
      severity: 'warning',
      expr: `process_open_fds / process_max_fds > 0.8 ${OURS}`,
      forMinutes: 5,
      summary: 'The zone egress {{ $labels.instance }} has used more than 80 % of its file descriptors.',
      runbook: 'Raise the limit of open files (ulimit -n, LimitNOFILE) or add replicas: each session takes two.',
      docs: 'docs/guides/capacity.md#capacity-what-a-core-carries',
      series: [
        `process_open_fds{${AT}} 90x10`,
        `process_max_fds{${AT}} 100x10`,
        `zone_egress_build_info{${AT},version="1",node="22"} 1x10`,
      ],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressLoopSlow',
      severity: 'warning',
      expr: `nodejs_eventloop_lag_p99_seconds > 0.25 ${OURS}`,
      forMinutes: 10,
      summary: 'The main thread of the zone egress {{ $labels.instance }} is late.',
      runbook:
        'Look at the CPU of the process and of its node: a limit of CPU stops it for parts of each second; give it more, or add replicas.',
      docs: 'docs/guides/troubleshooting.md#it-is-slow-or-needs-much-memory',
      series: [`nodejs_eventloop_lag_p99_seconds{${AT}} 1x20`, `zone_egress_build_info{${AT},version="1",node="22"} 1x20`],
      labels: LABELS,
    },
    {
      name: 'ZoneEgressLinesLost',
      severity: 'warning',
      expr: `sum by (job, instance) (rate(zone_egress_access_log_lines_total{result="dropped"}[${rate}])) > 0 or sum by (job, instance) (rate(zone_egress_recorded_total{result="dropped"}[${rate}])) > 0 or sum by (job, instance) (rate(zone_egress_otlp_records_total{result="dropped"}[${rate}])) > 0`,
      forMinutes: 5,
      summary:
        'The zone egress {{ $labels.instance }} loses lines of an access log or of the recording, or what it sends to a collector.',
      runbook:
        'Look at the disk and the permissions of the file, or at the receiver or the collector, that the log names; sessions go on without the lines.',
      docs: 'docs/recording.md#recordings',
      series: [`zone_egress_access_log_lines_total{${AT},result="dropped"} 0+6x30`],
      labels: LABELS,
    },
  ];
}
