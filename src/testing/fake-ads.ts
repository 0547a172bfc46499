/**
 * What a control plane of Kuma does with the ADS streams of zone egresses (state of the world), without a network: who may come, what is answered
 * and when, and what a test lets it do wrong. Recorded from 2.9.19, 2.12.14 and 2.14.3, which differ only where `version` says so.
 */
import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import type { JsonObject, Message } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { Clock, Timer } from '../base/clock.ts';
import { ADS_TYPES, TYPE_URLS } from '../xds/ads-state.ts';
import type { AdsType } from '../xds/ads-state.ts';
import { DiscoveryResponseSchema } from '../xds/proto/envoy/service/discovery/v3/discovery_pb.js';
import type { DiscoveryRequest } from '../xds/proto/envoy/service/discovery/v3/discovery_pb.js';
import { RESOURCE_KEYS, adsTypeOf, packResource } from './envoy-resources.ts';
import type { EnvoyResources } from './envoy-resources.ts';
import { readNode } from './fake-node.ts';
import type { KumaVersion } from './fake-node.ts';

/** A request as it came in. */
export interface FakeAdsRequest {
  /** Streams are counted from 1. */
  readonly stream: number;
  /** Null: none of the four; see `message.typeUrl`. */
  readonly type: AdsType | null;
  /** `node.id`, where a node was sent. */
  readonly nodeId: string | null;
  readonly versionInfo: string;
  readonly nonce: string;
  readonly names: readonly string[];
  /** `error_detail.message` of a NACK; null otherwise. */
  readonly error: string | null;
  readonly message: DiscoveryRequest;
}

/** A response as it went out. */
export interface FakeAdsResponse {
  readonly stream: number;
  readonly type: AdsType;
  readonly versionInfo: string;
  readonly nonce: string;
}

/** The far side of one stream. `code` is a gRPC status. */
export interface AdsPort {
  send(response: Uint8Array): void;
  end(code: number, message: string): void;
}

/** What hears one stream. */
export interface AdsListener {
  request(message: DiscoveryRequest): void;
  closed(): void;
}

export interface FakeAdsOptions {
  readonly clock: Clock;
  readonly version: KumaVersion;
  /** Why these credentials are not accepted; null when they are. */
  readonly refusal: (authorization: readonly string[]) => string | null;
  readonly deregistrationDelayMs: number;
  readonly nackBackoffMs: number;
  readonly firstAnswerMs: number;
  /** Names of ZoneEgresses that were made before and stay. */
  readonly zoneEgresses: readonly string[];
}

const OK = 0;
const UNKNOWN = 2;
const CONTROL_PLANE = { identifier: 'kuma-cp-fake' };
/** Field 1, length-delimited, longer than what follows: no message. */
const GARBAGE = Buffer.from([0x0a, 0xff, 0xff, 0x7f, 0x00]);

interface Served {
  /** Empty: there never was a resource of this type, and no request for it is answered. */
  version: string;
  resources: ReadonlyMap<string, Any>;
  /** Sent along until a test mends it. */
  bad: boolean;
}

export class FakeAds {
  readonly requests: FakeAdsRequest[] = [];
  readonly responses: FakeAdsResponse[] = [];
  readonly options: FakeAdsOptions;
  readonly stalled: Set<AdsType> = new Set();
  readonly delays: Map<AdsType, number> = new Map();
  readonly served: Record<AdsType, Served> = { cluster: empty(), endpoint: empty(), listener: empty(), secret: empty() };
  readonly #streams = new Set<FakeAdsStream>();
  /** Node ids that count as connected, and the timers of those that no longer are. */
  readonly #active = new Map<string, Timer | null>();
  readonly #preCreated: ReadonlySet<string>;
  readonly #listeners = new Set<(request: FakeAdsRequest) => void>();
  #count = 0;

