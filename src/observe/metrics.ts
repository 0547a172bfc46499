/**
 * Every metric in one table, and the registry that holds them. Nothing is global: each egress has
 * its own. No label value comes from a client: a connection without a route counts under empty
 * `mode` and `mesh`, and its SNI is in no label. The number of destinations and endpoints with
 * series of their own is bounded.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { nextTurn } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { DestinationSeries } from './destination-series.ts';
import type { DestinationFamily } from './destination-series.ts';
import { asOpenMetrics, formatFor, headOf } from './exposition.ts';
import type { Exposition } from './exposition.ts';
import { Latencies } from './latencies.ts';
import type { LatencyFamily, LookupResult } from './latencies.ts';
import { observeProcess } from './process-metrics.ts';
import { RequestTallies, SessionTallies } from './tallies.ts';
import type { DataplaneByCluster } from './tallies.ts';

export interface MetricInfo {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly unit: 'seconds' | 'bytes' | '';
  readonly labels: readonly string[];
  readonly help: string;
}

// prettier-ignore
export const METRICS = {
  zone_egress_sessions_total: { type: 'counter', unit: '', labels: ['mode', 'mesh', 'reason', 'dataplane'], help: 'Sessions that ended, including refused ones; mode and mesh are empty where no route was found; dataplane is there where the process serves several Dataplanes or ZoneEgresses' },
  zone_egress_sessions_active: { type: 'gauge', unit: '', labels: [], help: 'Accepted connections that have not ended' },
  zone_egress_handshakes_active: { type: 'gauge', unit: '', labels: [], help: 'TLS handshakes with clients under way' },
  zone_egress_resumed_total: { type: 'counter', unit: '', labels: ['mesh', 'dataplane'], help: 'Sessions that ended and had resumed an earlier TLS session by a ticket, in place of a full handshake' },
  zone_egress_requests_total: { type: 'counter', unit: '', labels: ['mesh', 'code_class', 'reason', 'dataplane'], help: 'Requests to HTTP services, including refused ones; code_class is the class of the answer (2xx), empty without an answer' },
  zone_egress_bytes_total: { type: 'counter', unit: 'bytes', labels: ['direction', 'mode', 'mesh', 'dataplane'], help: 'Payload bytes of sessions that ended; up is from the client to the endpoint' },
  zone_egress_phase_seconds: { type: 'histogram', unit: 'seconds', labels: ['phase'], help: 'Duration of the phases hello, handshake and connect of the sessions that got through them' },
  zone_egress_session_seconds: { type: 'histogram', unit: 'seconds', labels: [], help: 'From accept to close, of sessions that were connected to an endpoint' },
  zone_egress_request_seconds: { type: 'histogram', unit: 'seconds', labels: [], help: 'From the head of a request to the end of its answer, of requests that a service answered' },
  zone_egress_handshake_seconds: { type: 'histogram', unit: 'seconds', labels: ['kind'], help: 'Duration of TLS handshakes with clients: full, or resumed by a ticket' },
  zone_egress_dns_seconds: { type: 'histogram', unit: 'seconds', labels: ['result'], help: 'Duration of look-ups of names: answered or failed' },
  zone_egress_destination_sessions_total: { type: 'counter', unit: '', labels: ['mesh', 'destination', 'outcome'], help: 'Sessions with a route that ended: served, refused, failed (no endpoint could be reached) or left (the client did not wait); destination is other for those without series of their own' },
  zone_egress_destination_refusals_total: { type: 'counter', unit: '', labels: ['mesh', 'destination', 'reason'], help: 'Sessions with a route that did not end well, by refusal code' },
  zone_egress_destination_bytes_total: { type: 'counter', unit: 'bytes', labels: ['mesh', 'destination', 'direction'], help: 'Payload bytes of sessions that ended; up is from the client to the endpoint' },
  zone_egress_destination_connect_seconds: { type: 'histogram', unit: 'seconds', labels: ['mesh', 'destination'], help: 'Time from the choice of an endpoint until a connection to one stood, with its TLS' },
  zone_egress_destination_requests_total: { type: 'counter', unit: '', labels: ['mesh', 'destination', 'code_class'], help: 'Requests to an HTTP service, including refused ones; code_class is the class of the answer (2xx), empty without an answer' },
  zone_egress_destination_request_seconds: { type: 'histogram', unit: 'seconds', labels: ['mesh', 'destination'], help: 'From the head of a request to the end of its answer, of requests that a service answered' },
  zone_egress_endpoint_sessions_total: { type: 'counter', unit: '', labels: ['mesh', 'destination', 'endpoint', 'result'], help: 'Sessions and connections by the endpoint that was tried last: connected or failed; endpoint is other for those without series of their own' },
  zone_egress_shadow_denied_total: { type: 'counter', unit: '', labels: ['mesh', 'dataplane'], help: 'Sessions that a permission with the action AllowWithShadowDeny would have denied' },
  zone_egress_report_only: { type: 'gauge', unit: '', labels: ['mesh'], help: '1 for each mesh whose permissions refuse no client because of --report-only' },
  zone_egress_would_refuse_total: { type: 'counter', unit: '', labels: ['mesh', 'what'], help: 'Sessions and requests (what: session, request) that passed because of --report-only, and that a permission would have refused' },
  zone_egress_config_info: { type: 'gauge', unit: '', labels: ['version'], help: 'Always 1; the version of the configuration that is live' },
  zone_egress_config_loads_total: { type: 'counter', unit: '', labels: ['result'], help: 'Loads of the configuration: applied, unchanged or rejected' },
  zone_egress_broken_routes: { type: 'gauge', unit: '', labels: [], help: 'Routes that refuse every client because of an error in their resource, in a Secret that it names, or in the CA of their mesh' },
  zone_egress_config_problems: { type: 'gauge', unit: '', labels: ['severity'], help: 'Findings of the last load: error or warning' },
  zone_egress_invariant_violations_total: { type: 'counter', unit: '', labels: ['invariant'], help: 'Configurations rejected because the compiled result broke an internal invariant (a bug in zone-egress), by invariant; the previous configuration stays live' },
  zone_egress_config_last_success_timestamp_seconds: { type: 'gauge', unit: 'seconds', labels: [], help: 'When a load last succeeded' },
  zone_egress_control_plane_connected: { type: 'gauge', unit: '', labels: ['mesh', 'dataplane'], help: '1 while the control plane answers on the stream; there is none without a control plane; mesh and dataplane are absent where the process is one proxy only, and a ZoneEgress has an empty mesh' },
  zone_egress_control_plane_refused: { type: 'gauge', unit: '', labels: ['type', 'mesh', 'dataplane'], help: '1 while the last response of this type is refused; the control plane then repeats it and sends nothing newer' },
  zone_egress_kept_configuration_timestamp_seconds: { type: 'gauge', unit: 'seconds', labels: [], help: 'When the live configuration was kept, while it comes from --state-dir because the control plane is away; otherwise 0' },
  zone_egress_kept_writes_total: { type: 'counter', unit: '', labels: ['result'], help: 'Writes of the live configuration to --state-dir: written or failed' },
  zone_egress_certificate_expiry_timestamp_seconds: { type: 'gauge', unit: 'seconds', labels: ['mesh'], help: 'When the certificate of the egress in this mesh expires' },
  zone_egress_unverified_destinations: { type: 'gauge', unit: '', labels: [], help: 'Destinations whose TLS does not verify the server' },
  zone_egress_dns_names: { type: 'gauge', unit: '', labels: [], help: 'Names that the live configuration needs resolved' },
  zone_egress_dns_failures_total: { type: 'counter', unit: '', labels: [], help: 'Look-ups that failed or timed out, also where the last good answer stays in use' },
  zone_egress_endpoints: { type: 'gauge', unit: '', labels: ['health'], help: 'Endpoints that are checked or may be ejected: healthy, unhealthy (by checks) or ejected (by outlier detection)' },
  zone_egress_health_checks_total: { type: 'counter', unit: '', labels: ['result'], help: 'Active checks of endpoints: success or failure' },
  zone_egress_ejections_total: { type: 'counter', unit: '', labels: ['detector', 'result'], help: 'Endpoints that outlier detection found bad: ejected, overflow (too many are ejected) or not_enforced' },
  zone_egress_limit_refusals_total: { type: 'counter', unit: '', labels: ['limit'], help: 'Sessions that a limit of their cluster or route refused: max-connections, max-pending or rate' },
  zone_egress_alarm: { type: 'gauge', unit: '', labels: ['name', 'severity'], help: 'Alarms that are on (/alarms), by name and severity; 0 for each that is not' },
  zone_egress_faults_total: { type: 'counter', unit: '', labels: [], help: 'Bugs or a broken environment: the log has the stacks' },
  zone_egress_log_suppressed_total: { type: 'counter', unit: '', labels: ['reason'], help: 'Log lines about refused sessions that the rate limit left out' },
  zone_egress_admin_changes_total: { type: 'counter', unit: '', labels: ['outcome'], help: 'Changes over the admin listeners: made or refused, and probes of endpoints (probed); the log has a line for each' },
  zone_egress_recorded_total: { type: 'counter', unit: '', labels: ['result'], help: 'Sessions and requests for the recording (--record): written, or dropped because the disk was full or too slow' },
  zone_egress_access_log_lines_total: { type: 'counter', unit: '', labels: ['result'], help: 'Lines of the access logs of routes (MeshAccessLog): written, or dropped because their file or receiver could not be written to or was too slow' },
  zone_egress_otlp_records_total: { type: 'counter', unit: '', labels: ['kind', 'result'], help: 'Spans and log records (kind: spans, logs) for the collector of --otlp-endpoint: sent, or dropped because the collector was away, too slow, or refused them' },
  zone_egress_relay_info: { type: 'gauge', unit: '', labels: ['path'], help: 'Always 1; how bytes are carried: adopted-handle or public-api' },
  zone_egress_workers: { type: 'gauge', unit: '', labels: [], help: 'Data sides that run: threads, or 1 on the main thread' },
  zone_egress_build_info: { type: 'gauge', unit: '', labels: ['version', 'node'], help: 'Always 1; the versions of the egress and of Node.js' },
  process_cpu_user_seconds_total: { type: 'counter', unit: 'seconds', labels: [], help: 'User CPU time of the process' },
  process_cpu_system_seconds_total: { type: 'counter', unit: 'seconds', labels: [], help: 'System CPU time of the process' },
  process_cpu_seconds_total: { type: 'counter', unit: 'seconds', labels: [], help: 'User and system CPU time of the process' },
  process_start_time_seconds: { type: 'gauge', unit: 'seconds', labels: [], help: 'When the process started' },
  process_resident_memory_bytes: { type: 'gauge', unit: 'bytes', labels: [], help: 'Resident memory of the process' },
  process_open_fds: { type: 'gauge', unit: '', labels: [], help: 'Open file descriptors; Linux only' },
  process_max_fds: { type: 'gauge', unit: '', labels: [], help: 'The limit of open file descriptors; Linux only' },
  nodejs_heap_size_total_bytes: { type: 'gauge', unit: 'bytes', labels: [], help: 'Heap of the main thread' },
  nodejs_heap_size_used_bytes: { type: 'gauge', unit: 'bytes', labels: [], help: 'Used heap of the main thread' },
  nodejs_external_memory_bytes: { type: 'gauge', unit: 'bytes', labels: [], help: 'Memory of objects outside of the heap, buffers among them' },
  nodejs_eventloop_lag_mean_seconds: { type: 'gauge', unit: 'seconds', labels: [], help: 'Mean delay of the main thread\'s event loop since the last scrape' },
  nodejs_eventloop_lag_p50_seconds: { type: 'gauge', unit: 'seconds', labels: [], help: 'Median delay of the main thread\'s event loop since the last scrape' },
  nodejs_eventloop_lag_p99_seconds: { type: 'gauge', unit: 'seconds', labels: [], help: '99th percentile of the delay of the main thread\'s event loop since the last scrape' },
  nodejs_eventloop_lag_max_seconds: { type: 'gauge', unit: 'seconds', labels: [], help: 'Longest delay of the main thread\'s event loop since the last scrape' },
  nodejs_version_info: { type: 'gauge', unit: '', labels: ['version'], help: 'Always 1; the version of Node.js' },
} as const;

export type MetricName = keyof typeof METRICS;
type NameOf<Type extends MetricInfo['type']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['type'] extends Type ? Name : never;
}[MetricName];
type OwnFamily = LatencyFamily | DestinationFamily;
export type CounterName = Exclude<NameOf<'counter'>, OwnFamily>;
export type GaugeName = NameOf<'gauge'>;
type LabelOf<Name extends MetricName> = (typeof METRICS)[Name]['labels'][number];
/** Labels that are absent in a process that has joined as one proxy only. */
type OfProxies = 'mesh' | 'dataplane';
export type LabelsOf<Name extends MetricName> =
  'dataplane' extends LabelOf<Name>
    ? Readonly<Record<Exclude<LabelOf<Name>, OfProxies>, string>> & Readonly<Partial<Record<OfProxies, string>>>
    : Readonly<Record<LabelOf<Name>, string>>;

