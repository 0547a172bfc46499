import type { Clock, Timer } from '../../base/clock.ts';
import { within } from '../../base/within.ts';
import { Poster } from './post.ts';
import type { PostAnswer } from './post.ts';

export interface DeliveryOptions<Item> {
  readonly url: URL;
  readonly clock: Clock;
  /** Writes a batch as the body of a request. */
  readonly serialize: (items: readonly Item[]) => Uint8Array;
  /** Reads the headers of the operator; a rejection says why there are none. */
  readonly headers: () => Promise<Readonly<Record<string, string>>>;
  /** Counts items that a collector took, or that are left out. */
  readonly onItems: (result: 'sent' | 'dropped', count: number) => void;
  /** Called when it stops to work, at most once a minute. */
  readonly onFailure: (failure: Failure) => void;
  /** Called when it works again. */
  readonly onRecovered: () => void;
}

export interface Failure {
  /** One sentence without secrets. */
  readonly why: string;
  /** Tells an operator what to do. */
  readonly advice: string;
}

/** Items that wait while a batch is on its way; a span has 1.6 kB on average. */
export const MOST_WAITING = 2_048;
/** Writing this many as JSON takes less than half a millisecond of the thread. */
export const BATCH = 128;
/** Items within this time share a request. */
const GATHER_MS = 1_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** A batch that a collector cannot take must not stand before the others for ever. */
const MOST_TRIES = 8;
const TOLD_AGAIN_MS = 60_000;
/** The most time for the last batches. */
const CLOSE_MS = 2_000;

interface Batch {
  readonly body: Uint8Array;
  readonly count: number;
  tries: number;
}

type Outcome =
  | { readonly kind: 'sent'; readonly rejected: number; readonly failure: Failure | null }
  | { readonly kind: 'again'; readonly failure: Failure; readonly afterMs: number | null }
  | { readonly kind: 'lost'; readonly failure: Failure };

/**
 * Sends spans, or log records, to a collector in batches, one after the other. It holds up no
 * session: items above a bound are dropped and counted.
 */
export class Delivery<Item> {
  readonly #options: DeliveryOptions<Item>;
  readonly #poster: Poster;
  #waiting: Item[] = [];
  #batch: Batch | null = null;
  #running: Promise<void> | null = null;
  #pause: { readonly timer: Timer; readonly over: () => void } | null = null;
  #isGathering = false;
  #retryMs = FIRST_RETRY_MS;
  #toldAt: number | null = null;
  /** `silent`: the last report is too young for another, of this failure or of its end. */
  #failing: 'no' | 'told' | 'silent' = 'no';
  #state: 'open' | 'ending' | 'closed' = 'open';

  constructor(options: DeliveryOptions<Item>) {
    this.#options = options;
    this.#poster = new Poster(options.url, options.clock);
  }

