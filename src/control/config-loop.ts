import type { LastChanges } from '../admin/page/facts.ts';
import { nextTurn } from '../base/clock.ts';
import { hasErrors } from '../base/problem.ts';
import type { Clock } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import { diffInTurns } from '../model/changes.ts';
import type { Compiled } from '../model/compiled.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import { identityOf } from '../model/route.ts';
import type { Secrets, Snapshot } from '../model/snapshot.ts';
import type { Invariant } from '../routing/invariants.ts';
import { behaviourOf } from './sources/config-source.ts';
import type { ConfigSource, Good, Rewrite } from './sources/config-source.ts';
import { checkCompiled } from './sources/check-source.ts';
import { prove } from './check-invariants.ts';
import { reportOnlyWarnings, unknownMeshes, withReportOnly } from './report-only.ts';
import { whatChanged } from './what-changed.ts';

/**
 * Prepares the certificates of the meshes before a configuration goes live, and reports the
 * problems of those without one.
 */
export interface CredentialStore<
  Prepared extends { readonly problems: readonly Problem[]; readonly credentials: readonly MeshCredentials[] },
> {
  prepare(snapshot: Snapshot, secrets: Secrets): Promise<Prepared>;
  commit(prepared: Prepared): void;
}

export type LoadResult =
  /**
   * `changes`: the difference to the previous live configuration; absent for the first, and without
   * a difference.
   */
  | {
      readonly kind: 'live';
      readonly config: Good;
      readonly changed: boolean;
      readonly changes?: LastChanges;
      readonly problems: readonly Problem[];
    }
  /** `broken`: the invariants that it violates although it compiled. */
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[]; readonly broken?: readonly Invariant[] };

export interface ConfigLoopOptions {
  readonly source: ConfigSource;
  /** Called first with the result of the source. */
  readonly rewrite?: Rewrite;
  /** Meshes whose permissions are only reported. */
  readonly reportOnly?: readonly string[];
  readonly store: CredentialStore<{ readonly problems: readonly Problem[]; readonly credentials: readonly MeshCredentials[] }>;
  readonly clock: Clock;
  /** Makes the configuration live; resolves when it is live everywhere. */
  readonly goLive: (config: Good, credentials: readonly MeshCredentials[]) => Promise<void>;
  readonly onLoad: (result: LoadResult, tookMs: number) => void;
  /** Called once for each load without an answer after this time; the load is still awaited. */
  readonly onSilence?: (forMs: number) => void;
}

const SILENCE_MS = 30_000;

/**
 * Loads one configuration after another, never two at once. A bad one changes nothing; a request
 * during a load causes one more. After the close it loads nothing, and drops the result of a
 * running load.
 */
export class ConfigLoop {
  readonly #options: ConfigLoopOptions;
  #running: Promise<LoadResult> | null = null;
  #again: Promise<LoadResult> | null = null;
  #live: Good | null = null;
  #unwatch: (() => void) | null = null;
  /** Answers the running load at the close. */
  #giveUp: (() => void) | null = null;
  #closed = false;

  constructor(options: ConfigLoopOptions) {
    this.#options = options;
  }

  get live(): Good | null {
    return this.#live;
  }

