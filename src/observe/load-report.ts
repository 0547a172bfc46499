import type { Clock } from '../base/clock.ts';
import { formatProblem } from '../base/problem.ts';
import type { Problem } from '../base/problem.ts';
import type { GoodConfig, ListenerConfig } from '../model/compiled.ts';
import type { MeshName } from '../model/names.ts';
import { identityOf } from '../model/route.ts';
import type { Route } from '../model/route.ts';
import { namesIn } from '../model/snapshot.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { RootLog } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { DataplaneByCluster } from './tallies.ts';
import type { TrafficCounters } from './traffic-counters.ts';

/** The outcome of one load of the configuration. */
export type LoadOutcome =
  | {
      readonly kind: 'live';
      readonly changed: boolean;
      /**
       * The changes of a reload, for the log: routes added and removed, clients that are newly
       * allowed.
       */
      readonly changes?: object;
      readonly config: Pick<GoodConfig, 'snapshot' | 'listener'>;
      readonly problems: readonly Problem[];
    }
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[]; readonly broken?: readonly string[] };

interface ReportedTo {
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly traffic: TrafficCounters;
}

type Live = Extract<LoadOutcome, { kind: 'live' }>;
type Rejected = Extract<LoadOutcome, { kind: 'rejected' }>;

interface LoadFields {
  readonly result: string;
  readonly errors: number;
  readonly warnings: number;
  readonly tookMs: number;
}

/**
 * Writes the log lines and metrics of each load of the configuration. Logs a problem when it is
 * new, and one line at the end of a bad configuration.
 */
export class LoadReport {
  readonly #to: ReportedTo;
  /** True when the lines carry the names of the zone and the egress. */
  #named = false;
  /** The outcome of the last load, where it was not good. */
  #wasBad: 'rejected' | 'errors' | null = null;
  /** The warnings of the live configuration. */
  #logged: ReadonlySet<string> = new Set();

  constructor(to: ReportedTo) {
    this.#to = to;
  }

  report(outcome: LoadOutcome, tookMs: number): void {
    const { metrics } = this.#to;
    const errors = outcome.problems.filter(({ severity }) => severity === 'error').length;
    const warnings = outcome.problems.length - errors;
    metrics.set('zone_egress_config_problems', { severity: 'error' }, errors);
    metrics.set('zone_egress_config_problems', { severity: 'warning' }, warnings);
    const result = outcome.kind === 'rejected' ? 'rejected' : outcome.changed ? 'applied' : 'unchanged';
    metrics.count('zone_egress_config_loads_total', { result });
    const fields = { result, errors, warnings, tookMs: Math.round(tookMs) };
    if (outcome.kind === 'rejected') this.#reportRejected(outcome, fields);
    else this.#reportLive(outcome, fields);
  }

