import { nextTurn } from '../base/clock.ts';
import { hasErrors } from '../base/problem.ts';
import type { Clock } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import type { Compiled } from '../model/compiled.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { Secrets, Snapshot } from '../model/snapshot.ts';
import type { Invariant } from '../routing/invariants.ts';
import { behaviourOf } from './sources/config-source.ts';
import type { ConfigSource, Good, Rewrite } from './sources/config-source.ts';
import { prove } from './check-invariants.ts';
import { whatChanged } from './what-changed.ts';
import type { WhatChanged } from './what-changed.ts';

/**
 * What a configuration needs of identity/ before it may go live: the certificates of the meshes,
 * and what is wrong with those that have none.
 */
export interface CredentialStore<
  Prepared extends { readonly problems: readonly Problem[]; readonly credentials: readonly MeshCredentials[] },
> {
  prepare(snapshot: Snapshot, secrets: Secrets): Promise<Prepared>;
  commit(prepared: Prepared): void;
}

export type LoadResult =
  /** `changes`: to what was live; absent for the first, and where nothing did. */
  | {
      readonly kind: 'live';
      readonly config: Good;
      readonly changed: boolean;
      readonly changes?: WhatChanged;
      readonly problems: readonly Problem[];
    }
  /** `broken`: what does not hold of it although it compiled. */
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[]; readonly broken?: readonly Invariant[] };

export interface ConfigLoopOptions {
  readonly source: ConfigSource;
  /** Before anything else is done with what the source gave. */
  readonly rewrite?: Rewrite;
  readonly store: CredentialStore<{ readonly problems: readonly Problem[]; readonly credentials: readonly MeshCredentials[] }>;
  readonly clock: Clock;
  /** Makes the configuration the one that runs; resolves when it is live everywhere. */
  readonly goLive: (config: Good, credentials: readonly MeshCredentials[]) => Promise<void>;
  readonly onLoad: (result: LoadResult, tookMs: number) => void;
}

/**
 * Loads one configuration after another, never two at once. A bad one changes nothing; a request
 * during a load asks for one more.
 */
export class ConfigLoop {
  readonly #options: ConfigLoopOptions;
  #running: Promise<LoadResult> | null = null;
  #again: Promise<LoadResult> | null = null;
  #live: Good | null = null;
  #unwatch: (() => void) | null = null;
  #closed = false;

  constructor(options: ConfigLoopOptions) {
    this.#options = options;
  }

  get live(): Good | null {
    return this.#live;
  }

  load(): Promise<LoadResult> {
    if (this.#running === null) {
      this.#running = this.#loadOnce().finally(() => {
        this.#running = null;
      });
      return this.#running;
    }
    this.#again ??= this.#running.then(
      () => this.#next(),
      () => this.#next(),
    );
    return this.#again;
  }

  /** From now on; once is enough. */
  watch(): void {
    this.#unwatch ??= this.#options.source.watch(() => {
      if (!this.#closed) void this.load();
    });
  }

  close(): void {
    this.#closed = true;
    this.#unwatch?.();
  }

  #next(): Promise<LoadResult> {
    this.#again = null;
    return this.load();
  }

  async #loadOnce(): Promise<LoadResult> {
    const { clock, onLoad } = this.#options;
    const startedAt = clock.now();
    const result = await this.#compileAndCommit().catch((error: unknown): LoadResult => ({
      kind: 'rejected',
      problems: [problemOf('internal error, please report it', error)],
    }));
    onLoad(result, clock.now() - startedAt);
    return result;
  }

  async #load(): Promise<Compiled> {
    const { source, rewrite } = this.#options;
    let compiled: Compiled;
    try {
      compiled = await source.load();
    } catch (error) {
      return { kind: 'invalid', problems: [problemOf('the source of the configuration failed', error)] };
    }
    return compiled.kind === 'compiled' && rewrite !== undefined ? rewrite(compiled) : compiled;
  }

  async #compileAndCommit(): Promise<LoadResult> {
    const { source, store, goLive } = this.#options;
    const compiled = await this.#load();
    if (compiled.kind === 'invalid') return { kind: 'rejected', problems: compiled.problems };
    const proof = await prove(compiled, behaviourOf(source));
    if (proof.broken.length > 0)
      return { kind: 'rejected', problems: [...compiled.problems, ...proof.problems], broken: proof.broken };
    const prepared = await store.prepare(compiled.snapshot, compiled.secrets);
    const problems = [...compiled.problems, ...proof.problems, ...prepared.problems];
    if (hasErrors(prepared.problems) && !canServe(compiled.snapshot, prepared.credentials)) return { kind: 'rejected', problems };
    const before = this.#live;
    const changed = before === null || before.snapshot.version !== compiled.snapshot.version;
    await goLive(compiled, prepared.credentials);
    store.commit(prepared);
    await nextTurn();
    this.#live = compiled;
    if (before === null || !changed) return { kind: 'live', config: compiled, changed, problems };
    return { kind: 'live', config: compiled, changed, changes: await whatChanged(before.snapshot, compiled.snapshot), problems };
  }
}

/**
 * A mesh without a certificate refuses what ends there; where nothing else is left, what was live
 * is the better one.
 */
function canServe({ routes }: Snapshot, credentials: readonly MeshCredentials[]): boolean {
  const known = new Set(credentials.map(({ mesh }) => mesh));
  return [...routes.values()].some(({ kind, mesh }) => kind === 'passthrough' || known.has(mesh));
}

/** Neither a bug nor a source that fails ends the watch, or the process that embeds it. */
function problemOf(what: string, error: unknown): Problem {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { severity: 'error', file: 'configuration', line: 0, column: 0, field: '', message: `${what}: ${text}` };
}
