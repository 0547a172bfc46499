import type { Clock, Timer } from '../base/clock.ts';
import type { BoundPlace } from './listening-places.ts';

export interface HeldPlacesOptions {
  readonly clock: Clock;
  readonly workers: {
    hold(address: string, port: number): Promise<void>;
    letGo(address: string, port: number): Promise<number | null>;
  };
  /** Override the address and the port of each place, as for its listener. */
  readonly bind?: string;
  readonly port?: number;
  /** A connection waits no longer than this, and neither does the place. */
  readonly forMs: number;
  readonly isOpen: (place: BoundPlace) => boolean;
  /** Called when the list of held places is another. */
  readonly onChange: () => void;
  /** Called when the time was over; `turnedAway` connections that waited were reset. */
  readonly onGivenUp: (place: BoundPlace, turnedAway: number) => void;
}

/**
 * The places that listen before a configuration serves them: a control plane sends clients to an
 * egress a moment before it sends the configuration for them. A listener that opens at the same
 * address and port takes the connections that wait.
 */
export class HeldPlaces {
  readonly #options: HeldPlacesOptions;
  readonly #held = new Map<string, { readonly place: BoundPlace; readonly over: Timer }>();
  #ended = false;

  constructor(options: HeldPlacesOptions) {
    this.#options = options;
  }

  /** Lists the places that hold connections now. */
  get all(): readonly BoundPlace[] {
    return [...this.#held.values()].map(({ place }) => place).filter((place) => !this.#options.isOpen(place));
  }

  /**
   * Opens the place, unless clients are served there. Never rejects: where it cannot be opened, the
   * listener of the configuration is, or reports why not.
   */
  async hold(wanted: BoundPlace): Promise<void> {
    const { clock, workers, bind, port, forMs, isOpen, onChange } = this.#options;
    const place = { address: bind ?? wanted.address, port: port ?? wanted.port };
    const key = `${place.address} ${place.port}`;
    if (this.#ended || place.address === '' || place.port === 0 || isOpen(place) || this.#held.has(key)) return;
    this.#held.set(key, { place, over: clock.after(forMs, () => void this.#giveUp(key)) });
    await workers.hold(place.address, place.port).then(onChange, () => this.#forget(key));
    if (this.#ended) await workers.letGo(place.address, place.port);
  }

  /** Lets go of every place, and holds none any more. */
  end(): void {
    this.#ended = true;
    for (const [key, { place }] of this.#held) {
      this.#forget(key);
      void this.#options.workers.letGo(place.address, place.port);
    }
  }

  async #giveUp(key: string): Promise<void> {
    const { workers, onChange, onGivenUp } = this.#options;
    const place = this.#held.get(key)?.place;
    this.#forget(key);
    if (place === undefined) return;
    const turnedAway = await workers.letGo(place.address, place.port);
    onChange();
    if (turnedAway !== null) onGivenUp(place, turnedAway);
  }

  #forget(key: string): void {
    this.#held.get(key)?.over.cancel();
    this.#held.delete(key);
  }
}