export interface Metrics {
  /** Adds one session. */
  record(record: SessionRecord): void;
  /** Adds one request. */
  recordRequest(record: RequestRecord): void;
  count<Name extends CounterName>(name: Name, labels: LabelsOf<Name>, by?: number): void;
  set<Name extends GaugeName>(name: Name, labels: LabelsOf<Name>, value: number): void;
  /**
   * Sets a gauge whose name ends in `_info` to 1 under these labels, and removes its other labels.
   */
  info<Name extends GaugeName>(name: Name, labels: LabelsOf<Name>): void;
  /** Removes one series, e.g. of a mesh that is gone. */
  remove<Name extends GaugeName>(name: Name, labels: LabelsOf<Name>): void;
  /** Counts a look-up of a name. */
  lookup(result: LookupResult, tookMs: number): void;
  /** Sets what is served: destinations that are gone lose their series. */
  serves(snapshot: Pick<Snapshot, 'routes'>, dataplanes: DataplaneByCluster | null): void;
  /** Returns the Prometheus text format, version 0.0.4. */
  text(): Promise<string>;
  /** Returns the format that `accept` prefers, where this egress has more than one. */
  exposition(accept?: string): Promise<Exposition>;
  close(): void;
}

export interface MetricsOptions {
  /** Version of this package. */
  readonly version: string;
  readonly clock: Clock;
  /**
   * The most destinations, and the most endpoints, with series of their own. Default:
   * `TOP_DESTINATIONS`.
   */
  readonly top?: number;
  /** Offers OpenMetrics, with an example of each bucket. Default: false. */
  readonly openMetrics?: boolean;
  /**
   * Adds the metrics of the process and of Node.js; default true. An embedding program that has its
   * own switches it off.
   */
  readonly process?: boolean;
}

