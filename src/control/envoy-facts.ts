import type { EnvoyFacts } from '../admin/envoy/facts.ts';
import type { Readiness } from '../admin/views.ts';
import type { Clock } from '../base/clock.ts';
import { localAddresses } from '../base/local-addresses.ts';
import { packageVersion } from '../base/version.ts';
import type { OwnListener } from '../model/messages.ts';
import { EMPTY_SNAPSHOT } from '../model/snapshot.ts';
import type { Observer } from '../observe/observer.ts';
import { processMemory } from '../observe/process-metrics.ts';
import { dialable } from '../routing/candidates.ts';
import type { ConfigLoop } from './config-loop.ts';
import type { ControlPlaneSource } from './control-plane-source.ts';
import type { DataSides } from './data-sides.ts';
import type { Listening } from './listening.ts';

export interface EnvoyFactsOptions {
  readonly clock: Clock;
  readonly sides: DataSides;
  readonly loop: ConfigLoop;
  readonly listening: Listening;
  readonly observer: Observer;
  readonly controlPlane: ControlPlaneSource | null;
  readonly allowedResolved: readonly string[];
  readonly ready: () => Readiness;
  /** Where the listener for the control plane is bound; null while it is not. */
  readonly adminAt: () => { readonly address: string; readonly port: number } | null;
}

/** What the pages in Envoy's words are made of. */
export function envoyFacts(options: EnvoyFactsOptions): EnvoyFacts {
  const { clock, sides, loop, listening, observer, controlPlane, allowedResolved, adminAt } = options;
  const startedNow = clock.now();
  let own: readonly OwnListener[] | null = null;
  let local: ReadonlySet<string> = new Set();
  // Of ten thousand clusters each asks.
  function localOnes(): ReadonlySet<string> {
    if (own !== sides.ownListeners) local = localAddresses();
    own = sides.ownListeners;
    return local;
  }
  return {
    now: () => clock.wall(),
    startedAt: clock.wall(),
    uptimeMs: () => clock.now() - startedNow,
    version: packageVersion(),
    workers: sides.count,
    ready: options.ready,
    snapshot: () => loop.live?.snapshot ?? EMPTY_SNAPSHOT,
    listeners: () => {
      const [clients, admin] = [listening.at, adminAt()];
      return [
        ...(clients === null
          ? []
          : [{ name: `inbound:${shown(clients.address)}:${clients.port}`, ...clients, address: shown(clients.address) }]),
        ...(admin === null ? [] : [{ name: 'kuma:envoy:admin', ...admin }]),
      ];
    },
    traffic: observer.traffic,
    sessions: () => sides.limits.sessions,
    use: (cluster) => sides.breakers.counts(cluster),
    targets: (cluster) =>
      dialable(cluster, {
        names: sides.names,
        ownListeners: sides.ownListeners,
        localAddresses: localOnes(),
        allowedResolved,
      }),
    health: (cluster, key) => sides.health(cluster, key),
    credentials: () => sides.credentials,
    memory: processMemory,
    control: () => controlPlane?.view() ?? null,
    metrics: () => observer.text(sides.limits),
  };
}

/** Every address, in the words of Envoy. */
function shown(address: string): string {
  return address === '' ? '0.0.0.0' : address;
}
