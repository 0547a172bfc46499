import type { Clock } from '../base/clock.ts';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { EndReason } from '../base/refusal.ts';
import type { AlarmSeverity } from '../model/alarm.ts';
import type { EndpointHealth } from '../model/endpoint-view.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { Incidents } from './alarms/incidents.ts';
import { createAccessLog, REQUESTS, SESSIONS } from './access-log.ts';
import { RecentDecisions } from './decisions.ts';
import type { DecisionQuery } from './decisions.ts';
import type { Exposition } from './exposition.ts';
import type { LookupResult } from './latencies.ts';
import { LoadReport } from './load-report.ts';
import type { LoadOutcome } from './load-report.ts';
import type { LogFormat } from './log-format.ts';
import { createLog } from './log.ts';
import type { Log, LogLevel, RootLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import type { Metrics } from './metrics.ts';
import type { OtlpKind } from './otlp/send-otlp.ts';
import { TrafficCounters } from './traffic-counters.ts';

export interface ObserverOptions {
  readonly clock: Clock;
  readonly level: LogLevel;
  /** Default: json. */
  readonly format?: LogFormat;
  /** Version of this package, for `zone_egress_build_info`. */
  readonly version?: string;
  /** Receives whole log lines; without it they go to standard output. */
  readonly destination?: { write(line: string): void };
  /** One of this many sessions that ended well gets a line; 0 writes none. */
  readonly logSample?: number;
  /** Number of recent decisions that are kept. */
  readonly decisions?: number;
  /** True adds the metrics of the process. */
  readonly process?: boolean;
  /** The most destinations, and the most endpoints, with series of their own. */
  readonly top?: number;
  /** True offers OpenMetrics with examples. */
  readonly openMetrics?: boolean;
}

/** Counts open sessions and handshakes. */
interface OpenNow {
  readonly sessions: number;
  readonly handshakes: number;
}

export type { LoadOutcome } from './load-report.ts';

/** The reports of one egress: one log, one set of metrics, one ring of decisions. */
export interface Observer {
  readonly log: Log & Pick<RootLog, 'level' | 'setLevel' | 'always'>;
  readonly metrics: Events;
  /** Counts records too; the source of the pages in Envoy's form. */
  readonly traffic: TrafficCounters;
  /** Counts internal errors and dropped lines for the alarms. */
  readonly incidents: Incidents;
  /**
   * Writes one line, one set of metric updates and one entry of the ring, and calls each listener
   * once.
   */
  record(record: SessionRecord): void;
  /** Does the same for a request; the ring has only refused ones. */
  recordRequest(record: RequestRecord): void;
  load(outcome: LoadOutcome, tookMs: number): void;
  decisions(query?: DecisionQuery): readonly SessionRecord[];
  decision(id: string): SessionRecord | null;
  /** Returns refused requests, newest first. */
  requests(query?: DecisionQuery): readonly RequestRecord[];
  request(id: string): RequestRecord | null;
  onRecord(listener: (record: SessionRecord) => void): () => void;
  onRequest(listener: (record: RequestRecord) => void): () => void;
  /** Returns Prometheus text with the numbers of this moment. */
  text(now: OpenNow): Promise<string>;
  /** Returns the same in the format that the header `Accept` prefers. */
  exposition(now: OpenNow, accept: string): Promise<Exposition>;
  flush(): Promise<void>;
  close(): void;
}

/** Names one of several proxies as which a process has joined. */
export interface ProxyLabels {
  /** Empty for a ZoneEgress, whose name is in `dataplane` too. */
  readonly mesh: string;
  readonly dataplane: string;
}

export interface Events {
  relay(path: string): void;
  workers(count: number): void;
  /** `message` is for the alarm; the caller writes the log line. */
  fault(message: string): void;
  /** Counts lines of the recording of sessions. */
  recorded(result: 'written' | 'dropped', count: number): void;
  /** Counts lines of the access logs of routes. */
  accessLines(result: 'written' | 'dropped', count: number): void;
  /** Counts spans and log records for a collector of OpenTelemetry. */
  otlp(kind: OtlpKind, result: 'sent' | 'dropped', count: number): void;
  /** Sets whether the permissions of a mesh are only reported. */
  reportOnly(mesh: string, is: boolean): void;
  /** Counts a failed look-up. */
  dnsFailed(): void;
  /** Counts a look-up, with its time. */
  lookup(result: LookupResult, tookMs: number): void;
  /** `of` is null where the process has joined as one proxy only, or as none. */
  controlPlane(connected: boolean, of: ProxyLabels | null): void;
  /** Sets whether the last resources of a type from the control plane are refused. */
  controlPlaneRefused(type: string, isRefused: boolean, of: ProxyLabels | null): void;
  /** Removes the series of a proxy that has left. */
  controlPlaneGone(of: ProxyLabels): void;
  /** `since` in milliseconds since the Unix epoch; null while the live configuration is present. */
  keptConfiguration(since: number | null): void;
  /** Counts a write of the configuration to the folder of `--state-dir`. */
  keptWritten(result: 'written' | 'failed'): void;
  /** `notAfter` in milliseconds since the Unix epoch. */
  certificate(mesh: string, notAfter: number): void;
  certificateGone(mesh: string): void;
  /** Sets the number of watched endpoints, by health. */
  endpoints(counts: Readonly<Record<EndpointHealth, number>>): void;
  check(result: 'success' | 'failure'): void;
  /** Sets the number of alarms that are on, for each name and severity. */
  alarms(on: Iterable<readonly [name: string, severity: AlarmSeverity, count: number]>): void;
  ejection(detector: string, result: string): void;
  /** Counts a change over an admin listener. */
  adminChange(outcome: 'made' | 'probed' | 'refused'): void;
}

/** Over 60 lines: one object over its parts; each of its methods is short. */
export function createObserver(options: ObserverOptions): Observer {
  const { clock, level, destination, version = 'unknown', process = true } = options;
  const incidents = new Incidents();
  const log = createLog({
    level,
    ...(options.format === undefined ? {} : { format: options.format }),
    ...(destination === undefined ? {} : { destination }),
    onDropped: (lines) => incidents.dropped('log', lines, clock.now()),
  });
  const { top, openMetrics } = options;
  const metrics = createMetrics({
    version,
    process,
    clock,
    ...(top === undefined ? {} : { top }),
    ...(openMetrics === undefined ? {} : { openMetrics }),
  });
  const ring = new RecentDecisions<SessionRecord>(options.decisions);
  const refusedRequests = new RecentDecisions<RequestRecord>(options.decisions);
  const traffic = new TrafficCounters();
  const logged = {
    log,
    clock,
    sample: options.logSample ?? 1,
    onSuppressed: (reason: EndReason) => metrics.count('zone_egress_log_suppressed_total', { reason }),
  };
  const access = createAccessLog(SESSIONS, logged);
  const accessOfRequests = createAccessLog(REQUESTS, logged);
  const accessLogs = [access, accessOfRequests];
  const events = eventsIn(metrics, incidents, clock);
  const onThrow = (err: unknown): void => {
    events.fault('a listener for records threw');
    log.error({ err }, 'a listener for records threw');
  };
  const listeners = new Listeners<SessionRecord>(onThrow);
  const requestListeners = new Listeners<RequestRecord>(onThrow);
  const loads = new LoadReport({ log, metrics, clock, traffic });
  function exposition({ sessions, handshakes }: OpenNow, accept = ''): Promise<Exposition> {
    metrics.set('zone_egress_sessions_active', {}, sessions);
    metrics.set('zone_egress_handshakes_active', {}, handshakes);
    return metrics.exposition(accept);
  }
  return {
    log,
    traffic,
    incidents,
    metrics: events,
    record(record) {
      metrics.record(record);
      traffic.record(record);
      ring.add(record);
      access.write(record);
      listeners.call(record);
    },
    recordRequest(record) {
      metrics.recordRequest(record);
      traffic.recordRequest(record);
      if (!Object.hasOwn(NORMAL_ENDS, record.reason)) refusedRequests.add(record);
      accessOfRequests.write(record);
      requestListeners.call(record);
    },
    load: (outcome, tookMs) => loads.report(outcome, tookMs),
    decisions: (query) => ring.list(query),
    decision: (id) => ring.get(id),
    requests: (query) => refusedRequests.list(query),
    request: (id) => refusedRequests.get(id),
    onRecord: (listener) => listeners.add(listener),
    onRequest: (listener) => requestListeners.add(listener),
    text: async (now) => (await exposition(now)).text,
    exposition,
    flush() {
      for (const lines of accessLogs) lines.tell();
      return log.flush();
    },
    close() {
      for (const lines of accessLogs) lines.close();
      for (const all of [listeners, requestListeners]) all.clear();
      metrics.close();
      log.close();
    },
  };
}

/** Makes the metrics that do not come from records. */
function eventsIn(metrics: Metrics, incidents: Incidents, clock: Clock): Events {
  return {
    relay: (path) => metrics.info('zone_egress_relay_info', { path }),
    workers: (count) => metrics.set('zone_egress_workers', {}, count),
    fault(message) {
      metrics.count('zone_egress_faults_total', {});
      incidents.internalError(message, clock.now());
    },
    recorded(result, count) {
      metrics.count('zone_egress_recorded_total', { result }, count);
      if (result === 'dropped') incidents.dropped('recording', count, clock.now());
    },
    accessLines(result, count) {
      metrics.count('zone_egress_access_log_lines_total', { result }, count);
      if (result === 'dropped') incidents.dropped('access log', count, clock.now());
    },
    otlp(kind, result, count) {
      metrics.count('zone_egress_otlp_records_total', { kind, result }, count);
      if (result === 'dropped') incidents.dropped('collector', count, clock.now());
    },
    alarms(on) {
      for (const [name, severity, count] of on) metrics.set('zone_egress_alarm', { name, severity }, count);
    },
    lookup: (result, tookMs) => metrics.lookup(result, tookMs),
    reportOnly: (mesh, is) =>
      is ? metrics.set('zone_egress_report_only', { mesh }, 1) : metrics.remove('zone_egress_report_only', { mesh }),
    dnsFailed: () => metrics.count('zone_egress_dns_failures_total', {}),
    controlPlane: (connected, of) => metrics.set('zone_egress_control_plane_connected', { ...of }, connected ? 1 : 0),
    controlPlaneRefused: (type, is, of) => metrics.set('zone_egress_control_plane_refused', { type, ...of }, is ? 1 : 0),
    controlPlaneGone(of) {
      metrics.remove('zone_egress_control_plane_connected', { ...of });
      for (const type of ['cluster', 'endpoint', 'listener', 'secret'])
        metrics.remove('zone_egress_control_plane_refused', { type, ...of });
    },
    keptConfiguration: (since) =>
      metrics.set('zone_egress_kept_configuration_timestamp_seconds', {}, since === null ? 0 : since / 1e3),
    keptWritten: (result) => metrics.count('zone_egress_kept_writes_total', { result }),
    certificate: (mesh, notAfter) => metrics.set('zone_egress_certificate_expiry_timestamp_seconds', { mesh }, notAfter / 1e3),
    endpoints(counts) {
      for (const [health, count] of Object.entries(counts)) metrics.set('zone_egress_endpoints', { health }, count);
    },
    check: (result) => metrics.count('zone_egress_health_checks_total', { result }),
    ejection: (detector, result) => metrics.count('zone_egress_ejections_total', { detector, result }),
    adminChange: (outcome) => metrics.count('zone_egress_admin_changes_total', { outcome }),
    certificateGone: (mesh) => metrics.remove('zone_egress_certificate_expiry_timestamp_seconds', { mesh }),
  };
}

/** Functions that receive each record. One that throws does not keep it from the others. */
class Listeners<Of> {
  readonly #all = new Set<(record: Of) => void>();
  readonly #onThrow: (error: unknown) => void;

  constructor(onThrow: (error: unknown) => void) {
    this.#onThrow = onThrow;
  }

  /** A function that is added twice is called twice, and has to be removed twice. */
  add(listener: (record: Of) => void): () => void {
    const own = (record: Of): void => listener(record);
    this.#all.add(own);
    return () => void this.#all.delete(own);
  }

  call(record: Of): void {
    for (const listener of this.#all) {
      try {
        listener(record);
      } catch (error) {
        this.#onThrow(error);
      }
    }
  }

  clear(): void {
    this.#all.clear();
  }
}
