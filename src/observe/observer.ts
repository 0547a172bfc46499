import type { Clock } from '../base/clock.ts';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { EndReason } from '../base/refusal.ts';
import { formatProblem } from '../base/problem.ts';
import type { Problem } from '../base/problem.ts';
import type { Compiled } from '../model/compiled.ts';
import type { EndpointHealth } from '../model/endpoint-view.ts';
import type { MeshName } from '../model/names.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { namesIn } from '../model/snapshot.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { createAccessLog, REQUESTS, SESSIONS } from './access-log.ts';
import { Decisions } from './decisions.ts';
import type { DecisionQuery } from './decisions.ts';
import { createLog } from './log.ts';
import type { Log, LogLevel } from './log.ts';
import { createMetrics } from './metrics.ts';
import { TrafficCounters } from './traffic-counters.ts';

export interface ObserverOptions {
  readonly clock: Clock;
  readonly level: LogLevel;
  /** Of this package, for `zone_egress_build_info`. */
  readonly version?: string;
  /** Takes whole log lines; standard output without it. */
  readonly destination?: { write(line: string): void };
  /** One of so many sessions that ended well gets a line; 0: none. */
  readonly logSample?: number;
  /** How many recent decisions are kept. */
  readonly decisions?: number;
  /** The metrics of the process too. */
  readonly process?: boolean;
}

/** What became of one load of the configuration. */
export type LoadOutcome =
  | {
      readonly kind: 'live';
      readonly changed: boolean;
      /** Of a reload, for the log: routes that came and went, who may newly pass. */
      readonly changes?: object;
      readonly config: Pick<Extract<Compiled, { kind: 'compiled' }>, 'snapshot' | 'listener'>;
      readonly problems: readonly Problem[];
    }
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[]; readonly broken?: readonly string[] };

/**
 * Everything that this egress tells about itself: one log, one set of metrics, one ring of
 * decisions.
 */
export interface Observer {
  readonly log: Log;
  readonly metrics: Events;
  /** Fed by the records too; for whoever tells it as Envoy does. */
  readonly traffic: TrafficCounters;
  /** One line, one set of metric updates, one entry in the ring, one call of each listener. */
  record(record: SessionRecord): void;
  /** The same of a request; the ring has those that were refused. */
  recordRequest(record: RequestRecord): void;
  load(outcome: LoadOutcome, tookMs: number): void;
  decisions(query?: DecisionQuery): readonly SessionRecord[];
  decision(id: string): SessionRecord | null;
  /** Those that were refused, newest first. */
  requests(query?: DecisionQuery): readonly RequestRecord[];
  request(id: string): RequestRecord | null;
  onRecord(listener: (record: SessionRecord) => void): () => void;
  onRequest(listener: (record: RequestRecord) => void): () => void;
  /** Prometheus text with the numbers of this moment. */
  text(now: { readonly sessions: number; readonly handshakes: number }): Promise<string>;
  flush(): Promise<void>;
  close(): void;
}

export interface Events {
  relay(path: string): void;
  workers(count: number): void;
  fault(): void;
  /** Lines of the recording of sessions. */
  recorded(result: 'written' | 'dropped', count: number): void;
  /** What a look-up came to. */
  dns(outcome: 'resolved' | 'failed'): void;
  controlPlane(connected: boolean): void;
  /** Whether what it last sent of a type is refused. */
  controlPlaneRefused(type: string, isRefused: boolean): void;
  /** `notAfter` in milliseconds since the Unix epoch. */
  certificate(mesh: string, notAfter: number): void;
  certificateGone(mesh: string): void;
  /** Endpoints that are watched, by health. */
  endpoints(counts: Readonly<Record<EndpointHealth, number>>): void;
  check(result: 'success' | 'failure'): void;
  ejection(detector: string, result: string): void;
}

