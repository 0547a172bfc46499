import type { AdsState, AdsType } from '../messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../messages/ads-state.ts';
import type { Accept, Need, RefusedResource } from './held-resources.ts';
import { HeldResources } from './held-resources.ts';
import type { Node } from '#envoy/config/core/v3/base_pb.js';
import type { AdsResponse, AdsRequest, Protocol } from './protocol.ts';

/**
 * Events of the stream. `now` is monotonic, `wall` is since the Unix epoch, both in milliseconds.
 */
export type StreamEvent =
  | { readonly kind: 'opened'; readonly now: number }
  | { readonly kind: 'answer'; readonly answer: AdsResponse; readonly now: number; readonly wall: number }
  | { readonly kind: 'ended' }
  /** `deadline` has passed. */
  | { readonly kind: 'elapsed'; readonly now: number };

/** Something to log. A repeated refusal is reported once, until it changes. */
export type Finding =
  | {
      readonly kind: 'refused';
      readonly type: AdsType;
      readonly version: string;
      readonly resources: readonly RefusedResource[];
      /** The text that the control plane gets. */
      readonly message: string;
    }
  | { readonly kind: 'recovered'; readonly type: AdsType; readonly version: string; readonly refusals: number }
  | { readonly kind: 'tolerated'; readonly type: AdsType; readonly name: string; readonly remark: string }
  /**
   * Requested, but not sent within the fetch timeout: resources that need it are live without it.
   */
  | { readonly kind: 'not-answered'; readonly type: Need['type']; readonly names: readonly string[]; readonly timeoutMs: number }
  | { readonly kind: 'unasked'; readonly typeUrl: string };

export interface Outcome {
  /** To be sent in this order. */
  readonly requests: readonly AdsRequest[];
  readonly findings: readonly Finding[];
}

export interface TypeStatus {
  /** The last accepted `version_info`; empty before the first. */
  readonly version: string;
  /** Nonce of the last response on this stream; empty before the first. */
  readonly nonce: string;
  /** Responses accepted since the start. */
  readonly accepted: number;
  readonly rejected: number;
  /** Consecutive refusals up to now; 0 after an accepted response. */
  readonly refusedInRow: number;
  readonly lastRefusal: { readonly message: string; readonly version: string; readonly at: number } | null;
}

/**
 * Envoy's default `initial_fetch_timeout`, which Kuma keeps for endpoints and secrets; it switches
 * it off for clusters and listeners.
 */
export const FETCH_TIMEOUT_MS = 15_000;

/** The wait before a refused resource is requested again; it doubles each time. */
const ASK_AGAIN_MS = 5_000;
const ASK_AGAIN_LAST_MS = 300_000;
/** Envoy cuts messages at this length. */
const MAX_MESSAGE = 4096;

const WHAT: Readonly<Record<AdsType, string>> = {
  cluster: 'cluster(s)',
  endpoint: 'cluster load assignment(s)',
  listener: 'listener(s)',
  secret: 'secret(s)',
};

interface RefusedAsk {
  readonly type: AdsType;
  readonly name: string;
  readonly afterMs: number;
  dueAt: number;
}

interface Topic {
  nonce: string;
  accepted: number;
  rejected: number;
  refusedInRow: number;
  lastRefusal: TypeStatus['lastRefusal'];
  /** True when it was requested on any stream: the next stream requests it again. */
  subscribed: boolean;
  /** The names last sent on this stream; null before. */
  asked: readonly string[] | null;
}

