import type { Clock } from '../../base/clock.ts';
import type { Problem } from '../../base/problem.ts';
import { unlessAborted } from '../../base/unless-aborted.ts';
import { BootstrapError } from '../../xds/bootstrap/bootstrap-problem.ts';
import { ConfigError } from './config-source.ts';
import type { ConfigSource, JoinedProxy } from './config-source.ts';
import { OF_A_CONTROL_PLANE } from './control-plane-source.ts';
import { JoiningProxy } from './joining-proxy.ts';
import type { JoiningProxyOptions } from './joining-proxy.ts';
import { mergeProxies } from './merge-proxies.ts';
import type { ProxyConfig } from './merge-proxies.ts';
import { entryId } from './proxy-roster.ts';
import type { ProxyRoster, RosterEntry } from './proxy-roster.ts';

export interface SeveralProxiesOptions extends Pick<JoiningProxyOptions, 'clock' | 'join' | 'onRefused'> {
  readonly roster: ProxyRoster;
  /** Called when a proxy begins to leave, and when what it served is no longer served. */
  readonly onLeave: (id: string, isGone: boolean) => void;
}

/** How long the first proxy that has joined waits for the others, at the start only. */
const WAIT_FOR_OTHERS_MS = 10_000;

/**
 * Makes several proxies of one process the source: each joins its control plane on its own, and
 * what they serve is merged. One that cannot join stops no other, and one that comes or goes
 * touches no other.
 */
export function severalProxiesSource(options: SeveralProxiesOptions): ConfigSource {
  const several = new SeveralProxies(options);
  return {
    about: { mode: 'control plane', source: options.roster.about },
    ...(options.roster.warnings === undefined ? {} : { warnings: options.roster.warnings }),
    behaviour: OF_A_CONTROL_PLANE,
    start: (signal) => unlessAborted(signal, () => several.start()),
    load: () => several.load(),
    watch: (changed) => several.watch(changed),
    proxies: () => several.states(),
    wentLive: () => several.wentLive(),
    keptSince: () => several.keptSince(),
    leave: () => several.leave(),
    close: () => several.close(),
  };
}

class SeveralProxies {
  readonly #options: SeveralProxiesOptions;
  readonly #clock: Clock;
  readonly #proxies = new Map<string, JoiningProxy>();
  readonly #started = Promise.withResolvers<void>();
  #changed: (() => void) | null = null;
  /** True for a change that no load has seen. */
  #isNews = false;
  /** Problems of the list itself. */
  #problems: readonly Problem[] = [];
  #unwatch: (() => void) | null = null;
  /** Reads of the list run one after another. */
  #reading: Promise<void> = Promise.resolve();
  #adminPort: number | null = null;
  #waits: { cancel(): void } | null = null;
  /** True when the list is no longer followed. */
  #leaves = false;
  #closed = false;

  constructor(options: SeveralProxiesOptions) {
    this.#options = options;
    this.#clock = options.clock;
    // It may reject before the start waits for it.
    this.#started.promise.catch(() => {});
  }

