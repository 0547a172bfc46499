/** Counters of sessions and requests, collected until a scrape. */
import type { Counter } from 'prom-client';
import { innerMap } from '../base/inner-map.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { CounterName } from './metrics.ts';

/**
 * Collects increments of a counter until a scrape: there are several for each session, and each is
 * cheaper here than in the counter.
 */
class Tally {
  readonly #child: Counter.Internal;
  #sum = 0;

  constructor(counter: Counter, labels: Readonly<Record<string, string>>) {
    this.#child = counter.labels(labels);
  }

  add(by: number): void {
    this.#sum += by;
  }

  settle(): void {
    const sum = this.#sum;
    this.#sum = 0;
    if (sum > 0) this.#child.inc(sum);
  }
}

/**
 * The Dataplane or ZoneEgress that serves a cluster, by its name; null where the process is one
 * proxy only, and its series have no such label.
 */
export type DataplaneByCluster = ReadonlyMap<string, string>;

/** Returns the label that several proxies in one process need. */
function dataplaneLabel(dataplane: string | null): { readonly dataplane?: string } {
  return dataplane === null ? {} : { dataplane };
}

interface OfSession {
  readonly ended: Tally;
  readonly up: Tally;
  readonly down: Tally;
  readonly shadowDenied: Tally;
  readonly resumed: Tally;
}

/**
 * One tally for each kind of session, found by existing strings: a joined key would have to be
 * made, and hashed, for each session.
 */
export class SessionTallies {
  readonly #counter: (name: CounterName) => Counter;
  #dataplanes: DataplaneByCluster | null = null;
  readonly #byDataplane = new Map<string | null, Nested<OfSession>>();

  constructor(counter: (name: CounterName) => Counter) {
    this.#counter = counter;
  }

  /** Names the proxies of a process that is several. */
  servedBy(dataplanes: DataplaneByCluster | null): void {
    this.#dataplanes = dataplanes;
  }

  /** Label values are bounded: meshes are the operator's, modes and reasons closed lists. */
  of({ mode, mesh, reason, cluster }: SessionRecord): OfSession {
    const dataplane = nameIn(this.#dataplanes, cluster);
    const more = dataplaneLabel(dataplane);
    const byReason = innerMap(innerMap(innerMap(this.#byDataplane, dataplane), mesh), mode);
    let tallies = byReason.get(reason);
    if (tallies === undefined) {
      tallies = {
        ended: new Tally(this.#counter('zone_egress_sessions_total'), { mode, mesh, reason, ...more }),
        up: new Tally(this.#counter('zone_egress_bytes_total'), { direction: 'up', mode, mesh, ...more }),
        down: new Tally(this.#counter('zone_egress_bytes_total'), { direction: 'down', mode, mesh, ...more }),
        shadowDenied: new Tally(this.#counter('zone_egress_shadow_denied_total'), { mesh, ...more }),
        resumed: new Tally(this.#counter('zone_egress_resumed_total'), { mesh, ...more }),
      };
      byReason.set(reason, tallies);
    }
    return tallies;
  }

  settle(): void {
    for (const { ended, up, down, shadowDenied, resumed } of leavesOf(this.#byDataplane))
      for (const tally of [ended, up, down, shadowDenied, resumed]) tally.settle();
  }
}

/**
 * One tally for each kind of request. Label values are bounded: meshes are the operator's, classes
 * and reasons closed lists.
 */
export class RequestTallies {
  readonly #counter: (name: CounterName) => Counter;
  #dataplanes: DataplaneByCluster | null = null;
  readonly #byDataplane = new Map<string | null, Nested<Tally>>();

  constructor(counter: (name: CounterName) => Counter) {
    this.#counter = counter;
  }

  /** Names the proxies of a process that is several. */
  servedBy(dataplanes: DataplaneByCluster | null): void {
    this.#dataplanes = dataplanes;
  }

  of({ mesh, status, reason, cluster }: RequestRecord): Tally {
    const code_class = codeClass(status);
    const dataplane = nameIn(this.#dataplanes, cluster);
    const byReason = innerMap(innerMap(innerMap(this.#byDataplane, dataplane), mesh), code_class);
    let tally = byReason.get(reason);
    if (tally === undefined) {
      tally = new Tally(this.#counter('zone_egress_requests_total'), { mesh, code_class, reason, ...dataplaneLabel(dataplane) });
      byReason.set(reason, tally);
    }
    return tally;
  }

  settle(): void {
    for (const tally of leavesOf(this.#byDataplane)) tally.settle();
  }
}

function nameIn(dataplanes: DataplaneByCluster | null, cluster: string): string | null {
  return dataplanes === null ? null : (dataplanes.get(cluster) ?? '');
}

type Nested<Of> = Map<string, Map<string, Map<string, Of>>>;

function* leavesOf<Of>(all: ReadonlyMap<string | null, Nested<Of>>): Generator<Of> {
  for (const byMesh of all.values())
    for (const byKind of byMesh.values()) for (const byReason of byKind.values()) yield* byReason.values();
}

/** Returns `2xx`; empty without an answer, and for a status outside of the classes. */
export function codeClass(status: number): string {
  return status >= 100 && status < 600 ? `${Math.floor(status / 100)}xx` : '';
}
