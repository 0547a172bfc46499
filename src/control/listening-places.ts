import type { Problem } from '../base/problem.ts';
import type { ListenerConfig, ListenerPlace } from '../model/compiled.ts';
import { Listening } from './listening.ts';
import type { ListeningOptions, ListeningWorkers } from './listening.ts';

export interface ListeningPlacesOptions extends Omit<ListeningOptions, 'workers' | 'onChange'> {
  readonly workersAt: (place: string) => ListeningWorkers;
  /** `isFirst`: of the first place, which `at` gives. Null: nothing listens at this place now. */
  readonly onChange: (at: BoundPlace | null, isFirst: boolean) => void;
}

export type BoundPlace = { readonly address: string; readonly port: number };

/**
 * Every place where clients are served. The first one is that of the ZoneEgress, or of the first
 * Dataplane: the start needs it. The others open, move and close as each configuration says, and
 * one that cannot be opened is tried again; it does not stop the others.
 */
export class ListeningPlaces {
  readonly #options: ListeningPlacesOptions;
  readonly #first: Listening;
  readonly #others = new Map<string, { readonly name: string; readonly listening: Listening }>();
  #opened: ListenerConfig | null = null;
  /** One change after another. */
  #last: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(options: ListeningPlacesOptions) {
    this.#options = options;
    this.#first = new Listening({
      ...options,
      workers: options.workersAt(''),
      onChange: (at) => options.onChange(at, true),
    });
  }

  /** Returns the first place; null: nothing listens there. */
  get at(): BoundPlace | null {
    return this.#first.at;
  }

  /** Lists every place that is bound, by the name of its resource. */
  get all(): readonly ListenerPlace[] {
    const first = this.#first.at;
    const others = [...this.#others.values()].flatMap(({ name, listening: { at } }) => (at === null ? [] : [{ name, ...at }]));
    return [...(first === null ? [] : [{ name: this.#opened?.name ?? '', ...first }]), ...others];
  }

  /** True where a configuration is there, and it has no listener. */
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

  /** Lists what a configuration asks for and does not get without a restart. */
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

  /** With the place that is open first, where it is still wanted: no session moves for an order. */
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

  /** Each other place once, as it is bound: options may have one address or port for all. */
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
