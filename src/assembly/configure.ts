/**
 * The second of three steps: configurations come from the source, are checked, and go live in the
 * workers. The listeners follow each of them.
 */
import type { LastLoad } from '../admin/page/facts.ts';
import type { Clock } from '../base/clock.ts';
import { unlessAborted } from '../base/unless-aborted.ts';
import type { Problem } from '../base/problem.ts';
import { ConfigLoop } from '../control/config-loop.ts';
import type { LoadResult } from '../control/config-loop.ts';
import { ConfigError, behaviourOf } from '../control/sources/config-source.ts';
import { lostWithoutHttp } from '../control/http-off.ts';
import { reportOnlyMeshes } from '../control/report-only.ts';
import type { ConfigSource, Good } from '../control/sources/config-source.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../model/settings.ts';
import type { TrafficSettings } from '../model/settings.ts';
import { createDataPlane } from './data-plane.ts';
import type { DataPlane } from './data-plane.ts';
import type { EgressOptions } from './egress-options.ts';
import type { Observation } from './observe.ts';

interface KnownLoad extends LastLoad {
  /** Holds the problems of its source and of what it serves; the data plane finds others later. */
  readonly problems: readonly Problem[];
}

export interface Configuration {
  readonly dataPlane: DataPlane;
  readonly settings: TrafficSettings;
  /** Returns null before the first. */
  live(): Good | null;
  /** Returns the problems of the last load. */
  problems(): readonly Problem[];
  /** Returns what the loads so far did; null before the first. */
  lastLoad(): KnownLoad | null;
  load(): Promise<LoadResult>;
  /**
   * Resolves with the first usable configuration. Throws ConfigError for an unusable one. A source
   * that the start waits for does not throw; its wait rejects with the reason of the signal.
   */
  first(signal: AbortSignal | undefined): Promise<Good>;
  /** Loads again at each change from now on. */
  watch(): void;
  /** Stops loading, and stops look-ups and checks for the workers. */
  stop(): void;
}

/** Receives each configuration when it is live in the workers. */
export interface Follower {
  /** Never rejects. */
  follow(config: Good): Promise<void>;
  /** Returns the parts of the configuration that have no effect yet. */
  unmet(config: Good): readonly Problem[];
}

export interface ConfigureOptions extends Pick<EgressOptions, 'concurrency' | 'lookup' | 'traffic' | 'rewrite' | 'reportOnly'> {
  readonly clock: Clock;
  readonly observation: Observation;
  readonly source: ConfigSource;
  /** Called when the first configuration comes, not before. */
  readonly follower: () => Follower;
}

export function configure(options: ConfigureOptions): Configuration {
  const { clock, observation, source, rewrite, follower, reportOnly = [] } = options;
  const settings = { ...DEFAULT_TRAFFIC_SETTINGS, ...options.traffic };
  const dataPlane = createDataPlane({ ...options, settings });
  const usable = Promise.withResolvers<void>();
  let lastLoad: KnownLoad | null = null;
  const loop = new ConfigLoop({
    clock,
    source,
    store: dataPlane.keyStore,
    ...(rewrite === undefined ? {} : { rewrite }),
    reportOnly,
    async goLive(config, credentials) {
      await dataPlane.goLive(config, credentials);
      await follower().follow(config);
    },
    onLoad(result, tookMs) {
      const problems = [
        ...result.problems,
        ...(result.kind === 'live' ? follower().unmet(result.config) : []),
        ...(result.kind === 'live' && !settings.http ? lostWithoutHttp(result.config) : []),
      ];
      observation.observer.load({ ...result, problems }, tookMs);
      lastLoad = { ...nextLoad(lastLoad, result, clock.wall()), problems };
      if (result.kind !== 'live') return;
      observation.reportOnly(reportOnlyMeshes(result.config.snapshot));
      source.wentLive?.();
      observation.keptConfiguration(source.keptSince?.() ?? null);
      usable.resolve();
    },
    onSilence: (forMs) => observation.sourceSilent(forMs),
  });

  return {
    dataPlane,
    settings,
    live: () => loop.live,
    problems: () => [...(lastLoad?.problems ?? []), ...dataPlane.problems()],
    lastLoad: () => lastLoad,
    load: () => loop.load(),
    async first(signal) {
      const first = await unlessAborted(signal, () => loop.load());
      if (first.kind === 'live') return first.config;
      if (!behaviourOf(source).awaitsFirst) throw new ConfigError(first.problems);
      loop.watch();
      await unlessAborted(signal, () => usable.promise);
      if (loop.live === null) throw new ConfigError(first.problems);
      return loop.live;
    },
    watch: () => loop.watch(),
    stop() {
      loop.close();
      dataPlane.stop();
    },
  };
}

function nextLoad(before: LastLoad | null, result: LoadResult, at: number): LastLoad {
  const { liveSince = null, changes = null } = before ?? {};
  if (result.kind === 'rejected') return { at, rejected: true, liveSince, changes };
  if (!result.changed) return { at, rejected: false, liveSince, changes };
  return { at, rejected: false, liveSince: at, changes: result.changes ?? null };
}
