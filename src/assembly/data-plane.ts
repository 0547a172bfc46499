import { nextTurn } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import { SessionFinder } from '../control/session-finder.ts';
import { watchCertificateAge } from '../control/certificate-age.ts';
import { watchEndpoints } from '../control/watch-endpoints.ts';
import { WorkerPool } from '../control/worker-pool.ts';
import { createResolver } from '../endpoints/dns.ts';
import type { Resolver } from '../endpoints/dns.ts';
import type { EndpointWatch } from '../endpoints/watch.ts';
import { createKeyStore } from '../identity/key-store.ts';
import type { KeyStore } from '../identity/key-store.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { Resolution } from '../model/endpoint-view.ts';
import type { OwnListener } from '../model/messages.ts';
import type { TrafficSettings } from '../model/settings.ts';
import { namesIn } from '../model/snapshot.ts';
import type { Secrets, Snapshot } from '../model/snapshot.ts';
import type { EgressOptions } from './egress-options.ts';
import type { Observation } from './observe.ts';

/** The workers, and what the control side updates for them: names, endpoints, keys. */
export interface DataPlane {
  readonly workers: WorkerPool;
  readonly keyStore: KeyStore;
  /** Returns the present problems of what is live: certificates that nothing renews. */
  problems(): readonly Problem[];
  readonly sessionFinder: SessionFinder;
  /** Resolves when the configuration is live in every worker. */
  goLive(
    config: { readonly snapshot: Snapshot; readonly secrets: Secrets },
    credentials: readonly MeshCredentials[],
  ): Promise<void>;
  /**
   * Sets the addresses that this process listens on: an endpoint that leads back to it is never
   * dialled.
   */
  setOwnListeners(own: readonly OwnListener[]): void;
  /** Ends names, checks and keys. The workers end by their own `stop`. */
  stop(): void;
}

export interface DataPlaneOptions extends Pick<EgressOptions, 'concurrency' | 'lookup'> {
  readonly clock: Clock;
  readonly settings: TrafficSettings;
  readonly observation: Observation;
}

/** Over 60 lines: the four parts refer to each other, and are joined in one place. */
export function createDataPlane(options: DataPlaneOptions): DataPlane {
  const { clock, settings, observation } = options;
  const { metrics } = observation.observer;
  const showEndpoints = (): void => metrics.endpoints(watch.counts);

  const workers: WorkerPool = new WorkerPool({
    clock,
    settings,
    count: options.concurrency ?? 1,
    onRecords(records) {
      for (const record of records) observation.observer.record(record);
    },
    onRequests(records) {
      for (const record of records) observation.observer.recordRequest(record);
    },
    onAccessLines(lines) {
      for (const line of lines) observation.accessLine(line);
    },
    onResolve: (name, family) => void resolver.resolve(name, family),
    onNamesInUse(names) {
      for (const name of names) resolver.touch(name);
    },
    onCredentialsNeeded: (mesh) => keyStore.refresh(mesh),
    onShownSessions: (worker, piece) => sessionFinder.take(worker, piece),
    onReports: (reports) => watch.report(reports),
    onRelay: (path) => observation.relay(path),
    onFault: (message, stack) => observation.workerFault(message, stack),
    onSilence: (message) => observation.workerSilence(message),
  });
  const sessionFinder = new SessionFinder({
    clock,
    count: workers.count,
    ask: (ask, query, end) => workers.askSessions(ask, query, end),
  });
  const resolver: Resolver = nameResolver(options, (name, resolution) => {
    workers.setName(name, resolution);
    watch.refresh(name);
    showEndpoints();
  });
  const watch = endpointWatch(options, workers, showEndpoints);
  const keyStore = meshKeys(clock, workers, observation);
  /** The meshes whose certificate comes from a control plane. */
  let given: ReadonlySet<string> = new Set();
  const age = watchCertificateAge({
    clock,
    credentials: () => workers.credentials.filter(({ mesh }) => given.has(mesh)),
    onProblem: (problem) => observation.credentialsProblem(problem),
  });

  return {
    workers,
    keyStore,
    sessionFinder,
    problems: () => age.problems(),
    async goLive({ snapshot, secrets }, credentials) {
      given = new Set([...snapshot.meshes.values()].flatMap(({ name, identity }) => (identity.kind === 'given' ? [name] : [])));
      await workers.goLive({ snapshot, secrets, credentials });
      // Ten thousand services take some milliseconds in each of these: sessions have a turn in
      // between.
      await nextTurn();
      resolver.want(namesIn(snapshot));
      await nextTurn();
      watch.want(snapshot);
      await nextTurn();
      showEndpoints();
    },
    setOwnListeners(own) {
      workers.setOwnListeners(own);
      watch.refresh();
    },
    stop() {
      age.close();
      keyStore.close();
      resolver.close();
      watch.close();
    },
  };
}

function nameResolver(
  { clock, lookup, observation }: DataPlaneOptions,
  onAnswer: (name: string, resolution: Resolution) => void,
): Resolver {
  return createResolver({
    clock,
    onAnswer,
    onFailure: (name, message) => observation.nameFailed(name, message),
    onTimed: (result, tookMs) => observation.observer.metrics.lookup(result, tookMs),
    ...(lookup === undefined ? {} : { lookup }),
  });
}

function endpointWatch(
  { clock, settings, observation }: DataPlaneOptions,
  workers: WorkerPool,
  onCounts: () => void,
): EndpointWatch {
  return watchEndpoints({
    clock,
    workers,
    allowedResolved: settings.allowedResolved,
    onHealth(change, why) {
      onCounts();
      observation.endpointHealth(change, why);
    },
    onCheck: (finding) => observation.observer.metrics.check(finding === null ? 'success' : 'failure'),
    onDetected: (detector, result, cluster) => observation.endpointDetected(detector, result, cluster),
  });
}

function meshKeys(clock: Clock, workers: WorkerPool, observation: Observation): KeyStore {
  return createKeyStore({
    clock,
    onCredentials(credentials) {
      observation.credentials(credentials);
      workers.setCredentials(credentials);
    },
    onRemoved(mesh) {
      observation.observer.metrics.certificateGone(mesh);
      workers.removeCredentials(mesh);
    },
    onProblem: (problem) => observation.credentialsProblem(problem),
  });
}
