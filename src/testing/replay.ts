/**
 * Plays the control plane's part of a recorded conversation: a response goes out as soon as every request that came before it on the wire has
 * come again. Requests are told apart by type, nonce and, where names matter, the set of names; their order does not matter, so a client may be
 * quicker or slower than the recorded one. An ACK where a NACK was recorded counts as come, and is noted.
 */
import type { AdsType } from '../xds/ads-state.ts';
import type { DiscoveryRequest } from '../xds/proto/envoy/service/discovery/v3/discovery_pb.js';
import { adsTypeOf } from './envoy-resources.ts';
import type { AdsListener, AdsPort, FakeAds } from './fake-ads.ts';
import type { RecordedEvent, Recording } from './recording.ts';

type RecordedRequest = Extract<RecordedEvent, { readonly kind: 'request' }>;

const UNKNOWN = 2;

export class Replay {
  /** Where the client did other than the recorded one, one sentence each. */
  readonly differences: string[] = [];
  /** Resolves when the last recorded event has been played. */
  readonly done: Promise<void>;
  readonly #recording: Recording;
  readonly #players = new Set<Player>();
  #resolve: () => void = () => undefined;
  #streams = 0;

  constructor(recording: Recording) {
    this.#recording = recording;
    this.done = new Promise((resolve) => (this.#resolve = resolve));
  }

  get openStreams(): number {
    return this.#players.size;
  }

  /** The request that the next response waits for; null when nothing is awaited. */
  get missing(): string | null {
    for (const player of this.#players) if (player.missing !== null) return describe(player.missing);
    return null;
  }

  open(port: AdsPort, ads: FakeAds): AdsListener {
    const number = ads.nextStream();
    const events = this.#recording[this.#streams++];
    if (events === undefined) port.end(UNKNOWN, `the recording has ${this.#recording.length} streams and no more`);
    const player = new Player(port, events ?? [], this.differences);
    this.#players.add(player);
    const isLast = this.#streams === this.#recording.length;
    return {
      request: (message) => {
        ads.note(number, message);
        player.request(message);
        if (isLast && player.played) this.#resolve();
      },
      closed: () => void this.#players.delete(player),
    };
  }

  shutDown(): void {
    for (const player of this.#players) player.end();
  }
}

class Player {
  readonly #port: AdsPort;
  readonly #events: readonly RecordedEvent[];
  readonly #differences: string[];
  #next = 0;
  /** Came, and the recording is not there yet. */
  #early: DiscoveryRequest[] = [];
  #over = false;

  constructor(port: AdsPort, events: readonly RecordedEvent[], differences: string[]) {
    this.#port = port;
    this.#events = events;
    this.#differences = differences;
  }

  get played(): boolean {
    return this.#next === this.#events.length;
  }

  get missing(): RecordedRequest | null {
    const next = this.#events[this.#next];
    return next?.kind === 'request' ? next : null;
  }

  request(message: DiscoveryRequest): void {
    this.#early.push(message);
    while (!this.#over && this.#step()) this.#next++;
  }

  end(): void {
    if (!this.#over) this.#port.end(0, '');
    this.#over = true;
  }

  #step(): boolean {
    const event = this.#events[this.#next];
    switch (event?.kind) {
      case undefined:
        return false;
      case 'request':
        return this.#take(event);
      case 'response':
        this.#port.send(event.bytes);
        return true;
      case 'mark':
        return true;
      case 'end':
        this.#over = true;
        this.#port.end(event.code, event.message);
        this.#next++;
        return false;
      default:
        return event satisfies never;
    }
  }

  #take(recorded: RecordedRequest): boolean {
    const came = this.#early.find((message) => fits(message, recorded));
    if (came === undefined) return false;
    this.#early = this.#early.filter((message) => message !== came);
    const refused = came.errorDetail?.message ?? null;
    if ((refused === null) !== (recorded.error === null)) {
      const was = recorded.error === null ? 'an ACK' : `a NACK (${recorded.error})`;
      const is = refused === null ? 'an ACK' : `a NACK (${refused})`;
      this.#differences.push(`request ${recorded.n} (${recorded.type}): recorded ${was}, came ${is}`);
    }
    return true;
  }
}

function fits(message: DiscoveryRequest, recorded: RecordedRequest): boolean {
  if (adsTypeOf(message.typeUrl) !== recorded.type || message.responseNonce !== recorded.nonce) return false;
  return !hasNames(recorded.type) || sameNames(message.resourceNames, recorded.names);
}

function hasNames(type: AdsType): boolean {
  return type === 'endpoint' || type === 'secret';
}

function sameNames(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && new Set([...one, ...other]).size === one.length;
}

function describe({ n, type, nonce, names, error }: RecordedRequest): string {
  return `request ${n}: ${type}, nonce "${nonce}", names [${names.join(', ')}]${error === null ? '' : `, a NACK (${error})`}`;
}