export function createObserver(options: ObserverOptions): Observer {
  const { clock, level, destination } = options;
  const log = createLog({ level, ...(destination === undefined ? {} : { destination }) });
  const metrics = createMetrics({ version: options.version ?? 'unknown', process: options.process ?? true });
  const ring = new Decisions<SessionRecord>(options.decisions);
  const refusedRequests = new Decisions<RequestRecord>(options.decisions);
  const traffic = new TrafficCounters();
  const logged = {
    log,
    clock,
    sample: options.logSample ?? 1,
    onSuppressed: (reason: EndReason) => metrics.count('zone_egress_log_suppressed_total', { reason }),
  };
  const access = createAccessLog(SESSIONS, logged);
  const accessOfRequests = createAccessLog(REQUESTS, logged);
  const listeners = new Set<(record: SessionRecord) => void>();
  const requestListeners = new Set<(record: RequestRecord) => void>();

  function tell<Of>(all: ReadonlySet<(record: Of) => void>, record: Of): void {
    for (const listener of all) {
      try {
        listener(record);
      } catch (err) {
        metrics.count('zone_egress_faults_total', {});
        log.error({ err }, 'a listener for records threw');
      }
    }
  }
  let named = false;
  /** What the last load was like, where it was not good. */
  let wasBad: 'rejected' | 'errors' | null = null;
  /** What the configuration that is live was warned of. */
  let told: ReadonlySet<string> = new Set();

  function live(snapshot: Snapshot, problems: readonly Problem[]): void {
    metrics.set('zone_egress_broken_routes', {}, brokenRoutes(snapshot, problems));
    metrics.info('zone_egress_config_info', { version: snapshot.version });
    metrics.set('zone_egress_config_last_success_timestamp_seconds', {}, clock.wall() / 1e3);
    metrics.set('zone_egress_unverified_destinations', {}, unverified(snapshot));
    metrics.set('zone_egress_dns_names', {}, namesIn(snapshot).size);
    traffic.keep(snapshot.clusters);
  }

  return {
    log,
    traffic,
    metrics: {
      relay: (path) => metrics.info('zone_egress_relay_info', { path }),
      workers: (count) => metrics.set('zone_egress_workers', {}, count),
      fault: () => metrics.count('zone_egress_faults_total', {}),
      recorded: (result, count) => metrics.count('zone_egress_recorded_total', { result }, count),
      dns(outcome) {
        if (outcome === 'failed') metrics.count('zone_egress_dns_failures_total', {});
      },
      controlPlane: (connected) => metrics.set('zone_egress_control_plane_connected', {}, connected ? 1 : 0),
      controlPlaneRefused: (type, isRefused) => metrics.set('zone_egress_control_plane_refused', { type }, isRefused ? 1 : 0),
      certificate: (mesh, notAfter) => metrics.set('zone_egress_certificate_expiry_timestamp_seconds', { mesh }, notAfter / 1e3),
      endpoints(counts) {
        for (const [health, count] of Object.entries(counts)) metrics.set('zone_egress_endpoints', { health }, count);
      },
      check: (result) => metrics.count('zone_egress_health_checks_total', { result }),
      ejection: (detector, result) => metrics.count('zone_egress_ejections_total', { detector, result }),
      certificateGone: (mesh) => metrics.remove('zone_egress_certificate_expiry_timestamp_seconds', { mesh }),
    },
    record(record) {
      metrics.record(record);
      traffic.record(record);
      ring.add(record);
      access.write(record);
      tell(listeners, record);
    },
    recordRequest(record) {
      metrics.recordRequest(record);
      traffic.recordRequest(record);
      if (!Object.hasOwn(NORMAL_ENDS, record.reason)) refusedRequests.add(record);
      accessOfRequests.write(record);
      tell(requestListeners, record);
    },
    load(outcome, tookMs) {
      const errors = outcome.problems.filter(({ severity }) => severity === 'error').length;
      const warnings = outcome.problems.length - errors;
      metrics.set('zone_egress_config_problems', { severity: 'error' }, errors);
      metrics.set('zone_egress_config_problems', { severity: 'warning' }, warnings);
      const result = outcome.kind === 'rejected' ? 'rejected' : outcome.changed ? 'applied' : 'unchanged';
      metrics.count('zone_egress_config_loads_total', { result });
      const fields = { result, errors, warnings, tookMs: Math.round(tookMs) };
      if (outcome.kind === 'rejected') {
        for (const invariant of outcome.broken ?? []) metrics.count('zone_egress_invariant_violations_total', { invariant });
        log.error(
          { ...fields, problems: texts(outcome.problems) },
          named ? 'the configuration is rejected; what was live stays' : 'the configuration is rejected; none was live before',
        );
        wasBad = 'rejected';
        return;
      }
      const { snapshot, listener } = outcome.config;
      if (!named) log.bind({ zone: snapshot.zone, egress: listener.name });
      named = true;
      live(snapshot, outcome.problems);
      // Each once: a control plane sends the same again and again.
      const fresh = outcome.problems.filter((problem) => !told.has(formatProblem(problem)));
      told = new Set(outcome.problems.map(formatProblem));
      const refusing = fresh.filter(({ severity }) => severity === 'error');
      const others = fresh.filter(({ severity }) => severity === 'warning');
      if (refusing.length > 0)
        log.error(
          { ...fields, problems: texts(refusing) },
          'what has these errors is refused; the rest of the configuration is served',
        );
      if (others.length > 0) log.warn({ ...fields, problems: texts(others) }, 'the configuration has warnings');
      // Who has seen a bad one wants to know that it is over, also where the mended one is what was
      // live all the time.
      if (wasBad === 'rejected' && errors > 0) log.info(fields, 'the configuration is good again, but for what has errors');
      if (wasBad !== null && errors === 0) {
        const same = outcome.changed ? '' : '; it is the same as what was live';
        log.info({ ...fields, version: snapshot.version }, `the configuration is good again${same}`);
      }
      wasBad = errors > 0 ? 'errors' : null;
      if (!outcome.changed) return log.debug(fields, 'the configuration has not changed');
      const { size: routes } = snapshot.routes;
      log.info({ ...fields, version: snapshot.version, routes, ...outcome.changes }, 'the configuration is live');
    },
    decisions: (query) => ring.list(query),
    decision: (id) => ring.get(id),
    requests: (query) => refusedRequests.list(query),
    request: (id) => refusedRequests.get(id),
    onRecord: (listener) => added(listeners, listener),
    onRequest: (listener) => added(requestListeners, listener),
    text({ sessions, handshakes }) {
      metrics.set('zone_egress_sessions_active', {}, sessions);
      metrics.set('zone_egress_handshakes_active', {}, handshakes);
      return metrics.text();
    },
    flush() {
      access.tell();
      accessOfRequests.tell();
      return log.flush();
    },
    close() {
      access.close();
      accessOfRequests.close();
      listeners.clear();
      requestListeners.clear();
      metrics.close();
      log.close();
    },
  };
}