/** The default: above it, the pages in Envoy's form are far longer than these. */
export const TOP_DESTINATIONS = 200;

/** Over 60 lines: one object over one registry; each of its methods is short. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const counters = new Map<CounterName, Counter>();
  const gauges = new Map<GaugeName, Gauge>();
  const base = (name: MetricName) => ({
    name,
    help: METRICS[name].help,
    labelNames: METRICS[name].labels,
    registers: [registry],
  });

  function counter(name: CounterName): Counter {
    const made = counters.get(name) ?? new Counter(base(name));
    counters.set(name, made);
    return made;
  }

  function gauge(name: GaugeName): Gauge {
    const made = gauges.get(name) ?? new Gauge(base(name));
    gauges.set(name, made);
    return made;
  }

  const { clock, top = TOP_DESTINATIONS, openMetrics = false } = options;
  const latencies = new Latencies(openMetrics);
  const destinations = new DestinationSeries({ clock, most: top, exemplars: openMetrics });
  const ownFamilies = () => ({ ...latencies.lines(), ...destinations.lines() });
  const own = new Set(Object.keys(ownFamilies()));
  for (const name of Object.keys(METRICS).filter((name) => name.startsWith('zone_egress_') && !own.has(name)) as MetricName[]) {
    if (METRICS[name].type === 'counter') counter(name as CounterName);
    else if (METRICS[name].type === 'gauge') gauge(name as GaugeName);
  }
  let isClosed = false;
  const requests = new RequestTallies(counter);
  const sessions = new SessionTallies(counter);

  const wouldRefuse = (mesh: string, what: 'session' | 'request'): void =>
    counter('zone_egress_would_refuse_total').inc({ mesh, what });

  const metrics: Metrics = {
    record(record) {
      const { ended, up, down, shadowDenied, resumed } = sessions.of(record);
      ended.add(1);
      up.add(record.bytesUp);
      down.add(record.bytesDown);
      if (record.shadowDenied) shadowDenied.add(1);
      if (record.wouldRefuse !== undefined) wouldRefuse(record.mesh, 'session');
      if (record.resumed === true) resumed.add(1);
      if (record.limit !== undefined) counter('zone_egress_limit_refusals_total').inc({ limit: record.limit });
      latencies.record(record);
      destinations.record(record);
    },
    recordRequest(record) {
      requests.of(record).add(1);
      if (record.wouldRefuse !== undefined) wouldRefuse(record.mesh, 'request');
      latencies.recordRequest(record);
      destinations.recordRequest(record);
    },
    count: (name, labels, by = 1) => counter(name).inc(labels, by),
    set: (name, labels, value) => gauge(name).set(labels, value),
    info(name, labels) {
      gauge(name).reset();
      gauge(name).set(labels, 1);
    },
    remove: (name, labels) => gauge(name).remove(labels),
    lookup: (result, tookMs) => latencies.lookup(result, tookMs),
    serves(snapshot, dataplanes) {
      destinations.keep(snapshot);
      sessions.servedBy(dataplanes);
      requests.servedBy(dataplanes);
    },
    text: async () => (await metrics.exposition()).text,
    async exposition(accept = '') {
      const format = openMetrics ? formatFor(accept) : 'prometheus';
      if (isClosed) return { format, text: '' };
      sessions.settle();
      requests.settle();
      const plain = await registry.metrics();
      let text = format === 'openmetrics' ? asOpenMetrics(plain) : plain;
      // Two hundred destinations are some thousand lines: sessions have a turn in between.
      for (const [name, lines] of Object.entries(ownFamilies())) {
        const { type, help }: MetricInfo = METRICS[name as OwnFamily];
        const head = headOf(name, type, help);
        text += (format === 'openmetrics' ? asOpenMetrics(head) : head) + lines(format);
        await nextTurn();
      }
      return { format, text };
    },
    close() {
      stopObserving();
      registry.clear();
      isClosed = true;
    },
  };
  const stopObserving = options.process === false ? () => undefined : observeProcess(registry, METRICS);
  metrics.info('zone_egress_build_info', { version: options.version, node: process.versions.node });
  return metrics;
}
