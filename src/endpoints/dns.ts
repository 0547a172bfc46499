/**
 * The addresses of names, on the control side: looked up before traffic needs them, refreshed while
 * traffic uses them, and kept when a look-up fails. It does not decide what may be dialled:
 * routing/choose.ts checks the address. Each name has one answer.
 */
import { LRUCache } from 'lru-cache';
import type { Clock, Timer } from '../base/clock.ts';
import type { Resolution } from '../model/endpoint-view.ts';
import { failed, failureReason, foundOf, only, sameResolution } from './dns-answers.ts';
import type { Family } from './dns-answers.ts';
import { isDnsName } from './dns-name.ts';
import { createSystemNames } from './system-names.ts';
import type { ResolvedAddresses } from './system-names.ts';

export interface ResolverOptions {
  readonly clock: Clock;
  /**
   * Looks a name up. The default asks as the operating system does, with hosts file, search list
   * and ndots, which a bare DNS client ignores.
   */
  readonly lookup?: (name: string, family: Family) => Promise<readonly string[] | ResolvedAddresses>;
  /**
   * Called for every first answer, for every changed one, and again for each `resolve` of a known
   * name, because its caller has lost the answer.
   */
  readonly onAnswer: (name: string, resolution: Resolution) => void;
  /** Called for each look-up that failed or timed out, even where the last good answer stays. */
  readonly onFailure?: (name: string, message: string) => void;
  /** Called for each look-up that ended or timed out, with its time. */
  readonly onTimed?: (result: 'answered' | 'failed', tookMs: number) => void;
  /**
   * The most concurrent look-ups. Names whose last one failed get half of them, so that others
   * never wait for them.
   */
  readonly maxConcurrent?: number;
  /** Bounds a look-up from its start, and a caller from its question. */
  readonly deadlineMs?: number;
  /** The most remembered answers for names outside of the snapshot. */
  readonly maxOthers?: number;
}

export interface Resolver {
  /**
   * Sets the names of the live configuration instead of the previous ones; new ones are looked up
   * at once.
   */
  want(names: ReadonlyMap<string, Family>): void;
  /**
   * Returns a known answer at once, else the answer of one look-up, shared by all callers. Never
   * rejects.
   */
  resolve(name: string, family: Family): Promise<Resolution>;
  /** Notes that traffic used the name. */
  touch(name: string): void;
  /** Returns the answers for the names of the configuration. */
  answers(): ReadonlyMap<string, Resolution>;
  close(): void;
}

interface Entry {
  readonly name: string;
  family: Family;
  answer: Resolution | null;
  /** The TTL of the last good answer; null where it had none. */
  ttlMs: number | null;
  /** When the answer came; a failure after a good answer counts as one. */
  answeredAt: number;
  usedAt: number;
  failures: number;
  /** True while it is queued or looked up. */
  busy: boolean;
  next: Timer | null;
  readonly waiters: Set<(resolution: Resolution) => void>;
}

/** Interval of look-ups for a name in use without a TTL; with one, the TTL within bounds counts. */
export const REFRESH_MS = 5_000;
export const MIN_TTL_MS = 1_000;
export const MAX_TTL_MS = 60_000;
/** A name that was not used for this long is looked up only this often. */
const UNUSED_MS = 600_000;
/** A look-up takes no thread, but some kilobytes. */
const MAX_CONCURRENT = 1_000;
const MAX_BACK_OFF_MS = 60_000;

export function createResolver(options: ResolverOptions): Resolver {
  return new DnsResolver(options);
}

