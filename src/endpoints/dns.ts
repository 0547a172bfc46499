/**
 * The addresses of names, on the control side: looked up before traffic needs them, kept fresh while traffic uses them, and kept when a look-up fails.
 * What may be dialled is not decided here: routing/choose.ts looks at the address. One answer per name.
 */
import { Resolver as DnsClient, lookup as systemLookup } from 'node:dns/promises';
import { isIP, isIPv4 } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Clock, Timer } from '../base/clock.ts';
import type { Resolution } from '../model/endpoint-view.ts';

/** Which addresses: A records only, or AAAA records too. */
export type Family = 'v4' | 'any';

export interface ResolverOptions {
  readonly clock: Clock;
  /** As the operating system does unless given: hosts file, search list and ndots count, which a bare DNS client knows nothing of. */
  readonly lookup?: (name: string, family: Family) => Promise<readonly string[]>;
  /** Every first answer, every other one than before, and again for each `resolve` of a name that is known: whoever asks has lost it. */
  readonly onAnswer: (name: string, resolution: Resolution) => void;
  /** Each look-up that failed or took too long, also where the last good answer stays. */
  readonly onFailure?: (name: string, message: string) => void;
  /** How long the addresses may be kept as the records in DNS say, in seconds; null where DNS has no such record. Asks DNS unless `lookup` is given. */
  readonly ttl?: (name: string, addresses: readonly string[]) => Promise<number | null>;
  /** How often a name in use is looked up, where the TTL of its records is not longer. */
  readonly refreshMs?: number;
  /** At least this often, however long the TTL. */
  readonly maxTtlMs?: number;
  /** A name without use for this long is looked up this often only. */
  readonly unusedMs?: number;
  /**
   * getaddrinfo blocks a thread of the pool that files need too. libuv gives look-ups half of it, rounded up: with the usual four threads
   * two hanging ones hold up all others, so that a pool of ten is needed for these and `MAX_ABANDONED` more (see main.ts).
   */
  readonly maxConcurrent?: number;
  /** For a look-up from its start, and for an asker from the question. */
  readonly deadlineMs?: number;
  /** Names outside of the snapshot whose answers are remembered. */
  readonly maxOthers?: number;
}

export interface Resolver {
  /** The names of the configuration that is live, in place of the ones before; new ones are looked up at once. */
  want(names: ReadonlyMap<string, Family>): void;
  /** What is known at once, else after one look-up, however many ask. Never rejects. */
  resolve(name: string, family: Family): Promise<Resolution>;
  /** Traffic used the name. */
  touch(name: string): void;
  /** Of the names that are wanted. */
  answers(): ReadonlyMap<string, Resolution>;
  close(): void;
}

interface Entry {
  readonly name: string;
  family: Family;
  answer: Resolution | null;
  /** What the records of the last good answer allow; null where nothing is known of it. */
  ttlMs: number | null;
  /** When the answer came; a failure behind a good answer counts as one. */
  answeredAt: number;
  usedAt: number;
  failures: number;
  /** Queued or under way. */
  busy: boolean;
  next: Timer | null;
  readonly waiters: Set<(resolution: Resolution) => void>;
}

/** How often a name in use is looked up where nothing else is known, and at the least. */
export const REFRESH_MS = 5_000;
export const MAX_TTL_MS = 60_000;
/** Look-ups past their deadline that take no place from others. What hangs beyond these does. */
const MAX_ABANDONED = 3;
const MAX_BACK_OFF_MS = 60_000;
const TTL_TIMEOUT_MS = 2_000;

export function createResolver(options: ResolverOptions): Resolver {
  return new DnsResolver(options);
}

