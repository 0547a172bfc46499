import type { EnvoyFacts } from '../admin/envoy/facts.ts';
import type { Readiness } from '../admin/views.ts';
import type { Clock } from '../base/clock.ts';
import { createLocalAddresses } from '../base/local-addresses.ts';
import { packageVersion } from '../base/version.ts';
import { EMPTY_SNAPSHOT } from '../model/snapshot.ts';
import type { Observer } from '../observe/observer.ts';
import { processMemory } from '../observe/process-metrics.ts';
import { dialable } from '../routing/candidates.ts';
import type { Good, JoinedProxy } from './sources/config-source.ts';
import { identityKey } from './sources/merge-proxies.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface EnvoyFactsOptions {
  readonly clock: Clock;
  readonly workers: WorkerPool;
  readonly live: () => Good | null;
  /** The address for clients; null while there is no listener. */
  readonly clientsAt: () => { readonly address: string; readonly port: number } | null;
  readonly observer: Observer;
  readonly control: EnvoyFacts['control'];
  readonly allowedResolved: readonly string[];
  readonly servesHttp: boolean;
  readonly ready: () => Readiness;
  /** The address of the listener for the control plane; null while there is none. */
  readonly adminAt: () => { readonly address: string; readonly port: number } | null;
  /** The part of the process that the pages are about. Absent means all of it. */
  readonly of?: () => JoinedProxy | null;
}

/** Collects the facts for the pages in Envoy's form. */
export function envoyFacts(options: EnvoyFactsOptions): EnvoyFacts {
  const { clock, workers, live, clientsAt, observer, control, allowedResolved, adminAt, of } = options;
  const startedNow = clock.now();
  const localOnes = createLocalAddresses();
  return {
    now: () => clock.wall(),
    startedAt: clock.wall(),
    uptimeMs: () => clock.now() - startedNow,
    version: packageVersion(),
    workers: workers.count,
    logLevel: () => observer.log.level,
    ready: options.ready,
    snapshot: () => (of === undefined ? live()?.snapshot : of()?.snapshot) ?? EMPTY_SNAPSHOT,
    listeners: () => {
      const [clients, admin] = [clientsAt(), adminAt()];
      return [
        ...(clients === null
          ? []
          : [{ name: `inbound:${shown(clients.address)}:${clients.port}`, ...clients, address: shown(clients.address) }]),
        ...(admin === null ? [] : [{ name: 'kuma:envoy:admin', ...admin }]),
      ];
    },
    traffic: observer.traffic,
    sessions: () => workers.limits.sessions,
    use: (cluster) => workers.breakers.counts(cluster),
    servesHttp: options.servesHttp,
    targets: (cluster) =>
      dialable(cluster, {
        names: workers.names,
        ownListeners: workers.ownListeners,
        localAddresses: localOnes(workers.ownListeners),
        allowedResolved,
      }),
    health: (cluster, key) => workers.health(cluster, key),
    credentials() {
      if (of === undefined) return workers.credentials;
      const proxy = of();
      return workers.credentials.filter(({ mesh }) => proxy !== null && identitiesOf(proxy).has(mesh));
    },
    memory: processMemory,
    control,
    metrics: (accept) => observer.exposition(workers.limits, accept),
  };
}

/** Returns the names of the identities with which a proxy ends the mTLS of its clients. */
function identitiesOf({ mesh, snapshot }: JoinedProxy): ReadonlySet<string> {
  return new Set([...snapshot.meshes.keys()].map((name) => identityKey({ mesh }, name)));
}

/** Shows all addresses as Envoy does. */
function shown(address: string): string {
  return address === '' ? '0.0.0.0' : address;
}
