/**
 * The state of the endpoints of clusters with checks or outlier detection: which exist, their
 * health, and each change of it, reported once. A change of configuration does not touch unchanged
 * clusters. Two endpoints of a cluster with one address count as one.
 */
import type { Clock, Timer } from '../base/clock.ts';
import { sameValue } from '../model/changes.ts';
import type { Cluster, HealthCheck, OutlierDetection } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { EndpointHealth } from '../model/endpoint-view.ts';
import type { EndpointReport } from '../model/messages.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { dialable } from '../routing/candidates.ts';
import type { DialFacts, Target } from '../routing/candidates.ts';
import { createHealthChecks } from './health.ts';
import type { StartChecks } from './health.ts';
import { ClusterOutliers } from './outlier.ts';
import type { Detected, Detector } from './outlier.ts';
import type { Dialling, Unhealthiness } from './probe.ts';

export interface EndpointWatchOptions {
  readonly clock: Clock;
  readonly dial: (target: Target) => Dialling;
  /** The facts of this moment: addresses of names, and what must not be dialled. */
  readonly facts: () => DialFacts;
  /** `why`: the finding of the last check, where there was one. */
  readonly onHealth: (
    change: { readonly cluster: string; readonly key: string; readonly health: EndpointHealth },
    why: Unhealthiness,
  ) => void;
  /** Called for an endpoint that was not healthy and is no longer watched. */
  readonly onForgotten: (cluster: string, key: string) => void;
  readonly onCheck?: (finding: Unhealthiness) => void;
  readonly onDetected?: (detector: Detector, result: Detected, cluster: string) => void;
  /** Returns a number in [0, 1), for jitter and for partial enforcement. */
  readonly draw?: () => number;
  readonly maxConcurrentChecks?: number;
}

/** Numbers of watched endpoints, by health. */
export type HealthCounts = Readonly<Record<EndpointHealth, number>>;

interface Watched {
  cluster: Cluster;
  readonly checks: readonly HealthCheck[];
  readonly outliers: ClusterOutliers | null;
  readonly sweep: Timer | null;
  readonly endpoints: Map<string, WatchedEndpoint>;
  /** True once it has had endpoints. */
  settled: boolean;
  traffic: boolean;
}

interface WatchedEndpoint {
  readonly target: Target;
  failed: boolean;
  ejected: boolean;
  told: EndpointHealth;
  stop: () => void;
}

const MAX_CONCURRENT_CHECKS = 64;

const NONE: ReadonlySet<string> = new Set();

export class EndpointWatch {
  readonly #options: EndpointWatchOptions;
  readonly #startChecks: StartChecks;
  readonly #draw: () => number;
  readonly #clusters = new Map<string, Watched>();
  readonly #counts: Record<EndpointHealth, number> = { healthy: 0, unhealthy: 0, ejected: 0 };

