/**
 * Every metric in one table, and the registry that holds them. Nothing is global: each egress has
 * its own. No label value comes from a client: a connection without a route counts under empty
 * `mode` and `mesh`, and its SNI is in no label.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { innerMap } from '../base/inner-map.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { observeProcess } from './process-metrics.ts';

export interface MetricInfo {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly unit: 'seconds' | 'bytes' | '';
  readonly labels: readonly string[];
  readonly help: string;
}

// prettier-ignore
export const METRICS = {
  zone_egress_sessions_total: { type: 'counter', unit: '', labels: ['mode', 'mesh', 'reason'], help: 'Sessions that ended, including refused ones; mode and mesh are empty where no route was found' },
  zone_egress_sessions_active: { type: 'gauge', unit: '', labels: [], help: 'Accepted connections that have not ended' },
  zone_egress_handshakes_active: { type: 'gauge', unit: '', labels: [], help: 'TLS handshakes with clients under way' },
  zone_egress_resumed_total: { type: 'counter', unit: '', labels: ['mesh'], help: 'Sessions that ended and had resumed an earlier TLS session by a ticket, in place of a full handshake' },
  zone_egress_requests_total: { type: 'counter', unit: '', labels: ['mesh', 'code_class', 'reason'], help: 'Requests to HTTP services, including refused ones; code_class is the class of the answer (2xx), empty without an answer' },
  zone_egress_bytes_total: { type: 'counter', unit: 'bytes', labels: ['direction', 'mode', 'mesh'], help: 'Payload bytes of sessions that ended; up is from the client to the endpoint' },
  zone_egress_phase_seconds: { type: 'histogram', unit: 'seconds', labels: ['phase'], help: 'Duration of the phases hello, handshake and connect of the sessions that got through them' },
  zone_egress_session_seconds: { type: 'histogram', unit: 'seconds', labels: [], help: 'From accept to close, of sessions that were connected to an endpoint' },
  zone_egress_request_seconds: { type: 'histogram', unit: 'seconds', labels: [], help: 'From the head of a request to the end of its answer, of requests that a service answered' },
  zone_egress_shadow_denied_total: { type: 'counter', unit: '', labels: ['mesh'], help: 'Sessions that a permission with the action AllowWithShadowDeny would have denied' },
  zone_egress_config_info: { type: 'gauge', unit: '', labels: ['version'], help: 'Always 1; the version of the configuration that is live' },
  zone_egress_config_loads_total: { type: 'counter', unit: '', labels: ['result'], help: 'Loads of the configuration: applied, unchanged or rejected' },
  zone_egress_broken_routes: { type: 'gauge', unit: '', labels: [], help: 'Routes that refuse every client because of an error in their resource, in a Secret that it names, or in the CA of their mesh' },
  zone_egress_config_problems: { type: 'gauge', unit: '', labels: ['severity'], help: 'Findings of the last load: error or warning' },
  zone_egress_invariant_violations_total: { type: 'counter', unit: '', labels: ['invariant'], help: 'Configurations rejected because the compiled result broke an internal invariant (a bug in zone-egress), by invariant; the previous configuration stays live' },
  zone_egress_config_last_success_timestamp_seconds: { type: 'gauge', unit: 'seconds', labels: [], help: 'When a load last succeeded' },
  zone_egress_control_plane_connected: { type: 'gauge', unit: '', labels: ['mesh', 'dataplane'], help: '1 while the control plane answers on the stream; mesh and dataplane are absent where the process is one proxy only, and a ZoneEgress has an empty mesh' },
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
  zone_egress_faults_total: { type: 'counter', unit: '', labels: [], help: 'Bugs or a broken environment: the log has the stacks' },
  zone_egress_log_suppressed_total: { type: 'counter', unit: '', labels: ['reason'], help: 'Log lines about refused sessions that the rate limit left out' },
  zone_egress_recorded_total: { type: 'counter', unit: '', labels: ['result'], help: 'Sessions and requests for the recording (--record): written, or dropped because the disk was full or too slow' },
  zone_egress_access_log_lines_total: { type: 'counter', unit: '', labels: ['result'], help: 'Lines of the access logs of routes (MeshAccessLog): written, or dropped because their file could not be written or was too slow' },
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
export type CounterName = NameOf<'counter'>;
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
  /** Returns the Prometheus text format, version 0.0.4. */
  text(): Promise<string>;
  close(): void;
}

export interface MetricsOptions {
  /** Version of this package. */
  readonly version: string;
  /**
   * Adds the metrics of the process and of Node.js; default true. An embedding program that has its
   * own switches it off.
   */
  readonly process?: boolean;
}

const PHASE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
const SESSION_BUCKETS = [0.01, 0.1, 1, 10, 60, 300, 1_800, 3_600, 21_600, 86_400];

/**
 * Collects increments of a counter until a scrape: there are several for each session, and each is
 * cheaper here than in the counter.
 */
class Tally {
  readonly #child: Counter.Internal;
  #sum = 0;

  constructor(counter: Counter, labels: Readonly<Record<string, string>>) {
    this.#child = counter.labels(labels);
  }

  add(by: number): void {
    this.#sum += by;
  }

  settle(): void {
    const sum = this.#sum;
    this.#sum = 0;
    if (sum > 0) this.#child.inc(sum);
  }
}

/** Durations of the phases of sessions; labels are looked up once. */
class SessionTimes {
  readonly #hello: Histogram.Internal<string>;
  readonly #handshake: Histogram.Internal<string>;
  readonly #connect: Histogram.Internal<string>;
  readonly #lengths: Histogram;

