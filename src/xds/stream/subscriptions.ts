import { create } from '@bufbuild/protobuf';
import type { AdsState, AdsType } from '../messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../messages/ads-state.ts';
import type { Accept, Need, Refused } from './held-resources.ts';
import { HeldResources } from './held-resources.ts';
import type { Node } from '#envoy/config/core/v3/base_pb.js';
import type { DiscoveryRequest, DiscoveryResponse } from '#envoy/service/discovery/v3/discovery_pb.js';
import { DiscoveryRequestSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { StatusSchema } from '#envoy/google/rpc/status_pb.js';

/**
 * What happens to the stream. `now` is monotonic, `wall` is since the Unix epoch, both in
 * milliseconds.
 */
export type StreamEvent =
  | { readonly kind: 'opened'; readonly now: number }
  | { readonly kind: 'response'; readonly response: DiscoveryResponse; readonly now: number; readonly wall: number }
  | { readonly kind: 'ended' }
  /** `deadline` has passed. */
  | { readonly kind: 'elapsed'; readonly now: number };

/** What is worth a line. A refusal that comes again and again is said once, until it changes. */
export type Finding =
  | {
      readonly kind: 'refused';
      readonly type: AdsType;
      readonly version: string;
      readonly resources: readonly Refused[];
      /** As the control plane gets it. */
      readonly message: string;
    }
  | { readonly kind: 'recovered'; readonly type: AdsType; readonly version: string; readonly refusals: number }
  | { readonly kind: 'tolerated'; readonly type: AdsType; readonly name: string; readonly remark: string }
  /** Asked for, and not there within the fetch timeout: what needs it is live without it. */
  | { readonly kind: 'not-answered'; readonly type: Need['type']; readonly names: readonly string[]; readonly timeoutMs: number }
  | { readonly kind: 'unasked'; readonly typeUrl: string };

export interface Outcome {
  /** To be sent in this order. */
  readonly requests: readonly DiscoveryRequest[];
  readonly findings: readonly Finding[];
}

export interface TypeStatus {
  /** The last accepted `version_info`; empty before the first. */
  readonly version: string;
  /** Of the last response on this stream; empty before the first. */
  readonly nonce: string;
  /** Responses since the start. */
  readonly accepted: number;
  readonly rejected: number;
  /** Refused in a row, up to now; 0 while all is well. */
  readonly refusedInRow: number;
  readonly lastRefusal: { readonly message: string; readonly version: string; readonly at: number } | null;
}

/**
 * Envoy's default `initial_fetch_timeout`, which Kuma leaves for endpoints and secrets; for
 * clusters and listeners it sets none.
 */
export const FETCH_TIMEOUT_MS = 15_000;

/** INTERNAL, as Envoy: control planes show the message and do not look at the code. */
const REFUSED_CODE = 13;
/** Envoy cuts there. */
const MAX_MESSAGE = 4096;

const WHAT: Readonly<Record<AdsType, string>> = {
  cluster: 'cluster(s)',
  endpoint: 'cluster load assignment(s)',
  listener: 'listener(s)',
  secret: 'secret(s)',
};

interface Topic {
  nonce: string;
  accepted: number;
  rejected: number;
  refusedInRow: number;
  lastRefusal: TypeStatus['lastRefusal'];
  /** Asked for on any stream: then it is asked for again on the next. */
  subscribed: boolean;
  /** As last sent on this stream; null before. */
  asked: readonly string[] | null;
}

/**
 * The conversation of one aggregated stream in the state-of-the-world form: events in, requests
 * out, as Envoy has it. It knows no network and sets no timer: `elapsed` is due at `deadline`.
 *
 * Clusters and listeners are asked for as a whole, endpoints and secrets by all names that these
 * hold: Kuma does not answer a request that leaves out one that it has. Listeners are first asked
 * for when the first clusters have their endpoints. What a response changes in the names of another
 * type is asked for before the response is acknowledged, and clusters are not acknowledged while a
 * new one waits for its endpoints.
 */
export class Subscriptions {
  readonly #node: Node;
  readonly #held: HeldResources;
  readonly #topics: Readonly<Record<AdsType, Topic>> = {
    cluster: topic(),
    endpoint: topic(),
    listener: topic(),
    secret: topic(),
  };
  /** When the wait for a resource is over, by need; empty while there is no stream. */
  readonly #waits = new Map<string, { readonly need: Need; readonly dueAt: number }>();
  #unsent: DiscoveryRequest[] = [];
  #open = false;
  #nodeSent = false;

  constructor(node: Node, accept: Accept) {
    this.#node = node;
    this.#held = new HeldResources(accept);
  }

  get state(): AdsState {
    return this.#held.state;
  }

  /** Whether something that was sent waits for what it needs before it goes live. */
  get warming(): boolean {
    return this.#held.missing('cluster').length + this.#held.missing('listener').length > 0;
  }

  /** Monotonic milliseconds, or null while nothing is waited for. */
  get deadline(): number | null {
    let first: number | null = null;
    for (const { dueAt } of this.#waits.values()) first = first === null ? dueAt : Math.min(first, dueAt);
    return first;
  }

  status(): Readonly<Record<AdsType, TypeStatus>> {
    const of = (type: AdsType): TypeStatus => {
      const { nonce, accepted, rejected, refusedInRow, lastRefusal } = this.#topics[type];
      return { version: this.state.versions[type], nonce, accepted, rejected, refusedInRow, lastRefusal };
    };
    return { cluster: of('cluster'), endpoint: of('endpoint'), listener: of('listener'), secret: of('secret') };
  }

  on(event: StreamEvent): Outcome {
    switch (event.kind) {
      case 'opened':
        return { requests: this.#opened(event.now), findings: [] };
      case 'response':
        return this.#answered(event.response, event.now, event.wall);
      case 'ended':
        this.#forgetStream();
        return { requests: [], findings: [] };
      case 'elapsed':
        return this.#elapsed(event.now);
      default:
        return event satisfies never;
    }
  }

  #opened(now: number): readonly DiscoveryRequest[] {
    this.#forgetStream();
    this.#open = true;
    this.#topics.cluster.subscribed = true;
    const again = ADS_TYPES.filter((type) => this.#topics[type].subscribed).map((type) => this.#request(type));
    const requests = [...again, ...this.#changedNames(null)];
    this.#watchWaits(now);
    return requests;
  }

  #forgetStream(): void {
    this.#open = false;
    this.#nodeSent = false;
    this.#unsent = [];
    this.#waits.clear();
    for (const type of ADS_TYPES) Object.assign(this.#topics[type], { nonce: '', asked: null });
  }

  #answered(response: DiscoveryResponse, now: number, wall: number): Outcome {
    const type = ADS_TYPES.find((each) => TYPE_URLS[each] === response.typeUrl);
    if (type === undefined || this.#topics[type].asked === null)
      return { requests: [], findings: [{ kind: 'unasked', typeUrl: response.typeUrl }] };
    this.#topics[type].nonce = response.nonce;
    const { refused, remarks } = this.#held.apply(type, response, wall);
    const findings = [
      ...this.#count(type, response.versionInfo, refused, wall),
      ...remarks.map((each): Finding => ({ kind: 'tolerated', type, ...each })),
    ];
    const changed = this.#changedNames(type);
    const answer = this.#request(type, refused.length > 0 ? refusalMessage(type, refused) : undefined);
    const requests = [...changed, ...this.#sendable(type, answer)];
    this.#watchWaits(now);
    return { requests, findings };
  }

  #elapsed(now: number): Outcome {
    const over = [...this.#waits.values()].filter(({ dueAt }) => dueAt <= now).map(({ need }) => need);
    if (over.length === 0) return { requests: [], findings: [] };
    this.#held.release(over);
    const requests = [...this.#changedNames(null), ...this.#sendable(null)];
    this.#watchWaits(now);
    const findings = (['endpoint', 'secret'] as const).flatMap((type): Finding[] => {
      const names = over.filter((need) => need.type === type).map(({ name }) => name);
      return names.length === 0 ? [] : [{ kind: 'not-answered', type, names, timeoutMs: FETCH_TIMEOUT_MS }];
    });
    return { requests, findings };
  }

  #count(type: AdsType, version: string, refused: readonly Refused[], at: number): readonly Finding[] {
    const topic = this.#topics[type];
    if (refused.length === 0) {
      const refusals = topic.refusedInRow;
      topic.accepted++;
      topic.refusedInRow = 0;
      return refusals === 0 ? [] : [{ kind: 'recovered', type, version, refusals }];
    }
    const message = refusalMessage(type, refused);
    const again = topic.refusedInRow > 0 && topic.lastRefusal?.message === message;
    topic.rejected++;
    topic.refusedInRow++;
    topic.lastRefusal = { message, version, at };
    return again ? [] : [{ kind: 'refused', type, version, resources: refused, message }];
  }

  /**
   * The types whose names are other ones than those last asked for, but not `except`, whose answer
   * is about to say them.
   */
  #changedNames(except: AdsType | null): DiscoveryRequest[] {
    return ADS_TYPES.filter((type) => type !== except && this.#hasChanged(type)).map((type) => this.#request(type));
  }

  #hasChanged(type: AdsType): boolean {
    const topic = this.#topics[type];
    switch (type) {
      case 'cluster':
        return false;
      case 'listener': {
        const { accepted, rejected } = this.#topics.cluster;
        return !topic.subscribed && accepted + rejected > 0 && this.#held.missing('cluster').length === 0;
      }
      case 'endpoint':
      case 'secret': {
        const names = this.#held.wanted(type);
        return topic.asked === null ? names.length > 0 : !equal(names, topic.asked);
      }
      default:
        return type satisfies never;
    }
  }

  /** Clusters wait until none of them is half there, and go first then. */
  #sendable(type: AdsType | null, answer?: DiscoveryRequest): readonly DiscoveryRequest[] {
    const waits = this.#topics.listener.subscribed && this.#held.missing('cluster').length > 0;
    if (waits && type === 'cluster' && answer !== undefined) {
      this.#unsent.push(answer);
      return [];
    }
    const unsent = waits ? [] : this.#unsent;
    if (!waits) this.#unsent = [];
    return answer === undefined ? unsent : [...unsent, answer];
  }

  #request(type: AdsType, refusal?: string): DiscoveryRequest {
    const topic = this.#topics[type];
    topic.subscribed = true;
    topic.asked = type === 'endpoint' || type === 'secret' ? this.#held.wanted(type) : [];
    const request = create(DiscoveryRequestSchema, {
      typeUrl: TYPE_URLS[type],
      versionInfo: this.state.versions[type],
      responseNonce: topic.nonce,
      resourceNames: [...topic.asked],
    });
    if (!this.#nodeSent) request.node = this.#node;
    if (refusal !== undefined) request.errorDetail = create(StatusSchema, { code: REFUSED_CODE, message: refusal });
    this.#nodeSent = true;
    return request;
  }

  #watchWaits(now: number): void {
    if (!this.#open) return;
    const missing = [...this.#held.missing('cluster'), ...this.#held.missing('listener')];
    const keys = new Set(missing.map(({ type, name }) => `${type} ${name}`));
    for (const key of this.#waits.keys()) if (!keys.has(key)) this.#waits.delete(key);
    for (const need of missing) {
      const key = `${need.type} ${need.name}`;
      if (!this.#waits.has(key)) this.#waits.set(key, { need, dueAt: now + FETCH_TIMEOUT_MS });
    }
  }
}

function topic(): Topic {
  return { nonce: '', accepted: 0, rejected: 0, refusedInRow: 0, lastRefusal: null, subscribed: false, asked: null };
}

/** In Envoy's words, which control planes and their users know. */
function refusalMessage(type: AdsType, refused: readonly Refused[]): string {
  const reasons = refused.map(({ name, why }) => (name === '' ? why : `${name}: ${why}`)).join(', ');
  const message = `Error adding/updating ${WHAT[type]} ${reasons}`;
  return message.length <= MAX_MESSAGE ? message : `${message.slice(0, MAX_MESSAGE)}...(truncated)`;
}

function equal(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name, at) => name === other[at]);
}
