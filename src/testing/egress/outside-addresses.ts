import { isIP } from 'node:net';

import { addressKey } from '../../model/endpoint-view.ts';
import { hasErrors } from '../../base/problem.ts';
import type { Problem } from '../../base/problem.ts';
import type { Cluster, Endpoint } from '../../model/cluster.ts';
import type { Compiled, GoodConfig } from '../../model/compiled.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { deepFreeze } from '../../resources/deep-freeze.ts';
import { snapshotVersion } from '../../resources/snapshot-version.ts';
import { isCalled } from './fake-zone.ts';
import type { Place } from './fake-zone-options.ts';
import { Outside } from './outside-proxy.ts';
import type { ToxicWorld } from './toxics.ts';

export interface OutsideOptions extends ToxicWorld {
  /** `true` for all addresses; or `host:port` and `host`. Absent allows only loopback. */
  readonly allowOutside?: boolean | readonly string[];
}

/**
 * An address that must not be dialled stays in its cluster, takes no traffic, and keeps health
 * checks on loopback too.
 */
const NOWHERE = { address: { kind: 'ip', ip: '127.0.0.1' }, port: 9, weight: 0 } as const;

interface Destination {
  readonly mesh: string;
  readonly name: string;
}

interface Front extends Destination {
  readonly outside: Outside;
}

/**
 * Replaces every external address by a proxy on loopback. An address that must not be dialled gets
 * no endpoint that takes traffic.
 */
export class AddressesOutside {
  readonly #options: OutsideOptions;
  readonly #fronts = new Map<string, Front>();
  /** Addresses of names, as a test sets them; an empty list means that the name does not exist. */
  readonly #dns: ReadonlyMap<string, readonly string[]>;
  /** Names that have a stand-in for one of their ports: they resolve to loopback. */
  #names: ReadonlySet<string> = new Set();
  #kept = new Map<string, readonly string[]>();

  constructor(options: OutsideOptions, dns: ReadonlyMap<string, readonly string[]>) {
    this.#options = options;
    this.#dns = dns;
  }

  /**
   * Returns the configuration with the stand-ins instead of the addresses. An override that matches
   * no address is a problem.
   */
  async rewrite(compiled: GoodConfig, overrides: ReadonlyMap<string, Place>): Promise<Compiled> {
    // In a test every error of the declaration counts, even one with which an egress would serve
    // the rest.
    if (hasErrors(compiled.problems)) return { kind: 'invalid', problems: compiled.problems };
    const { snapshot } = compiled;
    const destinations = destinationsOf(snapshot);
    const unused = new Set(overrides.keys());
    const clusters = new Map<string, Cluster>();
    const names = new Set<string>();
    const kept = new Map<string, string[]>();
    for (const [name, cluster] of snapshot.clusters) {
      const destination = destinations.get(name) ?? { mesh: '', name };
      const endpoints: Endpoint[] = [];
      for (const endpoint of cluster.endpoints) {
        const target = this.#target(endpoint, destination, { overrides, unused });
        if (target === null) {
          const key = `${destination.mesh}/${destination.name}`;
          kept.set(key, [...(kept.get(key) ?? []), written(endpoint)]);
          endpoints.push({ ...endpoint, ...NOWHERE });
          continue;
        }
        const { port } = await this.#front(name, { endpoint, destination, target });
        if (endpoint.address.kind === 'name') names.add(endpoint.address.name);
        endpoints.push(
          endpoint.address.kind === 'name'
            ? { ...endpoint, port }
            : { ...endpoint, address: { kind: 'ip', ip: '127.0.0.1' }, port },
        );
      }
      clusters.set(name, deepFreeze({ ...cluster, endpoints }));
    }
    if (unused.size > 0) return { kind: 'invalid', problems: [...unused].map((key) => unfitting(key, destinations.values())) };
    this.#names = names;
    this.#kept = kept;
    const content = { zone: snapshot.zone, routes: snapshot.routes, clusters, meshes: snapshot.meshes };
    return { ...compiled, snapshot: deepFreeze({ version: snapshotVersion(content), ...content }) };
  }

