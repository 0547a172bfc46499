import type { Cluster } from '../model/cluster.ts';
import type { Resolution } from '../model/endpoint-view.ts';

type Ask = (name: string, family: 'v4' | 'any') => void;

interface Waiter {
  readonly missing: Set<string>;
  readonly known: () => void;
}

/**
 * The addresses of endpoint names that the control side has sent. A session that meets an unknown
 * name asks for it and waits for the first answer.
 */
export class NameTable {
  readonly #ask: Ask;
  readonly #answers = new Map<string, Resolution>();
  readonly #waiters = new Set<Waiter>();

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  get answers(): ReadonlyMap<string, Resolution> {
    return this.#answers;
  }

  /** Number of sessions that wait for an answer; zero when nothing leaked. */
  get waiting(): number {
    return this.#waiters.size;
  }

  set(name: string, resolution: Resolution): void {
    this.#answers.set(name, resolution);
    for (const waiter of this.#waiters) {
      if (!waiter.missing.delete(name) || waiter.missing.size > 0) continue;
      this.#waiters.delete(waiter);
      waiter.known();
    }
  }

  /** Forgets the names that no cluster has any more. */
  keep(wanted: ReadonlyMap<string, unknown>): void {
    for (const name of this.#answers.keys()) {
      if (!wanted.has(name)) this.#answers.delete(name);
    }
  }

  allKnown(cluster: Cluster): boolean {
    return cluster.endpoints.every(({ address }) => address.kind === 'ip' || this.#answers.has(address.name));
  }

  /**
   * Calls `known` once, when every name of the cluster has an answer. Returns the function that
   * stops the wait.
   */
  whenKnown(cluster: Cluster, known: () => void): () => void {
    const missing = new Set<string>();
    for (const { address } of cluster.endpoints) {
      if (address.kind === 'ip' || this.#answers.has(address.name) || missing.has(address.name)) continue;
      missing.add(address.name);
      this.#ask(address.name, address.family);
    }
    const waiter: Waiter = { missing, known };
    this.#waiters.add(waiter);
    return () => this.#waiters.delete(waiter);
  }
}
