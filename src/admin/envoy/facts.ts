import type { Cluster } from '../../model/cluster.ts';
import type { MeshCredentials } from '../../model/credentials.ts';
import { addressKey } from '../../model/endpoint-view.ts';
import type { EndpointHealth } from '../../model/endpoint-view.ts';
import type { Route } from '../../model/route.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { Exposition } from '../../observe/exposition.ts';
import type { ProcessMemory } from '../../observe/process-metrics.ts';
import type { TrafficCounters } from '../../observe/traffic-counters.ts';
import type { Target } from '../../routing/candidates.ts';
import type { AdsStatus } from '../../xds/stream/ads-client.ts';
import type { DumpSources } from '../../xds/dump/envoy-config-dump.ts';
import type { Readiness } from '../views.ts';

/** The facts of the pages in Envoy's form, read anew for each request. */
export interface EnvoyFacts {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  readonly startedAt: number;
  /** Milliseconds since the start; the wall clock may have jumped meanwhile. */
  uptimeMs(): number;
  /** Version of this package. */
  readonly version: string;
  /** Number of data sides. */
  readonly workers: number;
  /** The level of the log at this moment. */
  logLevel(): string;
  ready(): Readiness;
  snapshot(): Snapshot;
  /** Returns the bound listeners, those for clients first. */
  listeners(): readonly ListenerAt[];
  readonly traffic: TrafficCounters;
  /** Counts accepted connections that have not ended. */
  sessions(): number;
  /** Counts connections of a cluster, those being made, and HTTP requests. */
  use(cluster: string): { readonly connections: number; readonly pending: number; readonly requests: number };
  /** True when requests of HTTP services are served one by one. */
  readonly servesHttp: boolean;
  /** Returns what may be dialled of a cluster now. */
  targets(cluster: Cluster): readonly Target[];
  /** `key`: `addressKey`. */
  health(cluster: string, key: string): EndpointHealth;
  /** Only the certificates in them are shown. */
  credentials(): readonly MeshCredentials[];
  memory(): ProcessMemory;
  /** Null where the configuration comes from files. */
  control(): ControlFacts | null;
  /** Returns this egress's own metrics, in the format that the header `Accept` prefers. */
  metrics(accept: string): Promise<Exposition>;
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

/** Returns one host for each address: Envoy leaves out a second endpoint with the same address. */
export function hostsOf(facts: EnvoyFacts, cluster: Cluster): readonly Host[] {
  const hosts = new Map<string, Host>();
  for (const target of facts.targets(cluster)) {
    const key = addressKey(target.ip, target.endpoint.port);
    if (!hosts.has(key)) hosts.set(key, { target, key, health: facts.health(cluster.name, key) });
  }
  return [...hosts.values()];
}

/** Turns `default:backend` into `default_backend`, Kuma's name of a cluster in statistics. */
export function statName(cluster: string): string {
  return cluster.replace(/[^A-Za-z0-9_-]/g, '_');
}

/**
 * Returns Envoy's `stat_prefix` of the chain: Kuma uses the name of an ExternalService, and for
 * everything else that of the cluster.
 */
export function chainName({ kind, destination, cluster }: Route): string {
  return kind === 'terminate' && cluster.includes(':') ? destination : statName(cluster);
}