  /** Resolves names for the egress. */
  lookup(name: string): Promise<string[]> {
    const said = this.#dns.get(name);
    if (said?.length === 0 || !this.#names.has(name))
      return Promise.reject(Object.assign(new Error(`the fake knows no ${name}`), { code: 'ENOTFOUND' }));
    return Promise.resolve(['127.0.0.1']);
  }

  of(destination: string): readonly Outside[] {
    const found = [...this.#fronts.values()].filter((front) => isCalled(destination, front));
    if (found.length > 0) return found.map(({ outside }) => outside);
    throw new TypeError(
      `there is no destination ${JSON.stringify(destination)} with an address: ${listed(this.#fronts.values())}`,
    );
  }

  /** Returns a note for a session that reached no service. */
  noteOf(destination: Destination, startedAt: number): string {
    const closed = this.#kept.get(`${destination.mesh}/${destination.name}`);
    if (closed !== undefined) return `${closed.join(', ')} is not on loopback: give overrides, or allowOutside`;
    const failures = [...this.#fronts.values()]
      .filter(({ mesh, name }) => mesh === destination.mesh && name === destination.name)
      .flatMap(({ outside }) => outside.failures.filter(({ at }) => at >= startedAt));
    return failures[0] === undefined ? '' : `the service did not answer: ${failures[0].message}`;
  }

  /** Open connections, by destination. */
  open(): readonly string[] {
    return [...this.#fronts.values()].flatMap(({ mesh, name, outside }) =>
      outside.connections === 0 ? [] : [`${outside.connections} to ${mesh}/${name}`],
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#fronts.values()].map(({ outside }) => outside.close()));
  }

  #target(
    endpoint: Endpoint,
    destination: Destination,
    { overrides, unused }: { readonly overrides: ReadonlyMap<string, Place>; readonly unused: Set<string> },
  ): Place | null {
    for (const [key, place] of overrides) {
      if (!isCalled(key, destination) && key !== written(endpoint)) continue;
      unused.delete(key);
      return place;
    }
    const host = endpoint.address.kind === 'ip' ? endpoint.address.ip : endpoint.address.name;
    const said = endpoint.address.kind === 'name' ? this.#dns.get(host) : undefined;
    // A name without an address is resolved all the same: the egress then finds that it does not
    // exist.
    const address = said === undefined ? host : (said[0] ?? '127.0.0.1');
    return this.#mayLeave(address, endpoint.port) ? { address, port: endpoint.port } : null;
  }

  #mayLeave(host: string, port: number): boolean {
    const { allowOutside = false } = this.#options;
    if (isLoopback(host) || allowOutside === true) return true;
    return allowOutside !== false && (allowOutside.includes(host) || allowOutside.includes(addressKey(host, port)));
  }

  async #front(
    cluster: string,
    of: { readonly endpoint: Endpoint; readonly destination: Destination; readonly target: Place },
  ): Promise<Outside> {
    const key = `${cluster}|${written(of.endpoint)}`;
    const { clock, random } = this.#options;
    const front = this.#fronts.get(key) ?? { ...of.destination, outside: new Outside(of.target, { clock, random }) };
    front.outside.target = of.target;
    this.#fronts.set(key, front);
    await front.outside.open();
    return front.outside;
  }
}

/** `localhost` counts too: it is the machine's own name. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function written({ address, port }: Endpoint): string {
  return addressKey(address.kind === 'ip' ? address.ip : address.name, port);
}

function destinationsOf({ routes }: Snapshot): ReadonlyMap<string, Destination> {
  const found = new Map<string, Destination>();
  for (const { cluster, mesh, destination } of routes.values()) found.set(cluster, { mesh, name: destination });
  return found;
}

function unfitting(key: string, destinations: Iterable<Destination>): Problem {
  const message = `override ${JSON.stringify(key)} fits no service: ${listed(destinations)}`;
  return { severity: 'error', file: 'overrides', line: 0, column: 0, field: key, message };
}

function listed(destinations: Iterable<Destination>): string {
  const names = [...new Set([...destinations].map(({ mesh, name }) => `${mesh}/${name}`))];
  return names.length === 0 ? 'there is none' : `there are ${names.join(', ')}`;
}
