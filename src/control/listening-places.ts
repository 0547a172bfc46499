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
  /** True when the first place is no longer wanted, and others are open. */
  #isGivenUp = false;
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

  /** Returns the first place; another one where it was given up. Null while nothing listens. */
  get at(): BoundPlace | null {
    return this.#first.at ?? (this.#isGivenUp ? (this.all[0] ?? null) : null);
  }

  /** Lists every place that is bound, by the name of its resource. */
  get all(): readonly ListenerPlace[] {
    const first = this.#first.at;
    const others = [...this.#others.values()].flatMap(({ name, listening: { at } }) => (at === null ? [] : [{ name, ...at }]));
    return [...(first === null ? [] : [{ name: this.#opened?.name ?? '', ...first }]), ...others];
  }

  /** True while clients can come to this place of a configuration. */
  isOpen(place: BoundPlace): boolean {
    const key = this.#keyOf(place);
    const opened = this.#opened;
    if (opened !== null && opened.absent !== true && this.#keyOf(opened) === key) return this.#first.at !== null;
    return (this.#others.get(key)?.listening.at ?? null) !== null;
  }

  /** True when a configuration exists that has no listener. */
  get isAbsent(): boolean {
    return this.#first.isAbsent && !this.#isGivenUp;
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
    // An open place would have to close for a moment to become the first one: it stays what it is.
    this.#isGivenUp =
      this.#options.follows && listener.absent !== true && !this.#isFirst(listener) && this.#others.has(this.#keyOf(listener));
    this.#opened = this.#isGivenUp ? { ...listener, absent: true } : listener;
    await this.#first.follow(this.#opened);
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
    const { name, address, port, more = [] } = listener;
    const places = new Map([{ name, address, port }, ...more].map((place) => [this.#keyOf(place), place] as const));
    if (!this.#isGivenUp) places.delete(this.#keyOf(listener));
    return places;
  }

  #keyOf(place: BoundPlace): string {
    const { bind, port } = this.#options;
    const at = port === undefined || port === 0 ? place.port : port;
    return `${bind ?? place.address} ${at}`;
  }

  #isFirst({ address, port }: BoundPlace): boolean {
    const opened = this.#opened;
    return opened !== null && opened.absent !== true && opened.address === address && opened.port === port;
  }
}
