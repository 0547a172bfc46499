/** One ADS stream of the fake control plane: who is on it, what it asked for, what is due. */
import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { Clock, Timer } from '../../base/clock.ts';
import { ADS_TYPES, TYPE_URLS } from '../../xds/messages/ads-state.ts';
import type { AdsType } from '../../xds/messages/ads-state.ts';
import { DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { DiscoveryRequest } from '#envoy/service/discovery/v3/discovery_pb.js';
import { adsTypeOf } from './envoy-resources.ts';
import type { AdsPort, FakeAds } from './fake-ads.ts';
import { readNode } from './fake-node.ts';

const UNKNOWN = 2;
const CONTROL_PLANE = { identifier: 'kuma-cp-fake' };
/** Field 1, length-delimited, longer than what follows: no message. */
const GARBAGE = Buffer.from([0x0a, 0xff, 0xff, 0x7f, 0x00]);

/** What a stream asked for last, by type. */
interface Watch {
  names: ReadonlySet<string>;
  /** The version that the client says it has. */
  version: string;
  /** Of the last response; empty before the first. */
  nonce: string;
  /** Asked and not answered since. */
  open: boolean;
  delayed: Timer | null;
}

export class FakeAdsStream {
  readonly #ads: FakeAds;
  readonly #number: number;
  readonly #port: AdsPort;
  readonly #authorization: readonly string[];
  readonly #watches = new Map<AdsType, Watch>();
  readonly #versions = new Map<AdsType, { readonly generation: number; readonly version: string }>();
  readonly #timers = new Set<Timer>();
  /** Requests that came while the stream sleeps; null when it does not. */
  #waiting: DiscoveryRequest[] | null = null;
  #nonce = 0;
  #node: { readonly id: string; readonly withResource: boolean } | null = null;
  /** Accepted, and never given anything. */
  #silent = false;
  #over = false;

  constructor(ads: FakeAds, number: number, port: AdsPort, authorization: readonly string[]) {
    this.#ads = ads;
    this.#number = number;
    this.#port = port;
    this.#authorization = authorization;
  }

  request(message: DiscoveryRequest): void {
    this.#ads.note(this.#number, message);
    if (this.#over) return;
    if (this.#node === null) return this.#register(message);
    const id = message.node?.id ?? this.#node.id;
    if (id !== this.#node.id) {
      return this.#fail(
        `stream was authenticated for ID ${this.#node.id}. Received request is for node with ID ${id}. Node ID cannot be changed after stream is initialized`,
      );
    }
    if (this.#waiting !== null) this.#waiting.push(message);
    else this.#handle(message);
  }

  #register(message: DiscoveryRequest): void {
    const { clock, version, refusal, firstAnswerMs } = this.#ads.options;
    const read = readNode(message.node, version);
    if (read.kind === 'refused' && read.beforeToken) return this.end(UNKNOWN, read.why);
    const refused = refusal(this.#authorization);
    if (refused !== null) return this.end(UNKNOWN, refused);
    if (read.kind === 'refused') return this.end(UNKNOWN, read.why);
    const busy = this.#ads.register(read.id, read.name, read.withResource);
    if (busy !== null) return this.end(UNKNOWN, busy);
    this.#node = read;
    this.#silent = read.silent;
    if (firstAnswerMs === 0) return this.#handle(message);
    this.#waiting = [message];
    this.#after(clock, firstAnswerMs, () => this.#wake());
  }

  #handle(message: DiscoveryRequest): void {
    const type = adsTypeOf(message.typeUrl);
    if (type === null) return;
    if (message.errorDetail !== undefined) {
      // The answer to everything waits, not only to this type.
      this.#waiting = [];
      this.#after(this.#ads.options.clock, this.#ads.options.nackBackoffMs, () => {
        this.#watch(type, message);
        this.#wake();
      });
      return;
    }
    this.#watch(type, message);
    this.#answer(type);
  }

  #watch(type: AdsType, message: DiscoveryRequest): void {
    const before = this.#watches.get(type);
    if (before !== undefined && before.nonce !== '' && before.nonce !== message.responseNonce) return;
    this.#watches.set(type, {
      names: new Set(message.resourceNames),
      version: message.versionInfo,
      nonce: before?.nonce ?? '',
      open: true,
      delayed: before?.delayed ?? null,
    });
  }

  #wake(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    this.answerAll();
    for (const [index, message] of waiting.entries()) {
      this.#handle(message);
      // A NACK among them put it to sleep again.
      if (this.#asleep()) {
        this.#waiting = waiting.slice(index + 1);
        return;
      }
    }
  }

  #asleep(): boolean {
    return this.#waiting !== null;
  }

  answerAll(): void {
    for (const type of ADS_TYPES) this.#answer(type);
  }

  #answer(type: AdsType): void {
    const watch = this.#watches.get(type);
    if (watch === undefined || !this.#due(type, watch)) return;
    const delay = this.#ads.delays.get(type) ?? 0;
    if (delay === 0) return this.#send(type, watch);
    watch.delayed ??= this.#after(this.#ads.options.clock, delay, () => {
      const now = this.#watches.get(type);
      if (now === undefined) return;
      now.delayed = null;
      if (this.#due(type, now)) this.#send(type, now);
    });
  }

  #due(type: AdsType, watch: Watch): boolean {
    const { generation, resources } = this.#ads.served[type];
    if (this.#over || this.#silent || this.#asleep() || this.#ads.stalled.has(type)) return false;
    if (!watch.open || generation === 0 || this.#versionOf(type, generation) === watch.version) return false;
    // ADS mode of go-control-plane: silence until all of them are asked for.
    if (type !== 'endpoint' && type !== 'secret') return true;
    return watch.names.size === 0 || [...resources.keys()].every((name) => watch.names.has(name));
  }

  #send(type: AdsType, watch: Watch): void {
    const { generation, resources, bad } = this.#ads.served[type];
    this.#respond(type, watch, this.#versionOf(type, generation), [...resources.values(), ...(bad ? [unreadable(type)] : [])]);
  }

  /**
   * Kuma makes the configuration of a proxy anew for each stream: what a proxy has from before is
   * never the current version.
   */
  #versionOf(type: AdsType, generation: number): string {
    const known = this.#versions.get(type);
    if (known?.generation === generation) return known.version;
    const version = randomUUID();
    this.#versions.set(type, { generation, version });
    return version;
  }

  #respond(type: AdsType, watch: Watch, versionInfo: string, resources: Any[]): void {
    const nonce = String(++this.#nonce);
    watch.nonce = nonce;
    watch.open = false;
    this.#ads.responses.push({ stream: this.#number, type, versionInfo, nonce });
    const response = { versionInfo, resources, typeUrl: TYPE_URLS[type], nonce, controlPlane: CONTROL_PLANE };
    this.#port.send(toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, response)));
  }

  sendGarbage(type: AdsType, what: 'resource' | 'message'): void {
    const watch = this.#watches.get(type);
    if (this.#over || watch === undefined) return;
    if (what === 'message') this.#port.send(GARBAGE);
    else this.#respond(type, watch, randomUUID(), [unreadable(type)]);
  }

  /** A stream that was registered hears of its error only when its name is free again. */
  #fail(why: string): void {
    const { clock, deregistrationDelayMs } = this.#ads.options;
    this.#over = true;
    this.#after(clock, deregistrationDelayMs, () => {
      if (this.#node !== null) this.#ads.deregister(this.#node.id, false);
      this.#node = null;
      this.#port.end(UNKNOWN, why);
    });
  }

  end(code: number, message: string): void {
    this.#over = true;
    this.#port.end(code, message);
  }

  closed(): void {
    this.#over = true;
    for (const timer of this.#timers) timer.cancel();
    if (this.#node !== null) this.#ads.deregister(this.#node.id, this.#node.withResource);
    this.#node = null;
  }

  #after(clock: Clock, ms: number, fn: () => void): Timer {
    const timer = clock.after(ms, () => {
      this.#timers.delete(timer);
      fn();
    });
    this.#timers.add(timer);
    return timer;
  }
}

function unreadable(type: AdsType): Any {
  return create(AnySchema, { typeUrl: TYPE_URLS[type], value: GARBAGE });
}