  constructor(options: EndpointWatchOptions) {
    this.#options = options;
    this.#draw = options.draw ?? Math.random;
    this.#startChecks = createHealthChecks({
      clock: options.clock,
      draw: this.#draw,
      maxConcurrent: options.maxConcurrentChecks ?? MAX_CONCURRENT_CHECKS,
      onCheck: (finding) => options.onCheck?.(finding),
    });
  }

  get counts(): HealthCounts {
    return this.#counts;
  }

  /** Sets the live configuration. */
  want({ clusters }: Snapshot): void {
    for (const [name, watched] of this.#clusters) {
      const cluster = clusters.get(name);
      if (cluster === undefined || !isWatched(cluster)) this.#forget(name, watched);
    }
    for (const cluster of clusters.values()) {
      if (!isWatched(cluster)) continue;
      const known = this.#clusters.get(cluster.name);
      if (known?.cluster === cluster) continue;
      this.#update(cluster, known);
    }
  }

  /**
   * Call it when the dialable addresses changed: a name has another answer, or the egress listens
   * elsewhere.
   */
  refresh(name?: string): void {
    for (const watched of this.#clusters.values()) {
      const { endpoints } = watched.cluster;
      if (name === undefined || endpoints.some(({ address }) => address.kind === 'name' && address.name === name))
        this.#place(watched);
    }
  }

  report(reports: readonly EndpointReport[]): void {
    const now = this.#options.clock.now();
    for (const { cluster, key, outcome } of reports) {
      const watched = this.#clusters.get(cluster);
      if (watched === undefined) continue;
      watched.traffic = true;
      watched.outliers?.report(key, outcome, now);
    }
  }

  close(): void {
    for (const [name, watched] of this.#clusters) this.#forget(name, watched);
  }

  #update(cluster: Cluster, known: Watched | undefined): void {
    if (known !== undefined && sameSettings(known.cluster, cluster)) {
      known.cluster = cluster;
      this.#place(known);
      return;
    }
    const failed = new Set([...(known?.endpoints ?? [])].flatMap(([key, endpoint]) => (endpoint.failed ? [key] : [])));
    if (known !== undefined) this.#forget(cluster.name, known);
    const { outlierDetection } = cluster;
    const outliers = outlierDetection === undefined ? null : this.#outliers(cluster.name, outlierDetection);
    const sweep =
      outliers === null
        ? null
        : this.#options.clock.every(outliers.settings.intervalMs, () => outliers.sweep(this.#options.clock.now()));
    const checks = checksOf(cluster);
    const watched: Watched = {
      cluster,
      checks,
      outliers,
      sweep,
      endpoints: new Map(),
      settled: false,
      traffic: known?.traffic ?? false,
    };
    this.#clusters.set(cluster.name, watched);
    this.#place(watched, failed);
  }

  #outliers(cluster: string, settings: OutlierDetection): ClusterOutliers {
    return new ClusterOutliers(settings, {
      draw: this.#draw,
      onDetected: (detector, result) => this.#options.onDetected?.(detector, result, cluster),
      onChange: (key, ejected) => {
        const endpoint = this.#clusters.get(cluster)?.endpoints.get(key);
        if (endpoint === undefined) return;
        endpoint.ejected = ejected;
        this.#tell(cluster, key, endpoint, null);
      },
    });
  }

  /**
   * Updates the endpoints to the addresses that may be dialled now. `failed`: those that other
   * checks found unhealthy before.
   */
  #place(watched: Watched, failed: ReadonlySet<string> = NONE): void {
    const { cluster, endpoints, outliers } = watched;
    const wanted = new Map<string, Target>();
    for (const target of dialable(cluster, this.#options.facts())) {
      const key = addressKey(target.ip, target.endpoint.port);
      if (!wanted.has(key)) wanted.set(key, target);
    }
    for (const [key, endpoint] of endpoints) {
      const target = wanted.get(key);
      if (target !== undefined && sameValue(target.endpoint.tls, endpoint.target.endpoint.tls)) continue;
      this.#drop(cluster.name, key, endpoint);
      endpoints.delete(key);
    }
    // An endpoint that replaces another starts anew there too.
    outliers?.setHosts(new Set(endpoints.keys()));
    outliers?.setHosts(new Set(wanted.keys()));
    // The first endpoints of a cluster are used until they fail a check; later ones have to pass
    // one first.
    const { settled } = watched;
    for (const [key, target] of wanted) {
      if (!endpoints.has(key)) this.#add(watched, key, { target, startsFailed: settled || failed.has(key) });
    }
    watched.settled = settled || wanted.size > 0;
  }

  #add(watched: Watched, key: string, to: { readonly target: Target; readonly startsFailed: boolean }): void {
    const { cluster, checks } = watched;
    const { target } = to;
    const { address, tls } = target.endpoint;
    const startsFailed = to.startsFailed && checks.length > 0;
    const endpoint: WatchedEndpoint = { target, failed: startsFailed, ejected: false, told: 'healthy', stop: () => {} };
    watched.endpoints.set(key, endpoint);
    this.#counts.healthy++;
    this.#tell(cluster.name, key, endpoint, null);
    endpoint.stop = this.#startChecks({
      checks,
      startsFailed,
      dial: () => this.#options.dial(target),
      host: address.kind === 'name' ? address.name : cluster.name,
      isTls: tls !== null,
      traffic: () => watched.traffic,
      onAnswer: (healthy, why) => {
        endpoint.failed = !healthy;
        if (why === null && healthy) watched.outliers?.checkedHealthy(key);
        this.#tell(cluster.name, key, endpoint, why);
      },
    });
  }

  #tell(cluster: string, key: string, endpoint: WatchedEndpoint, why: Unhealthiness): void {
    const health = endpoint.failed ? 'unhealthy' : endpoint.ejected ? 'ejected' : 'healthy';
    if (health === endpoint.told) return;
    this.#counts[endpoint.told]--;
    this.#counts[health]++;
    endpoint.told = health;
    this.#options.onHealth({ cluster, key, health }, why);
  }

  #drop(cluster: string, key: string, endpoint: WatchedEndpoint): void {
    endpoint.stop();
    this.#counts[endpoint.told]--;
    if (endpoint.told !== 'healthy') this.#options.onForgotten(cluster, key);
  }

  #forget(name: string, watched: Watched): void {
    watched.sweep?.cancel();
    for (const [key, endpoint] of watched.endpoints) this.#drop(name, key, endpoint);
    this.#clusters.delete(name);
  }
}

function isWatched(cluster: Cluster): boolean {
  return cluster.outlierDetection !== undefined || checksOf(cluster).length > 0;
}

/**
 * Returns each check once: Kuma gives a MeshExternalService one check per mesh, which may all be
 * equal.
 */
function checksOf({ healthChecks = [] }: Cluster): readonly HealthCheck[] {
  return healthChecks.filter((check, i) => healthChecks.findIndex((other) => sameValue(other, check)) === i);
}

function sameSettings(a: Cluster, b: Cluster): boolean {
  return sameValue(a.healthChecks, b.healthChecks) && sameValue(a.outlierDetection, b.outlierDetection);
}