/**
 * The conversation of one aggregated stream, in both forms, as in Envoy: events in, requests out.
 * It knows no network and sets no timer: `elapsed` is due at `deadline`.
 *
 * Clusters and listeners use wildcard subscriptions. Endpoints and secrets list every name those
 * refer to: Kuma ignores a request that omits a name it has. Listeners are first requested when the
 * first clusters have their endpoints. When a response changes the names of another type, that type
 * is requested before the response is acknowledged; clusters are not acknowledged while a new one
 * waits for its endpoints.
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
  /** When the wait for each needed resource ends; empty while there is no stream. */
  readonly #waits = new Map<string, { readonly need: Need; readonly dueAt: number }>();
  /** Refused resources by type and name, which this stream would not send again by itself. */
  readonly #refused = new Map<string, RefusedAsk>();
  #protocol: Protocol;
  #unsent: AdsRequest[] = [];
  #open = false;
  #nodeSent = false;

  constructor(node: Node, accept: Accept, protocol: Protocol) {
    this.#node = node;
    this.#protocol = protocol;
    this.#held = new HeldResources(accept);
  }

  /** Takes effect with the next stream. */
  speak(protocol: Protocol): void {
    this.#protocol = protocol;
  }

  get state(): AdsState {
    return this.#held.state;
  }

  /** True while a received resource waits for what it needs to go live. */
  get warming(): boolean {
    return this.#held.missing('cluster').length + this.#held.missing('listener').length > 0;
  }

  /** Monotonic milliseconds; null while nothing is waited for. */
  get deadline(): number | null {
    let first: number | null = null;
    for (const { dueAt } of [...this.#waits.values(), ...this.#refused.values()])
      if (dueAt < Infinity) first = first === null ? dueAt : Math.min(first, dueAt);
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
      case 'answer':
        return this.#answered(event.answer, event.now, event.wall);
      case 'ended':
        this.#forgetStream();
        return { requests: [], findings: [] };
      case 'elapsed':
        return this.#elapsed(event.now);
      default:
        return event satisfies never;
    }
  }

  #opened(now: number): readonly AdsRequest[] {
    this.#forgetStream();
    this.#open = true;
    this.#topics.cluster.subscribed = true;
    const again = ADS_TYPES.filter((type) => this.#topics[type].subscribed && this.#hasWords(type));
    const requests = [...again.map((type) => this.#request(type)), ...this.#changedNames(null)];
    this.#watchWaits(now);
    return requests;
  }

  #forgetStream(): void {
    this.#open = false;
    this.#nodeSent = false;
    this.#unsent = [];
    this.#waits.clear();
    for (const type of ADS_TYPES) Object.assign(this.#topics[type], { nonce: '', asked: null });
    this.#refused.clear();
  }

  /** A first request without names may ask for all resources. */
  #hasWords(type: AdsType): boolean {
    const isNamed = type === 'endpoint' || type === 'secret';
    return !isNamed || !this.#protocol.emptyAsksForAll || this.#held.wanted(type).length > 0;
  }

  /** Schedules another request for a refused resource that would not be sent again by itself. */
  #noteRefused(type: AdsType, answer: AdsResponse, refused: readonly RefusedResource[], now: number): void {
    if (this.#protocol.refusedComesAgain) return;
    for (const { name } of [...answer.resources, ...answer.removed.map((name) => ({ name }))]) {
      const key = `${type} ${name}`;
      const before = this.#refused.get(key);
      this.#refused.delete(key);
      if (name === '' || !refused.some((each) => each.name === name)) continue;
      const afterMs = Math.min(ASK_AGAIN_LAST_MS, (before?.afterMs ?? ASK_AGAIN_MS / 2) * 2);
      this.#refused.set(key, { type, name, afterMs, dueAt: now + afterMs });
    }
  }

  /** Makes one request for each type with a refused resource that is due. */
  #askAgain(now: number): readonly AdsRequest[] {
    const due = [...this.#refused.values()].filter(({ dueAt }) => dueAt <= now);
    // The answer sets the time of the next request; without an answer there is none.
    for (const each of due) each.dueAt = Infinity;
    return ADS_TYPES.flatMap((type) => {
      const again = due.filter((each) => each.type === type).map(({ name }) => name);
      return again.length === 0 ? [] : [this.#request(type, { again })];
    });
  }

  #answered(answer: AdsResponse, now: number, wall: number): Outcome {
    const type = ADS_TYPES.find((each) => TYPE_URLS[each] === answer.typeUrl);
    if (type === undefined || this.#topics[type].asked === null)
      return { requests: [], findings: [{ kind: 'unasked', typeUrl: answer.typeUrl }] };
    this.#topics[type].nonce = answer.nonce;
    const { refused, remarks } = this.#held.apply(type, answer, wall);
    const findings = [
      ...this.#count(type, answer.version, refused, wall),
      ...remarks.map((each): Finding => ({ kind: 'tolerated', type, ...each })),
    ];
    const changed = this.#changedNames(type);
    this.#noteRefused(type, answer, refused, now);
    const refusal = refused.length > 0 ? refusalMessage(type, refused) : null;
    const requests = [...changed, ...this.#sendable(type, this.#request(type, { isAnswer: true, refusal }))];
    this.#watchWaits(now);
    return { requests, findings };
  }

  #elapsed(now: number): Outcome {
    const over = [...this.#waits.values()].filter(({ dueAt }) => dueAt <= now).map(({ need }) => need);
    const again = this.#open ? this.#askAgain(now) : [];
    if (over.length === 0) return { requests: again, findings: [] };
    this.#held.release(over);
    const requests = [...this.#changedNames(null), ...this.#sendable(null), ...again];
    this.#watchWaits(now);
    const findings = (['endpoint', 'secret'] as const).flatMap((type): Finding[] => {
      const names = over.filter((need) => need.type === type).map(({ name }) => name);
      return names.length === 0 ? [] : [{ kind: 'not-answered', type, names, timeoutMs: FETCH_TIMEOUT_MS }];
    });
    return { requests, findings };
  }

  #count(type: AdsType, version: string, refused: readonly RefusedResource[], at: number): readonly Finding[] {
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
   * Makes requests for the types whose names have changed, except `except`, whose answer is about
   * to send them.
   */
  #changedNames(except: AdsType | null): AdsRequest[] {
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

  /** Clusters wait until none of them is half complete, and then go first. */
  #sendable(type: AdsType | null, answer?: AdsRequest): readonly AdsRequest[] {
    const waits = this.#topics.listener.subscribed && this.#held.missing('cluster').length > 0;
    if (waits && type === 'cluster' && answer !== undefined) {
      this.#unsent.push(answer);
      return [];
    }
    const unsent = waits ? [] : this.#unsent;
    if (!waits) this.#unsent = [];
    return answer === undefined ? unsent : [...unsent, answer];
  }

  #request(type: AdsType, { isAnswer = false, refusal = null, again = [] }: Partial<AdsRequest> = {}): AdsRequest {
    const topic = this.#topics[type];
    const before = topic.asked;
    const names = type === 'endpoint' || type === 'secret' ? this.#held.wanted(type) : [];
    const node = this.#nodeSent ? null : this.#node;
    const version = this.state.versions[type];
    topic.subscribed = true;
    topic.asked = names;
    this.#nodeSent = true;
    const { nonce } = topic;
    const versions = new Map(before === null ? this.#held.versions(type) : []);
    return { type, node, names, before, again, version, versions, nonce, isAnswer, refusal };
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

/** Writes Envoy's message, which control planes and their users know. */
function refusalMessage(type: AdsType, refused: readonly RefusedResource[]): string {
  const reasons = refused.map(({ name, why }) => (name === '' ? why : `${name}: ${why}`)).join(', ');
  const message = `Error adding/updating ${WHAT[type]} ${reasons}`;
  return message.length <= MAX_MESSAGE ? message : `${message.slice(0, MAX_MESSAGE)}...(truncated)`;
}

function equal(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name, at) => name === other[at]);
}