  /** Returns at once. */
  add(item: Item): void {
    if (this.#state !== 'open' || this.#waiting.length >= MOST_WAITING) return this.#options.onItems('dropped', 1);
    this.#waiting.push(item);
    if (this.#isGathering && this.#waiting.length >= BATCH) this.#wake();
    this.#running ??= this.#run();
  }

  /** Sends what waits, for at most two seconds; drops the rest. */
  async close(): Promise<void> {
    this.#state = 'ending';
    this.#wake();
    await within(CLOSE_MS, this.#running ?? undefined);
    this.#state = 'closed';
    this.#poster.close();
    this.#dropAll();
  }

  async #run(): Promise<void> {
    await this.#wait(GATHER_MS, true);
    while (this.#batch !== null || this.#waiting.length > 0) {
      const batch = (this.#batch ??= this.#next());
      if (batch === null) continue;
      const outcome = await this.#send(batch);
      // A batch that was on its way at the end is counted already.
      if (this.#state === 'closed') break;
      if (outcome.kind !== 'again') this.#batch = null;
      const waitMs = this.#settle(batch, outcome);
      if (this.#state === 'ending' && outcome.kind === 'again') break;
      await this.#wait(waitMs, outcome.kind === 'sent');
    }
    // In the turn of the last look: what is added from now on begins anew.
    this.#running = null;
  }

  /** Returns the time until the next batch. */
  #settle(batch: Batch, outcome: Outcome): number {
    const { onItems } = this.#options;
    if (outcome.kind === 'sent') {
      onItems('sent', batch.count - outcome.rejected);
      if (outcome.rejected > 0) onItems('dropped', outcome.rejected);
      this.#retryMs = FIRST_RETRY_MS;
      if (outcome.failure === null) this.#recovered();
      else this.#failed(outcome.failure);
      return this.#waiting.length >= BATCH ? 0 : GATHER_MS;
    }
    this.#failed(outcome.failure);
    if (outcome.kind === 'lost') {
      onItems('dropped', batch.count);
      return GATHER_MS;
    }
    if (++batch.tries >= MOST_TRIES) {
      this.#batch = null;
      onItems('dropped', batch.count);
    }
    const ms = Math.min(outcome.afterMs ?? this.#retryMs, LONGEST_RETRY_MS);
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
    return ms;
  }

  async #send({ body, count }: Batch): Promise<Outcome> {
    const { headers } = this.#options;
    try {
      return outcomeOf(await this.#poster.post(body, await headers()), count);
    } catch (error) {
      return {
        kind: 'again',
        afterMs: null,
        failure: { why: sentence(error), advice: 'look at the file of --otlp-headers-file' },
      };
    }
  }

  /** Null where the SDK cannot write it: the items are left out. */
  #next(): Batch | null {
    const items = this.#waiting.splice(0, BATCH);
    try {
      return { body: this.#options.serialize(items), count: items.length, tries: 0 };
    } catch (error) {
      this.#options.onItems('dropped', items.length);
      this.#failed({ why: sentence(error), advice: 'report it: this is a bug of the egress or of the SDK' });
      return null;
    }
  }

  /** While items are gathered, a full batch ends the wait. */
  #wait(ms: number, gathers: boolean): Promise<void> {
    if (ms === 0 || this.#state !== 'open') return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const over = (): void => {
      this.#pause?.timer.cancel();
      this.#pause = null;
      resolve();
    };
    this.#isGathering = gathers;
    this.#pause = { timer: this.#options.clock.after(ms, over), over };
    return promise;
  }

  #wake(): void {
    this.#pause?.over();
  }

  #failed(failure: Failure): void {
    if (this.#failing !== 'no') return;
    const now = this.#options.clock.now();
    const isSoon = this.#toldAt !== null && now - this.#toldAt < TOLD_AGAIN_MS;
    this.#failing = isSoon ? 'silent' : 'told';
    if (isSoon) return;
    this.#toldAt = now;
    this.#options.onFailure(failure);
  }

  #recovered(): void {
    const was = this.#failing;
    this.#failing = 'no';
    if (was === 'told') this.#options.onRecovered();
  }

  #dropAll(): void {
    const count = this.#waiting.length + (this.#batch?.count ?? 0);
    this.#waiting = [];
    this.#batch = null;
    if (count > 0) this.#options.onItems('dropped', count);
  }
}

/** The specification names these: a collector that answers one may take the same batch later. */
const LATER: ReadonlySet<number> = new Set([429, 502, 503, 504]);

const NOT_HTTP =
  'give as --otlp-endpoint the collector for OTLP over HTTP, whose port is 4318 as a rule; 4317 is that of gRPC, which is not spoken here';

function outcomeOf(answer: PostAnswer, count: number): Outcome {
  if (answer.kind === 'none') {
    const advice = /^Parse Error/.test(answer.why) ? NOT_HTTP : 'look whether the collector runs, and at --otlp-endpoint';
    return { kind: 'again', afterMs: null, failure: { why: answer.why, advice } };
  }
  const { status, retryAfterMs, text } = answer;
  if (status >= 200 && status <= 299) {
    const rejected = Math.min(rejectedIn(text), count);
    const failure = { why: `it refused ${rejected} of ${count}`, advice: 'look at the log of the collector' };
    return { kind: 'sent', rejected, failure: rejected === 0 ? null : failure };
  }
  const failure = { why: `it answered ${status}`, advice: adviceFor(status) };
  return LATER.has(status) ? { kind: 'again', afterMs: retryAfterMs, failure } : { kind: 'lost', failure };
}

function adviceFor(status: number): string {
  if (status === 401 || status === 403) return 'give a valid token in the file of --otlp-headers-file';
  if (status >= 300 && status <= 399) return 'give the URL that it leads to as --otlp-endpoint';
  if (status === 404 || status === 405)
    return 'look at the path of --otlp-endpoint, and whether the collector takes both spans and logs';
  return 'look at the log of the collector';
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Reads the partial success of an answer; other texts say nothing. */
function rejectedIn(text: string): number {
  try {
    const answer: unknown = JSON.parse(text);
    const partial = fieldOf(answer, 'partialSuccess');
    const count = Number(fieldOf(partial, 'rejectedSpans') ?? fieldOf(partial, 'rejectedLogRecords') ?? 0);
    return Number.isSafeInteger(count) && count > 0 ? count : 0;
  } catch {
    return 0;
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Object.entries(value).find(([key]) => key === name)?.[1] : undefined;
}
