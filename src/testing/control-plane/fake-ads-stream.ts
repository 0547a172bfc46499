/** One ADS stream of the fake control plane: its proxy, its requests, its pending answers. */
import type { Clock, Timer } from '../../base/clock.ts';
import { ADS_TYPES } from '../../xds/messages/ads-state.ts';
import type { AdsType } from '../../xds/messages/ads-state.ts';
import { adsTypeOf } from './envoy-resources.ts';
import { GARBAGE } from './fake-ads-form.ts';
import type { FakeAsk, FakeForm, FakeServed } from './fake-ads-form.ts';
import { notFound } from './fake-ads.ts';
import type { AdsPort, FakeAds } from './fake-ads.ts';
import { readNode } from './fake-node.ts';

const UNKNOWN = 2;

/** The last request of a stream for one type. */
interface Watch {
  ask: FakeAsk;
  /** Nonce of the last response; empty before the first. */
  nonce: string;
  /** True for a request without an answer. */
  open: boolean;
  /** True after the first answer. */
  answered: boolean;
  /** The pause before the next answer, after a refused one. */
  pauseMs: number;
  delayed: Timer | null;
}

export class FakeAdsStream {
  readonly #ads: FakeAds;
  readonly #number: number;
  readonly #port: AdsPort;
  readonly #authorization: readonly string[];
  readonly #form: FakeForm;
  /** False in the delta form: a refused answer is not repeated, and only its type waits. */
  readonly #repeats: boolean;
  readonly #watches = new Map<AdsType, Watch>();
  readonly #timers = new Set<Timer>();
  /** Requests that came while the stream sleeps; null while it is awake. */
  #waiting: FakeAsk[] | null = null;
  #nonce = 0;
  #node: { readonly id: string; readonly withResource: boolean } | null = null;
  /** True for an accepted stream that never gets an answer. */
  #silent = false;
  #over = false;

  constructor(
    ads: FakeAds,
    number: number,
    port: AdsPort,
    {
      authorization,
      form,
      repeats,
    }: { readonly authorization: readonly string[]; readonly form: FakeForm; readonly repeats: boolean },
  ) {
    this.#ads = ads;
    this.#form = form;
    this.#repeats = repeats;
    this.#number = number;
    this.#port = port;
    this.#authorization = authorization;
  }

  request(bytes: Uint8Array): void {
    const message = this.#form.read(bytes);
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

  #register(message: FakeAsk): void {
    const { clock, version, refusal, firstAnswerMs } = this.#ads.options;
    const isSilent = version === '3.0' && this.#repeats;
    const read = readNode(message.node, isSilent ? '2.14' : version);
    if (read.kind === 'refused' && read.beforeToken) return this.end(UNKNOWN, read.why);
    const refused = refusal(this.#authorization, read);
    if (refused !== null) return this.end(UNKNOWN, refused);
    if (read.kind === 'refused') return this.end(UNKNOWN, read.why);
    const busy = this.#ads.register(read.id, read.name, read.withResource);
    if (busy !== null) return this.end(UNKNOWN, busy);
    this.#node = read;
    // 3.0 accepts a stream of the state of the world and never answers it.
    this.#silent = read.silent || (version === '3.0' && this.#repeats);
    if (firstAnswerMs === 0) return this.#handle(message);
    this.#waiting = [message];
    this.#after(clock, firstAnswerMs, () => this.#wake());
  }

  #handle(message: FakeAsk): void {
    const type = adsTypeOf(message.typeUrl);
    if (type === null) return;
    if (message.error !== null && this.#repeats) {
      // All types wait for their answers, not only this one.
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

  #watch(type: AdsType, ask: FakeAsk): void {
    const before = this.#watches.get(type);
    // In the delta form a change of names is independent of the nonce.
    if (before !== undefined && before.nonce !== '' && before.nonce !== ask.nonce && (this.#repeats || ask.nonce !== '')) return;
    this.#watches.set(type, {
      ask,
      nonce: before?.nonce ?? '',
      open: true,
      answered: before?.answered ?? false,
      pauseMs: ask.error === null ? (before?.pauseMs ?? 0) : this.#ads.options.nackBackoffMs,
      delayed: before?.delayed ?? null,
    });
  }

  #wake(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    this.answerAll();
    for (const [index, message] of waiting.entries()) {
      this.#handle(message);
      // A NACK among them makes it sleep again.
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
    const delay = (this.#ads.delays.get(type) ?? 0) + (this.#repeats ? 0 : watch.pauseMs);
    if (delay === 0) return this.#send(type, watch);
    watch.delayed ??= this.#after(this.#ads.options.clock, delay, () => {
      const now = this.#watches.get(type);
      if (now === undefined) return;
      now.delayed = null;
      if (this.#due(type, now)) this.#send(type, now);
    });
  }

  #served(type: AdsType): FakeServed {
    return this.#ads.servedTo(this.#node?.id ?? '')[type];
  }

  #due(type: AdsType, watch: Watch): boolean {
    if (this.#over || this.#silent || this.#asleep() || this.#ads.stalled.has(type) || !watch.open) return false;
    return this.#form.due(type, this.#served(type), watch);
  }

  #send(type: AdsType, watch: Watch): void {
    const nonce = String(++this.#nonce);
    this.#respond(type, watch, nonce, this.#form.answer(type, this.#served(type), watch, nonce));
  }

  #respond(type: AdsType, watch: Watch, nonce: string, { versionInfo, bytes }: ReturnType<FakeForm['answer']>): void {
    watch.nonce = nonce;
    watch.open = false;
    watch.answered = true;
    watch.pauseMs = 0;
    this.#ads.responses.push({ stream: this.#number, type, versionInfo, nonce });
    this.#port.send(bytes);
  }

  sendGarbage(type: AdsType, what: 'resource' | 'message'): void {
    const watch = this.#watches.get(type);
    if (this.#over || watch === undefined) return;
    if (what === 'message') return this.#port.send(GARBAGE);
    const nonce = String(++this.#nonce);
    this.#respond(type, watch, nonce, this.#form.garbage(type, nonce));
  }

  resourceDeleted(name: string): void {
    const id = this.#node?.id;
    if (id !== undefined && !this.#over && (id === name || id === `.${name}`)) this.#fail(notFound(id));
  }

  /** A registered stream gets its error only when its name is free again. */
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