/** A function of its own, so that one that is added twice is also taken away twice. */
function added<Of>(all: Set<(record: Of) => void>, listener: (record: Of) => void): () => void {
  const own = (record: Of): void => listener(record);
  all.add(own);
  return () => void all.delete(own);
}

const MAX_PROBLEMS_PER_LINE = 50;

/** All of them are at /config_errors; a line keeps the first ones. */
function texts(problems: readonly Problem[]): readonly string[] {
  return problems.slice(0, MAX_PROBLEMS_PER_LINE).map(formatProblem);
}

/**
 * Routes that refuse everybody because of an error in what was written of them or of their mesh.
 */
function brokenRoutes({ routes, clusters, meshes }: Snapshot, problems: readonly Problem[]): number {
  const refused = new Set(problems.map(({ refuses }) => refuses));
  const isRefused = (mesh: MeshName): boolean => meshes.get(mesh)?.identity.kind === 'none' || refused.has(`Mesh ${mesh}`);
  let count = 0;
  for (const { kind, mesh, cluster } of routes.values()) {
    if (clusters.get(cluster)?.broken !== undefined || (kind === 'terminate' && isRefused(mesh))) count++;
  }
  return count;
}

/** Destinations of which an endpoint is spoken to with TLS that nobody verifies. */
function unverified(snapshot: Snapshot): number {
  let count = 0;
  for (const route of snapshot.routes.values()) {
    if (route.kind !== 'terminate') continue;
    const endpoints = snapshot.clusters.get(route.cluster)?.endpoints ?? [];
    if (endpoints.some(({ tls }) => tls?.trust.kind === 'none')) count++;
  }
  return count;
}