class DnsResolver implements Resolver {
  readonly #clock: Clock;
  readonly #lookup: NonNullable<ResolverOptions['lookup']>;
  readonly #options: ResolverOptions;
  readonly #endLookups: () => void;
  readonly #deadlineMs: number;
  readonly #maxConcurrent: number;
  #wanted = new Map<string, Entry>();
  /** Entries without a timer. */
  readonly #others: LRUCache<string, Entry>;
  /**
   * In the order of their turns: names with waiting callers, other names, and the same two for
   * names whose last look-up failed.
   */
  readonly #queues: readonly [Set<Entry>, Set<Entry>, Set<Entry>, Set<Entry>] = [new Set(), new Set(), new Set(), new Set()];
  /** Deadlines of running look-ups. */
  readonly #deadlines = new Set<Timer>();
  #running = 0;
  /** Running look-ups of names whose previous look-up failed, or that are past their deadline. */
  #runningBad = 0;
  #closed = false;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#clock = options.clock;
    const system = options.lookup === undefined ? createSystemNames({ clock: options.clock }) : null;
    this.#lookup = options.lookup ?? ((name, family) => system?.find(name, family) ?? Promise.resolve([]));
    this.#endLookups = () => system?.close();
    this.#deadlineMs = options.deadlineMs ?? 5_000;
    this.#maxConcurrent = options.maxConcurrent ?? MAX_CONCURRENT;
    this.#others = new LRUCache({ max: options.maxOthers ?? 1_000 });
  }

  want(names: ReadonlyMap<string, Family>): void {
    if (this.#closed) return;
    const before = this.#wanted;
    this.#wanted = new Map();
    for (const [name, family] of names) {
      const known = before.get(name);
      before.delete(name);
      const entry = known ?? this.#others.get(name) ?? this.#newEntry(name, family);
      this.#others.delete(name);
      this.#wanted.set(name, entry);
      const otherFamily = entry.family !== family;
      entry.family = family;
      if (known !== undefined && !otherFamily) continue;
      if (known === undefined && entry.answer !== null) this.#options.onAnswer(name, entry.answer);
      if (isDnsName(name)) this.#look(entry);
    }
    for (const [name, entry] of before) {
      entry.next?.cancel();
      entry.next = null;
      if (this.#leaveQueue(entry)) entry.busy = false;
      this.#others.set(name, entry);
    }
  }

  resolve(name: string, family: Family): Promise<Resolution> {
    if (this.#closed) return Promise.resolve(failed('the egress is closing'));
    const entry = this.#wanted.get(name) ?? this.#others.get(name) ?? this.#newEntry(name, family);
    if (!this.#wanted.has(name)) this.#others.set(name, entry);
    entry.usedAt = this.#clock.now();
    const wider = entry.family === 'v4' && family === 'any';
    if (wider) entry.family = 'any';
    const { answer } = entry;
    if (!isDnsName(name)) {
      const refused = answer ?? failed('not a DNS name');
      this.#options.onAnswer(name, refused);
      return Promise.resolve(refused);
    }
    const stale = this.#isStale(entry);
    if (answer !== null && !wider && !(stale && answer.kind === 'failed')) {
      if (stale) this.#look(entry);
      this.#options.onAnswer(name, answer);
      return Promise.resolve(only(answer, family));
    }
    return this.#wait(entry, family);
  }

  touch(name: string): void {
    const entry = this.#wanted.get(name);
    if (entry === undefined || this.#closed) return;
    const now = this.#clock.now();
    const wasUnused = now - entry.usedAt >= UNUSED_MS;
    entry.usedAt = now;
    // Its next look-up may be far away.
    if (wasUnused && !entry.busy && isDnsName(name)) {
      if (this.#isStale(entry)) this.#look(entry);
      else this.#plan(entry, 0);
    }
  }

  answers(): ReadonlyMap<string, Resolution> {
    const found = new Map<string, Resolution>();
    for (const [name, { answer }] of this.#wanted) if (answer !== null) found.set(name, answer);
    return found;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endLookups();
    const queued = this.#queues.flatMap((queue) => [...queue]);
    for (const entry of [...this.#wanted.values(), ...this.#others.values(), ...queued]) {
      entry.next?.cancel();
      for (const waiter of entry.waiters) waiter(failed('the egress is closing'));
    }
    for (const deadline of this.#deadlines) deadline.cancel();
    this.#wanted.clear();
    this.#others.clear();
    for (const queue of this.#queues) queue.clear();
  }

  #newEntry(name: string, family: Family): Entry {
    const entry: Entry = {
      name,
      family,
      answer: null,
      ttlMs: null,
      answeredAt: -Infinity,
      usedAt: -Infinity,
      failures: 0,
      busy: false,
      next: null,
      waiters: new Set(),
    };
    if (!isDnsName(name)) {
      // No resolver gets this text: some read `127.1`, `0x7f000001` or the text before a NUL byte
      // as an address.
      entry.answer = failed('not a DNS name');
      this.#options.onFailure?.(name, entry.answer.message);
    }
    return entry;
  }

  #isStale(entry: Entry): boolean {
    return this.#clock.now() - entry.answeredAt >= this.#everyMs(entry);
  }

  /** Returns the TTL within its bounds. */
  #everyMs({ ttlMs }: Entry): number {
    return ttlMs === null ? REFRESH_MS : Math.max(MIN_TTL_MS, Math.min(ttlMs, MAX_TTL_MS));
  }

  #wait(entry: Entry, family: Family): Promise<Resolution> {
    return new Promise((resolve) => {
      const settle = (resolution: Resolution): void => {
        entry.waiters.delete(settle);
        deadline.cancel();
        resolve(only(resolution, family));
      };
      const deadline = this.#clock.after(this.#deadlineMs, () => {
        // The name may still be queued, without any answer.
        const last = entry.answer ?? failed(`no answer within ${this.#deadlineMs} ms`);
        this.#options.onAnswer(entry.name, last);
        settle(last);
      });
      entry.waiters.add(settle);
      this.#look(entry);
    });
  }

  /** Starts at most one look-up per name; names with waiting callers go first. */
  #look(entry: Entry): void {
    if (entry.busy) {
      if (entry.waiters.size > 0 && this.#leaveQueue(entry)) this.#queueOf(entry).add(entry);
      return;
    }
    entry.busy = true;
    entry.next?.cancel();
    entry.next = null;
    this.#queueOf(entry).add(entry);
    this.#pump();
  }

  #queueOf({ failures, waiters }: Entry): Set<Entry> {
    const [urgent, background, badUrgent, badBackground] = this.#queues;
    if (failures > 0) return waiters.size > 0 ? badUrgent : badBackground;
    return waiters.size > 0 ? urgent : background;
  }

  #leaveQueue(entry: Entry): boolean {
    return this.#queues.some((queue) => queue.delete(entry));
  }

  #pump(): void {
    for (const queue of this.#queues) {
      for (const entry of queue) {
        if (this.#running >= this.#maxConcurrent) return;
        if (entry.failures > 0 && this.#runningBad >= Math.ceil(this.#maxConcurrent / 2)) return;
        queue.delete(entry);
        void this.#run(entry);
      }
    }
  }

  async #run(entry: Entry): Promise<void> {
    const { family } = entry;
    const startedAt = this.#clock.now();
    const isBad = entry.failures > 0;
    let holdsPlace = true;
    const leave = (): void => {
      if (!holdsPlace) return;
      holdsPlace = false;
      this.#running--;
      if (isBad) this.#runningBad--;
    };
    this.#running++;
    if (isBad) this.#runningBad++;
    let overdue = false;
    // A look-up cannot be cancelled; a late answer still counts.
    const deadline = this.#clock.after(this.#deadlineMs, () => {
      overdue = true;
      this.#options.onTimed?.('failed', this.#clock.now() - startedAt);
      this.#deadlines.delete(deadline);
      this.#fail(entry, `no answer within ${this.#deadlineMs} ms`);
      leave();
      this.#pump();
    });
    this.#deadlines.add(deadline);
    let found: ResolvedAddresses = { addresses: [], ttl: null };
    let trouble = 'it has no address';
    try {
      found = foundOf(await this.#lookup(entry.name, family), family);
    } catch (error) {
      trouble = failureReason(error);
    }
    deadline.cancel();
    this.#deadlines.delete(deadline);
    leave();
    entry.busy = false;
    if (this.#closed) return;
    const took = this.#clock.now() - startedAt;
    // Past the deadline it was counted there.
    if (!overdue) this.#options.onTimed?.(found.addresses.length > 0 ? 'answered' : 'failed', took);
    if (found.addresses.length > 0) this.#succeed(entry, found);
    else if (!overdue) this.#fail(entry, trouble);
    if (entry.family !== family) this.#look(entry);
    else if (this.#wanted.get(entry.name) === entry && !entry.busy) this.#plan(entry, took);
    this.#pump();
  }

  #succeed(entry: Entry, { addresses, ttl }: ResolvedAddresses): void {
    entry.failures = 0;
    entry.ttlMs = ttl === null ? null : ttl * 1_000;
    this.#settle(entry, { kind: 'resolved', addresses });
  }

  #fail(entry: Entry, message: string): void {
    if (this.#closed) return;
    entry.failures++;
    this.#options.onFailure?.(entry.name, message);
    // The last good answer stays.
    this.#settle(entry, entry.answer?.kind === 'resolved' ? entry.answer : failed(message));
  }

  #settle(entry: Entry, resolution: Resolution): void {
    const changed = entry.answer === null || !sameResolution(entry.answer, resolution);
    if (changed) entry.answer = resolution;
    entry.answeredAt = this.#clock.now();
    if (changed || entry.waiters.size > 0) this.#options.onAnswer(entry.name, resolution);
    for (const waiter of entry.waiters) waiter(resolution);
  }

  /** Schedules the next look-up. `tookMs`: after a slow look-up the pause is at least as long. */
  #plan(entry: Entry, tookMs: number): void {
    const unused = this.#clock.now() - entry.usedAt >= UNUSED_MS;
    const backOff = Math.min(MAX_BACK_OFF_MS, REFRESH_MS * 2 ** Math.min(entry.failures, 16));
    const usedMs = entry.failures > 0 ? REFRESH_MS : this.#everyMs(entry);
    const restMs = unused ? (entry.failures > 0 ? Math.min(backOff, UNUSED_MS) : UNUSED_MS) : usedMs;
    entry.next?.cancel();
    entry.next = this.#clock.after(Math.max(restMs, tookMs), () => this.#look(entry));
  }
}
