/**
 * Plays the control plane's part of a recorded conversation. A response is sent when the earlier
 * requests of its type have come; a mark (something was changed) and the end wait for all requests.
 * Requests are matched by type, nonce and, where names matter, the set of names, so a client may be
 * faster or slower than the recorded one. Other differences are noted: an ACK where a NACK was
 * recorded, an answer that asks for fewer names.
 */
import type { AdsProtocol, AdsType } from '../../xds/messages/ads-state.ts';
import { adsTypeOf } from './envoy-resources.ts';
import { FAKE_FORMS } from './fake-ads-form.ts';
import type { FakeAsk } from './fake-ads-form.ts';
import type { AdsListener, AdsPort, FakeAds } from './fake-ads.ts';
import type { RecordedEvent, Recording } from './recording.ts';

type RecordedRequest = Extract<RecordedEvent, { readonly kind: 'request' }>;

const UNKNOWN = 2;

export class Replay {
  /** Differences between the client and the recorded one, one sentence each. */
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

  /** The request that the next response waits for; null when none is awaited. */
  get missing(): string | null {
    for (const player of this.#players) if (player.missing !== null) return describe(player.missing);
    return null;
  }

  open(port: AdsPort, ads: FakeAds, protocol: AdsProtocol): AdsListener {
    const form = FAKE_FORMS[protocol]();
    const number = ads.nextStream();
    const recorded = this.#recording[this.#streams++];
    if (recorded === undefined) port.end(UNKNOWN, `the recording has ${this.#recording.length} streams and no more`);
    const player = new Player(port, recorded?.events ?? [], this.differences);
    this.#players.add(player);
    const isLast = this.#streams === this.#recording.length;
    return {
      request: (bytes) => {
        const message = form.read(bytes);
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
  /** Requests recorded before `#next` that have not come yet. */
  #outstanding: RecordedRequest[] = [];
  /** Requests that came before they are due in the recording. */
  #early: FakeAsk[] = [];
  /** The last recorded request of each type that came, with the names that came with it. */
  readonly #taken = new Map<AdsType, { readonly recorded: RecordedRequest; readonly names: readonly string[] }>();
  #over = false;

  constructor(port: AdsPort, events: readonly RecordedEvent[], differences: string[]) {
    this.#port = port;
    this.#events = events;
    this.#differences = differences;
  }

  get played(): boolean {
    return this.#next === this.#events.length && this.#outstanding.length === 0;
  }

  get missing(): RecordedRequest | null {
    const next = this.#events[this.#next];
    const type = next?.kind === 'response' ? next.type : null;
    return this.#outstanding.find((recorded) => type === null || recorded.type === type) ?? null;
  }

  request(message: FakeAsk): void {
    this.#early.push(message);
    this.#outstanding = this.#outstanding.filter((recorded) => !this.#take(recorded));
    while (!this.#over && this.#step()) this.#next++;
  }

  end(): void {
    if (!this.#over) this.#port.end(0, '');
    this.#over = true;
  }

  /** Tells whether the next event is over. */
  #step(): boolean {
    const event = this.#events[this.#next];
    if (event === undefined) return false;
    if (event.kind === 'request') {
      if (!this.#take(event)) this.#outstanding.push(event);
      return true;
    }
    if (this.missing !== null) return false;
    if (event.kind === 'response') this.#port.send(event.bytes);
    else if (event.kind === 'end') {
      this.#over = true;
      this.#port.end(event.code, event.message);
    }
    return true;
  }

  #take(recorded: RecordedRequest): boolean {
    const came =
      this.#early.find((message) => fits(message, recorded) && sameNames(message, recorded)) ??
      this.#early.find((message) => fits(message, recorded) && fewerNames(message, recorded));
    if (came === undefined) return this.#alreadyNarrow(recorded);
    this.#taken.set(recorded.type, { recorded, names: came.names });
    this.#early = this.#early.filter((message) => message !== came);
    const note = (text: string): void => void this.#differences.push(`request ${recorded.n} (${recorded.type}): ${text}`);
    if (!sameNames(came, recorded)) note(`recorded [${recorded.names.join(', ')}], came [${came.names.join(', ')}]`);
    const refused = came.error;
    if ((refused === null) !== (recorded.error === null)) note(`recorded ${answer(recorded.error)}, came ${answer(refused)}`);
    return true;
  }

  /**
   * Envoy drops names one by one, some time after their chains; a client that dropped them at once
   * sends no more requests.
   */
  #alreadyNarrow(recorded: RecordedRequest): boolean {
    const before = this.#taken.get(recorded.type);
    if (before?.recorded.nonce !== recorded.nonce || recorded.names.length >= before.recorded.names.length) return false;
    return before.names.every((name) => recorded.names.includes(name));
  }
}

function fits(message: FakeAsk, recorded: RecordedRequest): boolean {
  return adsTypeOf(message.typeUrl) === recorded.type && message.nonce === recorded.nonce;
}

function sameNames({ names: came }: FakeAsk, { type, names }: RecordedRequest): boolean {
  if (type === 'cluster' || type === 'listener') return true;
  return came.length === names.length && new Set([...came, ...names]).size === names.length;
}

/** Only for an answer: a first request for fewer names is never answered. */
function fewerNames({ names: came }: FakeAsk, { names, nonce }: RecordedRequest): boolean {
  return nonce !== '' && came.every((name) => names.includes(name));
}

function answer(error: string | null): string {
  return error === null ? 'an ACK' : `a NACK (${error})`;
}

function describe({ n, type, nonce, names, error }: RecordedRequest): string {
  return `request ${n}: ${type}, nonce "${nonce}", names [${names.join(', ')}]${error === null ? '' : `, a NACK (${error})`}`;
}
