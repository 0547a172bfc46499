import type { Problem } from '../base/problem.ts';
import type { ListenerConfig, ListenerPlace } from '../model/compiled.ts';
import { Listening } from './listening.ts';
import { FIRST_PLACE } from './worker-pool.ts';
import type { ListeningOptions, ListeningWorkers } from './listening.ts';

export interface ListeningPlacesOptions extends Omit<ListeningOptions, 'workers' | 'onChange'> {
  readonly workersAt: (place: string) => ListeningWorkers;
  /**
   * `isFirst`: for the first place, which `at` returns. Null while nothing listens at this place.
   */
  readonly onChange: (at: BoundPlace | null, isFirst: boolean) => void;
}

export type BoundPlace = { readonly address: string; readonly port: number };

/**
 * Every place for clients. The first one is that of the ZoneEgress, or of the first Dataplane, and
 * the start needs it. The others open, move and close with each configuration; one that cannot be
 * opened is tried again and does not stop the others.
 */
export class ListeningPlaces {
  readonly #options: ListeningPlacesOptions;
  readonly #first: Listening;
  readonly #others = new Map<string, { readonly name: string; readonly listening: Listening }>();
  #opened: ListenerConfig | null = null;
  /** Changes run one after another. */
  #last: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(options: ListeningPlacesOptions) {
    this.#options = options;
    this.#first = new Listening({
      ...options,
      workers: options.workersAt(FIRST_PLACE),
      onChange: (at) => options.onChange(at, true),
    });
  }

  /** Returns the first place; null while nothing listens there. */
  get at(): BoundPlace | null {
    return this.#first.at;
  }

  /** Lists every place that is bound, by the name of its resource. */
  get all(): readonly ListenerPlace[] {
    const first = this.#first.at;
    const others = [...this.#others.values()].flatMap(({ name, listening: { at } }) => (at === null ? [] : [{ name, ...at }]));
    return [...(first === null ? [] : [{ name: this.#opened?.name ?? '', ...first }]), ...others];
  }

  /** True when a configuration exists that has no listener. */
  get isAbsent(): boolean {
    return this.#first.isAbsent;
  }

  /** Opens those of the first configuration; rejects where the first place cannot be bound. */
  async open(listener: ListenerConfig): Promise<void> {
    this.#opened = listener;
    await this.#first.open(listener);
    await this.#follow(listener);
  }

  /** Follows a later configuration. Never rejects. */
  follow(listener: ListenerConfig): Promise<void> {
    if (this.#opened === null) return Promise.resolve();
    this.#last = this.#last.then(() => this.#follow(listener));
    return this.#last;
  }

  /** Lists what a configuration changes without an effect until a restart. */
  unmet(listener: ListenerConfig): readonly Problem[] {
    return this.#first.unmet(this.#sorted(listener));
  }

  /** Follows no configuration any more. */
  end(): void {
    this.#ended = true;
    this.#first.end();
    for (const { listening } of this.#others.values()) listening.end();
  }

  async #follow(wanted: ListenerConfig): Promise<void> {
    if (this.#ended) return;
    const listener = this.#sorted(wanted);
    this.#opened = listener;
    await this.#first.follow(listener);
    const places = this.#othersOf(listener);
    for (const [key, { listening }] of this.#others) {
      if (places.has(key)) continue;
      this.#others.delete(key);
      await listening.follow({ ...listener, absent: true });
      listening.end();
    }
    for (const [key, place] of places) {
      if (this.#others.has(key)) continue;
      const listening = this.#listeningAt(key);
      this.#others.set(key, { name: place.name, listening });
      await listening.open({ ...place, adminPort: listener.adminPort });
    }
  }

  #listeningAt(key: string): Listening {
    const { inherited: _, ...options } = this.#options;
    return new Listening({
      ...options,
      follows: true,
      workers: this.#options.workersAt(key),
      onChange: (at) => this.#options.onChange(at, false),
    });
  }

  /**
   * Puts the open place first, where it is still wanted, so that an order alone moves no session.
   */
  #sorted(listener: ListenerConfig): ListenerConfig {
    const { more = [], ...first } = listener;
    const opened = this.#opened;
    if (opened === null || listener.absent === true) return listener;
    const isOpen = ({ address, port }: BoundPlace): boolean => address === opened.address && port === opened.port;
    const kept = isOpen(first) ? undefined : more.find(isOpen);
    if (kept === undefined) return listener;
    const others = [{ name: first.name, address: first.address, port: first.port }, ...more.filter((place) => place !== kept)];
    return { ...first, ...kept, more: others };
  }

  /** Returns each other place once, as it is bound: options may set one address or port for all. */
  #othersOf(listener: ListenerConfig): ReadonlyMap<string, ListenerPlace> {
    if (listener.absent === true) return new Map();
    const { bind, port } = this.#options;
    const keyOf = (place: BoundPlace): string => {
      const at = port === undefined || port === 0 ? place.port : port;
      return `${bind ?? place.address} ${at}`;
    };
    const places = new Map((listener.more ?? []).map((place) => [keyOf(place), place] as const));
    places.delete(keyOf(listener));
    return places;
  }
}