class DnsResolver implements Resolver {
  readonly #clock: Clock;
  readonly #lookup: NonNullable<ResolverOptions['lookup']>;
  readonly #options: ResolverOptions;
  readonly #ttl: ResolverOptions['ttl'];
  readonly #dnsClient = new DnsClient({ timeout: TTL_TIMEOUT_MS, tries: 1 });
  readonly #refreshMs: number;
  readonly #maxTtlMs: number;
  readonly #unusedMs: number;
  readonly #deadlineMs: number;
  readonly #maxConcurrent: number;
  #wanted = new Map<string, Entry>();
  /** Kept without a timer. */
  readonly #others: LRUCache<string, Entry>;
  /** Somebody waits for these. */
  readonly #urgent = new Set<Entry>();
  readonly #background = new Set<Entry>();
  /** Of the look-ups that run. */
  readonly #deadlines = new Set<Timer>();
  #running = 0;
  /** Of those that run, the ones past their deadline. */
  #overdue = 0;
  #closed = false;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#lookup = options.lookup ?? bySystem;
    const ownTtl: ResolverOptions['ttl'] = (name, addresses) => ttlInDns(this.#dnsClient, name, addresses);
    this.#ttl = options.ttl ?? (options.lookup === undefined ? ownTtl : undefined);
    this.#refreshMs = options.refreshMs ?? REFRESH_MS;
    this.#maxTtlMs = options.maxTtlMs ?? MAX_TTL_MS;
    this.#unusedMs = options.unusedMs ?? 600_000;
    this.#deadlineMs = options.deadlineMs ?? 5_000;
    this.#maxConcurrent = options.maxConcurrent ?? 2;
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
      if (this.#background.delete(entry)) entry.busy = false;
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
    const wasUnused = now - entry.usedAt >= this.#unusedMs;
    entry.usedAt = now;
    // It waits for a turn that is far away.
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
    this.#dnsClient.cancel();
    const queued = [...this.#urgent, ...this.#background];
    for (const entry of [...this.#wanted.values(), ...this.#others.values(), ...queued]) {
      entry.next?.cancel();
      for (const waiter of entry.waiters) waiter(failed('the egress is closing'));
    }
    for (const deadline of this.#deadlines) deadline.cancel();
    this.#wanted.clear();
    this.#others.clear();
    this.#urgent.clear();
    this.#background.clear();
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
      // No resolver ever sees it: some take `127.1`, `0x7f000001` or what follows a NUL byte for an address.
      entry.answer = failed('not a DNS name');
      this.#options.onFailure?.(name, entry.answer.message);
    }
    return entry;
  }

  #isStale(entry: Entry): boolean {
    return this.#clock.now() - entry.answeredAt >= this.#everyMs(entry);
  }

  /** The TTL, not below the usual time and not above the ceiling. */
  #everyMs({ ttlMs }: Entry): number {
    return ttlMs === null ? this.#refreshMs : Math.max(this.#refreshMs, Math.min(ttlMs, this.#maxTtlMs));
  }

  #wait(entry: Entry, family: Family): Promise<Resolution> {
    return new Promise((resolve) => {
      const settle = (resolution: Resolution): void => {
        entry.waiters.delete(settle);
        deadline.cancel();
        resolve(only(resolution, family));
      };
      const deadline = this.#clock.after(this.#deadlineMs, () => {
        // It may still be in the queue, with nothing told of it yet.
        const last = entry.answer ?? failed(`no answer within ${this.#deadlineMs} ms`);
        this.#options.onAnswer(entry.name, last);
        settle(last);
      });
      entry.waiters.add(settle);
      this.#look(entry);
    });
  }

  /** One look-up per name at a time; names that somebody waits for go first. */
  #look(entry: Entry): void {
    if (entry.waiters.size > 0 && this.#background.delete(entry)) this.#urgent.add(entry);
    if (entry.busy) return;
    entry.busy = true;
    entry.next?.cancel();
    entry.next = null;
    (entry.waiters.size > 0 ? this.#urgent : this.#background).add(entry);
    this.#pump();
  }

  #pump(): void {
    for (const queue of [this.#urgent, this.#background]) {
      for (const entry of queue) {
        if (this.#running - Math.min(this.#overdue, MAX_ABANDONED) >= this.#maxConcurrent) return;
        queue.delete(entry);
        void this.#run(entry);
      }
    }
  }

  async #run(entry: Entry): Promise<void> {
    const { family } = entry;
    const startedAt = this.#clock.now();
    this.#running++;
    let overdue = false;
    // A look-up cannot be called off; what it says late still counts.
    const deadline = this.#clock.after(this.#deadlineMs, () => {
      overdue = true;
      this.#overdue++;
      this.#deadlines.delete(deadline);
      this.#fail(entry, `no answer within ${this.#deadlineMs} ms`);
      this.#pump();
    });
    this.#deadlines.add(deadline);
    let addresses: readonly string[] = [];
    let trouble = 'it has no address';
    try {
      addresses = sorted(await this.#lookup(entry.name, family), family);
    } catch (error) {
      trouble = reason(error);
    }
    deadline.cancel();
    this.#deadlines.delete(deadline);
    this.#running--;
    if (overdue) this.#overdue--;
    entry.busy = false;
    if (this.#closed) return;
    const took = this.#clock.now() - startedAt;
    if (addresses.length > 0) this.#succeed(entry, addresses);
    else if (!overdue) this.#fail(entry, trouble);
    if (entry.family !== family) this.#look(entry);
    else if (this.#wanted.get(entry.name) === entry && !entry.busy) this.#plan(entry, took);
    this.#pump();
  }

  #succeed(entry: Entry, addresses: readonly string[]): void {
    entry.failures = 0;
    entry.ttlMs = null;
    this.#settle(entry, { kind: 'resolved', addresses });
    if (this.#ttl !== undefined && this.#wanted.get(entry.name) === entry) void this.#askTtl(this.#ttl, entry, addresses);
  }

  /** Behind the answer, which nobody waits longer for because of it. */
  async #askTtl(ttl: NonNullable<ResolverOptions['ttl']>, entry: Entry, addresses: readonly string[]): Promise<void> {
    const seconds = await ttl(entry.name, addresses).catch(() => null);
    if (seconds === null || this.#closed || entry.failures > 0 || this.#wanted.get(entry.name) !== entry) return;
    entry.ttlMs = seconds * 1_000;
    if (!entry.busy) this.#plan(entry, 0);
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

  /** When the name is looked up again. `tookMs`: one that blocks a thread for long rests as long. */
  #plan(entry: Entry, tookMs: number): void {
    const unused = this.#clock.now() - entry.usedAt >= this.#unusedMs;
    const backOff = Math.min(MAX_BACK_OFF_MS, this.#refreshMs * 2 ** Math.min(entry.failures, 16));
    const usedMs = entry.failures > 0 ? this.#refreshMs : this.#everyMs(entry);
    const restMs = unused ? (entry.failures > 0 ? Math.min(backOff, this.#unusedMs) : this.#unusedMs) : usedMs;
    entry.next?.cancel();
    entry.next = this.#clock.after(Math.max(restMs, tookMs), () => this.#look(entry));
  }
}

/**
 * Whether a text may be given to a resolver: ASCII labels of a host name, underscores too, with or without the dot at the end.
 * A last label that is a number makes it an address in an odd spelling, not a name.
 */
export function isDnsName(name: string): boolean {
  if (name.length === 0 || name.length > 254 || isIP(name) !== 0) return false;
  const labels = (name.endsWith('.') ? name.slice(0, -1) : name).split('.');
  if (!labels.every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}$/.test(label) && !label.endsWith('-'))) return false;
  if (labels.join('.').length > 253) return false;
  return !/^(?:[0-9]+|0[xX][0-9A-Fa-f]*)$/.test(labels.at(-1) ?? '');
}

async function bySystem(name: string, family: Family): Promise<readonly string[]> {
  const found = await systemLookup(name, { all: true, order: 'verbatim', family: family === 'v4' ? 4 : 0 });
  return found.map(({ address }) => address);
}

/** getaddrinfo tells no TTL: the records are asked for, and count where they are the ones of the answer. Takes no thread of the pool. */
export async function ttlInDns(client: DnsClient, name: string, addresses: readonly string[]): Promise<number | null> {
  const asked = [
    ...(addresses.some((ip) => isIPv4(ip)) ? [client.resolve4(name, { ttl: true })] : []),
    ...(addresses.some((ip) => !isIPv4(ip)) ? [client.resolve6(name, { ttl: true })] : []),
  ];
  const records = (await Promise.all(asked)).flat();
  const seen = new Set(records.map(({ address }) => address));
  return addresses.every((ip) => seen.has(ip)) ? Math.min(...records.map(({ ttl }) => ttl)) : null;
}

/** Each address once, IPv4 first, in an order that does not change with the server's rotation. */
function sorted(addresses: readonly string[], family: Family): readonly string[] {
  const usable = addresses.filter((ip) => (family === 'v4' ? isIPv4(ip) : isIP(ip) !== 0));
  return [...new Set(usable)].sort((a, b) => isIP(a) - isIP(b) || (a < b ? -1 : 1));
}

function only(resolution: Resolution, family: Family): Resolution {
  if (resolution.kind === 'failed' || family === 'any') return resolution;
  const addresses = resolution.addresses.filter((ip) => isIPv4(ip));
  return addresses.length > 0 ? { kind: 'resolved', addresses } : failed('it has no IPv4 address');
}

function sameResolution(a: Resolution, b: Resolution): boolean {
  if (a.kind === 'failed' || b.kind === 'failed') return a.kind === 'failed' && b.kind === 'failed' && a.message === b.message;
  return a.addresses.length === b.addresses.length && a.addresses.every((ip, i) => ip === b.addresses[i]);
}

function failed(message: string): Extract<Resolution, { kind: 'failed' }> {
  return { kind: 'failed', message };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'no such name',
  ENODATA: 'it has no address',
  EAI_AGAIN: 'the resolver does not answer now',
  ETIMEOUT: 'the resolver does not answer',
  ESERVFAIL: 'the server failed',
};

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return message;
  const known = REASONS[code];
  return known === undefined ? code : `${known} (${code})`;
}