  constructor(phases: Histogram, lengths: Histogram) {
    this.#hello = phases.labels('hello');
    this.#handshake = phases.labels('handshake');
    this.#connect = phases.labels('connect');
    this.#lengths = lengths;
  }

  observe({ helloMs, handshakeMs, connectMs, totalMs }: SessionRecord): void {
    if (helloMs >= 0) this.#hello.observe(helloMs / 1e3);
    if (handshakeMs >= 0) this.#handshake.observe(handshakeMs / 1e3);
    if (connectMs < 0) return;
    this.#connect.observe(connectMs / 1e3);
    this.#lengths.observe(totalMs / 1e3);
  }
}

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

  for (const name of Object.keys(METRICS).filter((name) => name.startsWith('zone_egress_')) as MetricName[]) {
    if (METRICS[name].type === 'counter') counter(name as CounterName);
    else if (METRICS[name].type === 'gauge') gauge(name as GaugeName);
  }
  const times = new SessionTimes(
    new Histogram({ ...base('zone_egress_phase_seconds'), buckets: PHASE_BUCKETS }),
    new Histogram({ ...base('zone_egress_session_seconds'), buckets: SESSION_BUCKETS }),
  );
  const requestTimes = new Histogram({ ...base('zone_egress_request_seconds'), buckets: PHASE_BUCKETS });
  const requests = new RequestTallies(counter);
  const sessions = new SessionTallies(counter);

  const metrics: Metrics = {
    record(record) {
      const { ended, up, down, shadowDenied, resumed } = sessions.of(record);
      ended.add(1);
      up.add(record.bytesUp);
      down.add(record.bytesDown);
      if (record.shadowDenied) shadowDenied.add(1);
      if (record.resumed === true) resumed.add(1);
      if (record.limit !== undefined) counter('zone_egress_limit_refusals_total').inc({ limit: record.limit });
      times.observe(record);
    },
    recordRequest(record) {
      requests.of(record).add(1);
      if (record.serviceTimeMs >= 0) requestTimes.observe(record.totalMs / 1e3);
    },
    count: (name, labels, by = 1) => counter(name).inc(labels, by),
    set: (name, labels, value) => gauge(name).set(labels, value),
    info(name, labels) {
      gauge(name).reset();
      gauge(name).set(labels, 1);
    },
    remove: (name, labels) => gauge(name).remove(labels),
    text() {
      sessions.settle();
      requests.settle();
      return registry.metrics();
    },
    close() {
      stopObserving();
      registry.clear();
    },
  };
  const stopObserving = options.process === false ? () => undefined : observeProcess(registry, METRICS);
  metrics.info('zone_egress_build_info', { version: options.version, node: process.versions.node });
  return metrics;
}

interface OfSession {
  readonly ended: Tally;
  readonly up: Tally;
  readonly down: Tally;
  readonly shadowDenied: Tally;
  readonly resumed: Tally;
}

/**
 * One tally for each kind of session, found by existing strings: a joined key would have to be
 * made, and hashed, for each session.
 */
class SessionTallies {
  readonly #counter: (name: CounterName) => Counter;
  readonly #byMesh = new Map<string, Map<string, Map<string, OfSession>>>();

  constructor(counter: (name: CounterName) => Counter) {
    this.#counter = counter;
  }

  /** Label values are bounded: meshes are the operator's, modes and reasons closed lists. */
  of({ mode, mesh, reason }: SessionRecord): OfSession {
    const byReason = innerMap(innerMap(this.#byMesh, mesh), mode);
    let tallies = byReason.get(reason);
    if (tallies === undefined) {
      tallies = {
        ended: new Tally(this.#counter('zone_egress_sessions_total'), { mode, mesh, reason }),
        up: new Tally(this.#counter('zone_egress_bytes_total'), { direction: 'up', mode, mesh }),
        down: new Tally(this.#counter('zone_egress_bytes_total'), { direction: 'down', mode, mesh }),
        shadowDenied: new Tally(this.#counter('zone_egress_shadow_denied_total'), { mesh }),
        resumed: new Tally(this.#counter('zone_egress_resumed_total'), { mesh }),
      };
      byReason.set(reason, tallies);
    }
    return tallies;
  }

  settle(): void {
    for (const byMode of this.#byMesh.values()) {
      for (const byReason of byMode.values()) {
        for (const { ended, up, down, shadowDenied, resumed } of byReason.values()) {
          for (const tally of [ended, up, down, shadowDenied, resumed]) tally.settle();
        }
      }
    }
  }
}

/**
 * One tally for each kind of request. Label values are bounded: meshes are the operator's, classes
 * and reasons closed lists.
 */
class RequestTallies {
  readonly #counter: (name: CounterName) => Counter;
  readonly #byMesh = new Map<string, Map<string, Map<string, Tally>>>();

  constructor(counter: (name: CounterName) => Counter) {
    this.#counter = counter;
  }

  of({ mesh, status, reason }: RequestRecord): Tally {
    const code_class = codeClass(status);
    const byReason = innerMap(innerMap(this.#byMesh, mesh), code_class);
    let tally = byReason.get(reason);
    if (tally === undefined) {
      tally = new Tally(this.#counter('zone_egress_requests_total'), { mesh, code_class, reason });
      byReason.set(reason, tally);
    }
    return tally;
  }

  settle(): void {
    for (const byClass of this.#byMesh.values())
      for (const byReason of byClass.values()) for (const tally of byReason.values()) tally.settle();
  }
}

/** Returns `2xx`; empty without an answer, and for a status outside of the classes. */
function codeClass(status: number): string {
  return status >= 100 && status < 600 ? `${Math.floor(status / 100)}xx` : '';
}
