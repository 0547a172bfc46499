/**
 * The behaviour of Kuma's control plane towards ADS streams of zone egresses, in both forms,
 * without a network: which proxy is accepted, what is answered and when, and the faults that a test
 * asks for. Recorded from 2.9.19, 2.12.14 and 2.14.3, which differ only where `version` is used.
 */
import { Buffer } from 'node:buffer';
import type { JsonObject, Message } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { Clock, Timer } from '../../base/clock.ts';
import { ADS_TYPES } from '../../xds/messages/ads-state.ts';
import type { AdsProtocol, AdsType } from '../../xds/messages/ads-state.ts';
import { RESOURCE_KEYS, adsTypeOf, packResource } from './envoy-resources.ts';
import type { EnvoyResources } from './envoy-resources.ts';
import { FAKE_FORMS } from './fake-ads-form.ts';
import type { AdsRequestMessage, FakeAsk, FakeServed } from './fake-ads-form.ts';
import { FakeAdsStream } from './fake-ads-stream.ts';
import type { KumaVersion } from './fake-node.ts';

/** A request as it came in. */
export interface FakeAdsRequest {
  /** Number of the stream, from 1. */
  readonly stream: number;
  /** Null for a type that is none of the four; see `message.typeUrl`. */
  readonly type: AdsType | null;
  /** `node.id`, where a node was sent. */
  readonly nodeId: string | null;
  /** Empty in the delta form. */
  readonly versionInfo: string;
  readonly nonce: string;
  /** All names that are requested from then on; empty for the type as a whole. */
  readonly names: readonly string[];
  /** `error_detail.message` of a NACK; null otherwise. */
  readonly error: string | null;
  readonly message: AdsRequestMessage;
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

/** Receives the events of one stream. */
export interface AdsListener {
  request(bytes: Uint8Array): void;
  closed(): void;
}

/** A proxy that asks to be served. */
export interface FakeProxy {
  /** `mesh.name`; `.name` for a ZoneEgress. */
  readonly id: string;
  readonly name: string;
  /** The label `kuma.io/workload` of the Dataplane that it brings; empty without one. */
  readonly workload: string;
  /** True where it says that it is a Dataplane. */
  readonly isDataplane: boolean;
}

export interface FakeAdsOptions {
  readonly clock: Clock;
  readonly version: KumaVersion;
  /** Returns why these credentials are not accepted for this proxy; null when they are. */
  readonly refusal: (authorization: readonly string[], proxy: FakeProxy) => string | null;
  readonly deregistrationDelayMs: number;
  readonly nackBackoffMs: number;
  readonly firstAnswerMs: number;
  /** Names of ZoneEgresses that exist from the start and stay. */
  readonly zoneEgresses: readonly string[];
}

const OK = 0;

type Served = { -readonly [Name in keyof FakeServed]: FakeServed[Name] };

export class FakeAds {
  readonly requests: FakeAdsRequest[] = [];
  readonly responses: FakeAdsResponse[] = [];
  readonly options: FakeAdsOptions;
  readonly stalled: Set<AdsType> = new Set();
  readonly delays: Map<AdsType, number> = new Map();
  readonly served: Record<AdsType, Served> = nothing();
  /** Resources that certain proxies are sent in place of it, by node id. */
  readonly #own = new Map<string, Record<AdsType, Served>>();
  readonly #streams = new Set<FakeAdsStream>();
  /** Node ids that count as connected, with the timers of those that have left. */
  readonly #active = new Map<string, Timer | null>();
  readonly #preCreated: Set<string>;
  readonly #listeners = new Set<(request: FakeAdsRequest) => void>();
  #count = 0;

