import type { Cluster } from '../../model/cluster.ts';
import type { MeshCredentials } from '../../model/credentials.ts';
import { addressKey } from '../../model/endpoint-view.ts';
import type { EndpointHealth } from '../../model/endpoint-view.ts';
import type { Route } from '../../model/route.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ProcessMemory } from '../../observe/process-metrics.ts';
import type { TrafficCounters } from '../../observe/traffic-counters.ts';
import type { Target } from '../../routing/candidates.ts';
import type { AdsStatus } from '../../xds/stream/ads-client.ts';
import type { DumpSources } from '../../xds/dump/envoy-config-dump.ts';
import type { Readiness } from '../views.ts';

/** What there is to tell in Envoy's words, asked anew for each request. */
export interface EnvoyFacts {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  readonly startedAt: number;
  /** Since the start, in milliseconds; the wall clock may have jumped meanwhile. */
  uptimeMs(): number;
  /** Of this package. */
  readonly version: string;
  /** Data sides. */
  readonly workers: number;
  ready(): Readiness;
  snapshot(): Snapshot;
  /** Of clients first, then the others, as they are bound. */
  listeners(): readonly ListenerAt[];
  readonly traffic: TrafficCounters;
  /** Accepted connections that have not ended. */
  sessions(): number;
  /** Connections of a cluster, those among them that are being made, and requests of HTTP. */
  use(cluster: string): { readonly connections: number; readonly pending: number; readonly requests: number };
  /** Requests of services that speak HTTP are served one by one. */
  readonly servesHttp: boolean;
  /** What may be dialled of a cluster now. */
  targets(cluster: Cluster): readonly Target[];
  /** `key`: `addressKey`. */
  health(cluster: string, key: string): EndpointHealth;
  /** Only the certificates in them are shown. */
  credentials(): readonly MeshCredentials[];
  memory(): ProcessMemory;
  /** null where the configuration comes from files. */
  control(): ControlFacts | null;
  /** The metrics of our own, in the Prometheus text format. */
  metrics(): Promise<string>;
}

export interface ListenerAt {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface ControlFacts extends Omit<DumpSources, 'startedAt'> {
  readonly status: AdsStatus;
}

/** One address of a cluster, as Envoy shows it. */
export interface Host {
  readonly target: Target;
  readonly key: string;
  readonly health: EndpointHealth;
}

/** One for each address: Envoy leaves out a second endpoint that has it. */
export function hostsOf(facts: EnvoyFacts, cluster: Cluster): readonly Host[] {
  const hosts = new Map<string, Host>();
  for (const target of facts.targets(cluster)) {
    const key = addressKey(target.ip, target.endpoint.port);
    if (!hosts.has(key)) hosts.set(key, { target, key, health: facts.health(cluster.name, key) });
  }
  return [...hosts.values()];
}

/** `default:backend` -> `default_backend`, as Kuma names a cluster for statistics. */
export function statName(cluster: string): string {
  return cluster.replace(/[^A-Za-z0-9_-]/g, '_');
}

/**
 * Envoy's `stat_prefix` of the chain: Kuma takes the name of an ExternalService, and for everything
 * else that of the cluster.
 */
export function chainName({ kind, destination, cluster }: Route): string {
  return kind === 'terminate' && cluster.includes(':') ? destination : statName(cluster);
}
