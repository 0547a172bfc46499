import { localAddresses } from '../base/local-addresses.ts';
import type { Cluster } from '../model/cluster.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { OwnListener } from '../model/messages.ts';
import type { TrafficSettings } from '../model/settings.ts';
import { hashKeyOf } from '../routing/balancers/table.ts';
import type { EndpointUse } from './endpoint-use.ts';
import type { NamesInUse, UseMark } from './names-in-use.ts';
import type { NameTable } from './name-table.ts';

interface Turn extends UseMark {
  next: number;
}

/** Makes the view that a choice of endpoints is made from, and counts the choices. */
export class ViewMaker {
  readonly #worker: number;
  readonly #settings: TrafficSettings;
  readonly #names: NameTable;
  readonly #endpoints: EndpointUse;
  readonly #inUse: NamesInUse;
  readonly #turns = new WeakMap<Cluster, Turn>();
  #ownListeners: readonly OwnListener[] = [];
  #localAddresses: ReadonlySet<string> = new Set();

  constructor(options: {
    /** Number of the worker; each begins at another endpoint. */
    readonly worker: number;
    readonly settings: TrafficSettings;
    readonly names: NameTable;
    readonly endpoints: EndpointUse;
    readonly inUse: NamesInUse;
  }) {
    this.#worker = options.worker;
    this.#settings = options.settings;
    this.#names = options.names;
    this.#endpoints = options.endpoints;
    this.#inUse = options.inUse;
  }

  setOwnListeners(listeners: readonly OwnListener[]): void {
    this.#ownListeners = listeners;
    this.#localAddresses = localAddresses();
  }

  /** `client` is its address, for balancers that use it. */
  of(cluster: Cluster, client: string): EndpointView {
    let turn = this.#turns.get(cluster);
    if (turn === undefined) {
      turn = { next: this.#worker, isReported: false };
      this.#turns.set(cluster, turn);
    }
    if (!turn.isReported) this.#inUse.report(cluster, turn);
    return {
      turn: turn.next++,
      names: this.#names.answers,
      ownListeners: this.#ownListeners,
      localAddresses: this.#localAddresses,
      allowedResolved: this.#settings.allowedResolved,
      draw: Math.random(),
      ...this.#endpoints.of(cluster.name),
      ...hashKeyOf(cluster, client),
    };
  }
}