  load(): Promise<LoadResult> {
    if (this.#closed) return Promise.resolve(CLOSED);
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

  /** Starts the watch; further calls do nothing. */
  watch(): void {
    this.#unwatch ??= this.#options.source.watch(() => {
      if (!this.#closed) void this.load();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#giveUp?.();
    this.#unwatch?.();
  }

  #next(): Promise<LoadResult> {
    this.#again = null;
    return this.load();
  }

  async #loadOnce(): Promise<LoadResult> {
    const { clock, onLoad, onSilence } = this.#options;
    const startedAt = clock.now();
    const silence = clock.after(SILENCE_MS, () => onSilence?.(SILENCE_MS));
    const closed = Promise.withResolvers<LoadResult>();
    this.#giveUp = () => closed.resolve(CLOSED);
    const loaded = this.#compileAndCommit().catch((error: unknown): LoadResult => ({
      kind: 'rejected',
      problems: [problemOf('internal error, please report it', error)],
    }));
    const result = await Promise.race([loaded, closed.promise]);
    silence.cancel();
    if (this.#closed) return CLOSED;
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
    if (compiled.kind === 'invalid' || rewrite === undefined) return compiled;
    try {
      const rewritten = await rewrite(compiled);
      checkCompiled(rewritten, 'rewrite()');
      return rewritten;
    } catch (error) {
      return { kind: 'invalid', problems: [problemOf('the rewrite of the configuration failed', error)] };
    }
  }

  async #compileAndCommit(): Promise<LoadResult> {
    const { source, store, goLive, reportOnly = [] } = this.#options;
    const loaded = await this.#load();
    if (loaded.kind === 'invalid') return { kind: 'rejected', problems: loaded.problems };
    const marked = withReportOnly(loaded, reportOnly);
    const isStart = this.#live === null && !behaviourOf(source).awaitsFirst;
    const unknown = unknownMeshes(marked, isStart ? 'error' : 'warning');
    if (isStart && unknown.length > 0) return { kind: 'rejected', problems: [...loaded.problems, ...unknown] };
    const { snapshot } = marked.config;
    const compiled: Good = { ...marked.config, problems: [...loaded.problems, ...unknown, ...reportOnlyWarnings(snapshot)] };
    const proof = await prove(compiled, behaviourOf(source));
    if (proof.broken.length > 0)
      return { kind: 'rejected', problems: [...compiled.problems, ...proof.problems], broken: proof.broken };
    const before = this.#live;
    const changed = before === null || before.snapshot.version !== compiled.snapshot.version;
    if (!changed && !(await isSame(before.snapshot, compiled.snapshot)))
      return { kind: 'rejected', problems: [...compiled.problems, staleVersion(compiled.snapshot)] };
    const prepared = await store.prepare(compiled.snapshot, compiled.secrets);
    const problems = [...compiled.problems, ...proof.problems, ...prepared.problems];
    if (hasErrors(prepared.problems) && !canServe(compiled.snapshot, prepared.credentials)) return { kind: 'rejected', problems };
    if (this.#closed) return CLOSED;
    await goLive(compiled, prepared.credentials);
    store.commit(prepared);
    await nextTurn();
    this.#live = compiled;
    if (before === null || !changed) return { kind: 'live', config: compiled, changed, problems };
    return { kind: 'live', config: compiled, changed, changes: await whatChanged(before.snapshot, compiled.snapshot), problems };
  }
}

async function isSame(before: Snapshot, now: Snapshot): Promise<boolean> {
  const { routes, clusters, meshes } = await diffInTurns(before, now, nextTurn);
  return before.zone === now.zone && [routes, clusters, meshes].every(({ set, removed }) => set.length + removed.length === 0);
}

/** Refuses a changed configuration with an unchanged version: all later code compares versions. */
function staleVersion({ version }: Snapshot): Problem {
  const message = `the snapshot has the version ${JSON.stringify(version)} of the live one but other content: the version must change with the content`;
  return { ...NOWHERE, severity: 'error', field: '', message };
}

/**
 * A mesh without a certificate refuses the connections that it terminates. Where no other route is
 * left, the previous configuration stays.
 */
function canServe({ routes }: Snapshot, credentials: readonly MeshCredentials[]): boolean {
  const known = new Set(credentials.map(({ mesh }) => mesh));
  return [...routes.values()].some((route) => route.kind === 'passthrough' || known.has(identityOf(route)));
}

const NOWHERE = { file: 'configuration', line: 0, column: 0 } as const;

const CLOSED: LoadResult = {
  kind: 'rejected',
  problems: [problemOf('the egress is closed', 'nothing is loaded any more')],
};

/**
 * Turns an error into a problem: neither a bug nor a failing source may end the watch, or the
 * process that embeds it.
 */
function problemOf(what: string, error: unknown): Problem {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { ...NOWHERE, severity: 'error', field: '', message: `${what}: ${text}` };
}