  #reportRejected({ problems, broken = [] }: Rejected, fields: LoadFields): void {
    const { log, metrics } = this.#to;
    for (const invariant of broken) metrics.count('zone_egress_invariant_violations_total', { invariant });
    log.error(
      { ...fields, problems: texts(problems) },
      this.#named
        ? 'the configuration is rejected; the previous one stays live'
        : 'the configuration is rejected; none was live before',
    );
    this.#wasBad = 'rejected';
  }

  #reportLive({ config, problems, changed, changes }: Live, fields: LoadFields): void {
    const { log } = this.#to;
    const { snapshot, listener } = config;
    if (!this.#named) log.bind({ zone: snapshot.zone, egress: listener.name });
    this.#named = true;
    this.#measure({ snapshot, listener }, problems);
    this.#logNew(problems, fields);
    this.#logRecovery(fields, { version: snapshot.version, changed });
    if (!changed) return log.debug(fields, 'the configuration has not changed');
    const { size: routes } = snapshot.routes;
    log.info({ ...fields, version: snapshot.version, routes, ...changes }, 'the configuration is live');
  }

  #measure({ snapshot, listener }: Live['config'], problems: readonly Problem[]): void {
    const { metrics, clock, traffic } = this.#to;
    metrics.set('zone_egress_broken_routes', {}, brokenRoutes(snapshot, problems));
    metrics.info('zone_egress_config_info', { version: snapshot.version });
    metrics.set('zone_egress_config_last_success_timestamp_seconds', {}, clock.wall() / 1e3);
    metrics.set('zone_egress_unverified_destinations', {}, unverified(snapshot));
    metrics.set('zone_egress_dns_names', {}, namesIn(snapshot).size);
    traffic.keep(snapshot.clusters);
    metrics.serves(snapshot, dataplanesOf(snapshot, listener));
  }

  /** Logs each problem once: a control plane sends the same ones again and again. */
  #logNew(problems: readonly Problem[], fields: LoadFields): void {
    const { log } = this.#to;
    const fresh = problems.filter((problem) => !this.#logged.has(formatProblem(problem)));
    this.#logged = new Set(problems.map(formatProblem));
    const refusing = fresh.filter(({ severity }) => severity === 'error');
    const others = fresh.filter(({ severity }) => severity === 'warning');
    if (refusing.length > 0)
      log.error(
        { ...fields, problems: texts(refusing) },
        'resources with these errors are refused; the rest of the configuration is served',
      );
    if (others.length > 0) log.warn({ ...fields, problems: texts(others) }, 'the configuration has warnings');
  }

  /** Logs the end of a bad configuration, also where the corrected one equals the live one. */
  #logRecovery(fields: LoadFields, { version, changed }: { readonly version: string; readonly changed: boolean }): void {
    const { log } = this.#to;
    const { errors } = fields;
    if (this.#wasBad === 'rejected' && errors > 0)
      log.info(fields, 'the configuration is good again, except for resources with errors');
    if (this.#wasBad !== null && errors === 0) {
      const same = changed ? '' : '; it equals the live one';
      log.info({ ...fields, version }, `the configuration is good again${same}`);
    }
    this.#wasBad = errors > 0 ? 'errors' : null;
  }
}

const MAX_PROBLEMS_PER_LINE = 50;

/** /config_errors has all of them; a line has the first ones. */
function texts(problems: readonly Problem[]): readonly string[] {
  return problems.slice(0, MAX_PROBLEMS_PER_LINE).map(formatProblem);
}

/** Names the proxy that serves each cluster; null where the process is one proxy only. */
function dataplanesOf({ routes }: Snapshot, { serving }: ListenerConfig): DataplaneByCluster | null {
  if (serving === undefined) return null;
  const names = new Map(serving.map(({ name, identity }) => [identity, name]));
  const nameOf = (route: Route): string => names.get(identityOf(route)) ?? names.get('') ?? '';
  return new Map([...routes.values()].map((route) => [route.cluster, nameOf(route)]));
}

/** Counts routes that refuse every client because of an error in their resource or their mesh. */
function brokenRoutes({ routes, clusters, meshes }: Snapshot, problems: readonly Problem[]): number {
  const refused = new Set(problems.map(({ refuses }) => refuses));
  const isRefused = (mesh: MeshName): boolean => meshes.get(mesh)?.identity.kind === 'none' || refused.has(`Mesh ${mesh}`);
  let count = 0;
  for (const { kind, mesh, cluster } of routes.values()) {
    if (clusters.get(cluster)?.broken !== undefined || (kind === 'terminate' && isRefused(mesh))) count++;
  }
  return count;
}

/**
 * Counts destinations with an endpoint that is connected with TLS but without verifying the server.
 */
function unverified(snapshot: Snapshot): number {
  let count = 0;
  for (const route of snapshot.routes.values()) {
    if (route.kind !== 'terminate') continue;
    const endpoints = snapshot.clusters.get(route.cluster)?.endpoints ?? [];
    if (endpoints.some(({ tls }) => tls?.trust.kind === 'none')) count++;
  }
  return count;
}