  constructor(options: FakeAdsOptions) {
    this.options = options;
    this.#preCreated = new Set(options.zoneEgresses);
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Node ids that count as connected; see `FakeControlPlane.proxies`. */
  get proxies(): readonly string[] {
    return [...this.#active.keys()];
  }

  /** ZoneEgresses that exist now without a proxy that brings them. */
  get zoneEgresses(): readonly string[] {
    return [...this.#preCreated];
  }

  nextStream(): number {
    return ++this.#count;
  }

  open(port: AdsPort, authorization: readonly string[], protocol: AdsProtocol): AdsListener {
    const options = { authorization, form: FAKE_FORMS[protocol](), repeats: protocol === 'sotw' };
    const stream = new FakeAdsStream(this, this.nextStream(), port, options);
    this.#streams.add(stream);
    return {
      request: (bytes) => stream.request(bytes),
      closed: () => {
        this.#streams.delete(stream);
        stream.closed();
      },
    };
  }

  note(stream: number, { typeUrl, node, version, nonce, names, error, message }: FakeAsk): void {
    const type = adsTypeOf(typeUrl);
    const request: FakeAdsRequest = {
      stream,
      type,
      nodeId: node?.id ?? null,
      versionInfo: version,
      nonce,
      names,
      error,
      message,
    };
    this.requests.push(request);
    for (const listener of this.#listeners) listener(request);
  }

  /** Returns the function that removes the listener. */
  onRequest(listener: (request: FakeAdsRequest) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Returns what the proxy with this node id is sent. */
  servedTo(id: string): Readonly<Record<AdsType, Served>> {
    return this.#own.get(id) ?? this.served;
  }

  /**
   * Types that are not given stay as they are. Unchanged content keeps its version, except
   * endpoints after changed clusters. `id`: only for the proxy with this node id.
   */
  set(resources: EnvoyResources, id: string | null = null): void {
    let clustersChanged = false;
    const own = id === null ? this.served : (this.#own.get(id) ?? nothing());
    if (id !== null) this.#own.set(id, own);
    for (const type of ADS_TYPES) {
      const given: readonly (Message | JsonObject)[] | undefined = resources[RESOURCE_KEYS[type]];
      const served = own[type];
      let changed = type === 'endpoint' && clustersChanged && served.resources.size > 0;
      if (given !== undefined) {
        const packed = new Map(given.map((resource) => packResource(type, resource)).map(({ name, any }) => [name, any]));
        changed ||= !sameResources(served.resources, packed);
        served.resources = packed;
      }
      if (!changed) continue;
      served.generation++;
      if (type === 'cluster') clustersChanged = true;
    }
    this.answerAll();
  }

  /** Adds a resource that no proxy can read, under a new version each time it changes. */
  setBad(type: AdsType, bad: boolean): void {
    const served = this.served[type];
    if (served.bad === bad) return;
    served.bad = bad;
    served.generation++;
    this.answerAll();
  }

  sendGarbage(type: AdsType, what: 'resource' | 'message'): void {
    for (const stream of this.#streams) stream.sendGarbage(type, what);
  }

  answerAll(): void {
    for (const stream of this.#streams) stream.answerAll();
  }

  /**
   * Ends every stream with OK and forgets what proxies have registered, like an in-memory store
   * after SIGTERM.
   */
  shutDown(): void {
    for (const stream of this.#streams) stream.end(OK, '');
    this.forget();
  }

  forget(): void {
    for (const timer of this.#active.values()) timer?.cancel();
    this.#active.clear();
  }

  dispose(): void {
    for (const stream of this.#streams) stream.closed();
    this.#streams.clear();
    this.forget();
    this.#listeners.clear();
  }

  /** Returns why a node is not accepted; null counts it as connected. */
  register(id: string, name: string, withResource: boolean): string | null {
    if (!withResource && !this.#preCreated.has(name) && !this.#preCreated.has(id) && !this.#active.has(id)) return notFound(id);
    if (this.#active.has(id)) return 'there is already an active stream from this node, try again later';
    this.#active.set(id, null);
    return null;
  }

  /**
   * An open stream gets the error only after the delay, like any registered stream. `name` is that
   * of a ZoneEgress, or `<mesh>.<name>` of a Dataplane.
   */
  deleteResource(name: string): void {
    this.#preCreated.delete(name);
    for (const stream of this.#streams) stream.resourceDeleted(name);
  }

  createResource(name: string): void {
    this.#preCreated.add(name);
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

export function notFound(id: string): string {
  const kind = id.startsWith('.') ? 'ZoneEgress' : 'Dataplane';
  return `resource "${id}" not found; create a ${kind} in Kuma CP first or pass it as an argument to kuma-dp`;
}

function nothing(): Record<AdsType, Served> {
  return { cluster: empty(), endpoint: empty(), listener: empty(), secret: empty() };
}

function empty(): Served {
  return { generation: 0, resources: new Map(), bad: false };
}

function sameResources(before: ReadonlyMap<string, Any>, after: ReadonlyMap<string, Any>): boolean {
  if (before.size !== after.size) return false;
  return [...after].every(([name, any]) => Buffer.from(before.get(name)?.value ?? []).equals(any.value));
}