  constructor(options: FakeAdsOptions) {
    this.options = options;
    this.#preCreated = new Set(options.zoneEgresses);
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  nextStream(): number {
    return ++this.#count;
  }

  open(port: AdsPort, authorization: readonly string[]): AdsListener {
    const stream = new FakeAdsStream(this, this.nextStream(), port, authorization);
    this.#streams.add(stream);
    return {
      request: (message) => stream.request(message),
      closed: () => {
        this.#streams.delete(stream);
        stream.closed();
      },
    };
  }

  note(stream: number, message: DiscoveryRequest): void {
    const request: FakeAdsRequest = {
      stream,
      type: adsTypeOf(message.typeUrl),
      nodeId: message.node?.id ?? null,
      versionInfo: message.versionInfo,
      nonce: message.responseNonce,
      names: message.resourceNames,
      error: message.errorDetail?.message ?? null,
      message,
    };
    this.requests.push(request);
    for (const listener of this.#listeners) listener(request);
  }

  /** Returns what takes the listener off again. */
  onRequest(listener: (request: FakeAdsRequest) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Types that are not given stay as they are. Content that did not change keeps its version, but for endpoints after clusters that did. */
  set(resources: EnvoyResources): void {
    let clustersChanged = false;
    for (const type of ADS_TYPES) {
      const given: readonly (Message | JsonObject)[] | undefined = resources[RESOURCE_KEYS[type]];
      const served = this.served[type];
      let changed = type === 'endpoint' && clustersChanged && served.resources.size > 0;
      if (given !== undefined) {
        const packed = new Map(given.map((resource) => packResource(type, resource)).map(({ name, any }) => [name, any]));
        changed ||= !sameResources(served.resources, packed);
        served.resources = packed;
      }
      if (!changed) continue;
      served.version = randomUUID();
      if (type === 'cluster') clustersChanged = true;
    }
    this.answerAll();
  }

  /** One more resource that no proxy can read, under a new version each time it changes. */
  setBad(type: AdsType, bad: boolean): void {
    const served = this.served[type];
    if (served.bad === bad) return;
    served.bad = bad;
    served.version = randomUUID();
    this.answerAll();
  }

  sendGarbage(type: AdsType, what: 'resource' | 'message'): void {
    for (const stream of this.#streams) stream.sendGarbage(type, what);
  }

  answerAll(): void {
    for (const stream of this.#streams) stream.answerAll();
  }

  /** Every stream ends with OK, and what was learned from proxies is forgotten: an in-memory store after SIGTERM. */
  shutDown(): void {
    for (const stream of this.#streams) stream.end(OK, '');
    this.forget();
  }

  forget(): void {
    for (const timer of this.#active.values()) timer?.cancel();
    this.#active.clear();
    for (const type of ADS_TYPES) if (this.served[type].version !== '') this.served[type].version = randomUUID();
  }

  dispose(): void {
    for (const stream of this.#streams) stream.closed();
    this.#streams.clear();
    this.forget();
    this.#listeners.clear();
  }

  /** Why a node may not come in, or null: then it counts as connected. */
  register(id: string, name: string, withResource: boolean): string | null {
    if (!withResource && !this.#preCreated.has(name) && !this.#active.has(id))
      return `resource "${id}" not found; create a ZoneEgress in Kuma CP first or pass it as an argument to kuma-dp`;
    if (this.#active.has(id)) return 'there is already an active stream from this node, try again later';
    this.#active.set(id, null);
    return null;
  }

  deregister(id: string, withResource: boolean): void {
    if (this.#active.get(id) !== null) return;
    if (!withResource) return void this.#active.delete(id);
    this.#active.set(
      id,
      this.options.clock.after(this.options.deregistrationDelayMs, () => void this.#active.delete(id)),
    );
  }
}

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

class FakeAdsStream {
  readonly #ads: FakeAds;
  readonly #number: number;
  readonly #port: AdsPort;
  readonly #authorization: readonly string[];
  readonly #watches = new Map<AdsType, Watch>();
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
    const { version, resources } = this.#ads.served[type];
    if (this.#over || this.#silent || this.#asleep() || this.#ads.stalled.has(type)) return false;
    if (!watch.open || version === '' || version === watch.version) return false;
    // ADS mode of go-control-plane: silence until all of them are asked for.
    if (type !== 'endpoint' && type !== 'secret') return true;
    return watch.names.size === 0 || [...resources.keys()].every((name) => watch.names.has(name));
  }

  #send(type: AdsType, watch: Watch): void {
    const { version, resources, bad } = this.#ads.served[type];
    this.#respond(type, watch, version, [...resources.values(), ...(bad ? [unreadable(type)] : [])]);
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

function empty(): Served {
  return { version: '', resources: new Map(), bad: false };
}

function unreadable(type: AdsType): Any {
  return create(AnySchema, { typeUrl: TYPE_URLS[type], value: GARBAGE });
}

function sameResources(before: ReadonlyMap<string, Any>, after: ReadonlyMap<string, Any>): boolean {
  if (before.size !== after.size) return false;
  return [...after].every(([name, any]) => Buffer.from(before.get(name)?.value ?? []).equals(any.value));
}