  async start(): Promise<void> {
    await this.#follow();
    if (this.#proxies.size === 0) throw new ConfigError(this.#problems);
    this.#unwatch = this.#options.roster.watch(() => void this.#follow());
    if (this.#closed || this.#leaves) this.#unwatch();
    this.#look();
    await this.#started.promise;
  }

  async load(): ReturnType<ConfigSource['load']> {
    this.#isNews = false;
    const all = this.#inOrder();
    for (const proxy of all) await proxy.load();
    const live = all.flatMap((proxy): readonly ProxyConfig[] =>
      proxy.good === null ? [] : [{ id: proxy.id, mesh: proxy.mesh, config: proxy.good }],
    );
    // A later one would need a restart.
    this.#adminPort ??= live[0]?.config.listener.adminPort ?? null;
    const merged = await mergeProxies(live, { adminPort: this.#adminPort ?? 0 });
    const problems = [...this.#problems, ...all.flatMap((proxy) => proxy.problems), ...merged.problems];
    return { ...merged, problems };
  }

  watch(changed: () => void): () => void {
    this.#changed = changed;
    if (this.#isNews) changed();
    return () => {
      if (this.#changed === changed) this.#changed = null;
    };
  }

  states(): readonly JoinedProxy[] {
    return this.#inOrder().map((proxy) => proxy.state());
  }

  wentLive(): void {
    for (const proxy of this.#proxies.values()) proxy.wentLive();
  }

  /** Returns the oldest time; null where each proxy serves what its control plane sends now. */
  keptSince(): number | null {
    const times = [...this.#proxies.values()].flatMap((proxy) => proxy.keptSince ?? []);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** A proxy that joined now would be put into the endpoints of sidecars. */
  leave(): void {
    this.#leaves = true;
    this.#unwatch?.();
    for (const proxy of this.#proxies.values()) proxy.endStream();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#changed = null;
    this.#unwatch?.();
    this.#waits?.cancel();
    this.#started.resolve();
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }

  /** The ZoneEgress first, then by mesh and name: the first of a mesh gives its identity. */
  #inOrder(): readonly JoiningProxy[] {
    const key = ({ mesh, id }: JoiningProxy): string => `${mesh} ${id}`;
    return [...this.#proxies.values()].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }

  #follow(): Promise<void> {
    const read = this.#reading.then(() => this.#readOnce());
    this.#reading = read.catch(() => {});
    return read;
  }

  async #readOnce(): Promise<void> {
    const { entries, problems } = await this.#options.roster.read();
    if (this.#closed || this.#leaves) return;
    const wanted = new Map(entries.map((entry) => [entryId(entry), entry]));
    for (const [id, proxy] of this.#proxies) if (!wanted.has(id)) this.#leave(proxy);
    for (const [id, entry] of wanted) {
      const known = this.#proxies.get(id);
      if (known === undefined) this.#proxies.set(id, this.#join(entry));
      else known.update(entry);
    }
    this.#problems = problems;
    this.#tell();
  }

  #join(entry: RosterEntry): JoiningProxy {
    const { clock, join, onRefused } = this.#options;
    return new JoiningProxy(entry, {
      clock,
      join,
      onRefused,
      onChange: () => this.#tell(),
      onHeard: () => this.#look(),
    });
  }

  #leave(proxy: JoiningProxy): void {
    if (proxy.isLeaving) return;
    const { onLeave } = this.#options;
    onLeave(proxy.id, false);
    proxy.leave(proxy.drainTimeMs, () => {
      this.#proxies.delete(proxy.id);
      onLeave(proxy.id, true);
      this.#tell();
    });
  }

  #tell(): void {
    this.#isNews = true;
    if (!this.#closed) this.#changed?.();
  }

  /**
   * The start is over when each proxy has joined or was refused, and one has joined; or when none
   * of them can.
   */
  #look(): void {
    const all = [...this.#proxies.values()];
    const hasCome = all.some((proxy) => proxy.hasCome);
    if (hasCome && all.every((proxy) => proxy.isSettled)) return this.#started.resolve();
    if (hasCome) this.#waits ??= this.#clock.after(WAIT_FOR_OTHERS_MS, () => this.#started.resolve());
    const errors = all.flatMap(({ id, error }) => (error === null ? [] : [{ id, error }]));
    const [first] = errors;
    if (first === undefined || errors.length < all.length) return;
    this.#started.reject(all.length === 1 ? first.error : noneOf(errors));
  }
}

function noneOf(errors: readonly { readonly id: string; readonly error: Error }[]): BootstrapError {
  const lines = errors.map(({ id, error }) => `\n  ${id}: ${error.message}`);
  const message = `none of the ${errors.length} proxies can join the control plane:${lines.join('')}`;
  return new BootstrapError({ code: 'refused', isRetried: false, message }, 1, 0);
}
