import type { Clock, Timer } from '../../base/clock.ts';
import type { Problem } from '../../base/problem.ts';
import { prove } from '../check-invariants.ts';
import type { Good, JoinedProxy } from './config-source.ts';
import { partsOf } from './control-plane-source.ts';
import type { ControlPlaneSource } from './control-plane-source.ts';
import { entryId, entryMark } from './proxy-roster.ts';
import type { RosterEntry } from './proxy-roster.ts';
import { proxyState } from './proxy-sentence.ts';

export interface JoiningProxyOptions {
  readonly clock: Clock;
  /** Makes the source of one attempt to join; `heard` is called for each event of its stream. */
  readonly join: (entry: RosterEntry, heard: () => void) => ControlPlaneSource;
  /** Called when a load may have another result. */
  readonly onChange: () => void;
  /** Called when it may have joined, or failed. */
  readonly onHeard: () => void;
  /** Called with the reason that it cannot join, once until the reason changes. */
  readonly onRefused: (entry: RosterEntry, error: Error, retryInMs: number) => void;
}

const FIRST_PAUSE_MS = 5_000;
const LAST_PAUSE_MS = 60_000;

/**
 * One of several proxies as which a process joins. It tries until it is closed, and what it served
 * last outlives each attempt.
 */
export class JoiningProxy {
  readonly id: string;
  readonly #options: JoiningProxyOptions;
  #entry: RosterEntry;
  #source: ControlPlaneSource | null = null;
  #good: Good | null = null;
  /** Errors for which its present configuration is not taken; the last good one is. */
  #problems: readonly Problem[] = [];
  /** True when the source has something to load. */
  #hasCome = false;
  #stale = false;
  #error: Error | null = null;
  #pauseMs = FIRST_PAUSE_MS;
  #retry: Timer | null = null;
  #leaving: Timer | null = null;
  /** True when it joins no more. */
  #hasEnded = false;
  /** Ends that are still awaited. */
  readonly #ending = new Set<Promise<void>>();

  constructor(entry: RosterEntry, options: JoiningProxyOptions) {
    this.id = entryId(entry);
    this.#entry = entry;
    this.#options = options;
    this.#join();
  }

  /** Empty for a ZoneEgress. */
  get mesh(): string {
    return this.#entry.controlPlane.mesh ?? '';
  }

  /** How long what it served is served after it left. */
  get drainTimeMs(): number {
    return this.#entry.controlPlane.drainTimeMs;
  }

  get good(): Good | null {
    return this.#good;
  }

  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** The reason for which it has no bootstrap; null while there is none. */
  get error(): Error | null {
    return this.#error;
  }

  get isLeaving(): boolean {
    return this.#leaving !== null;
  }

  /** True when it has something to load. */
  get hasCome(): boolean {
    return this.#hasCome;
  }

  /** True when it has joined, or its control plane has answered that it cannot. */
  get isSettled(): boolean {
    const failed = (this.#source?.controlFacts?.()?.status.lastError ?? null) !== null;
    return this.#hasCome || this.#error !== null || failed;
  }

  /** Returns when the configuration that it serves was kept; null for a present one. */
  get keptSince(): number | null {
    return this.#source?.keptSince?.() ?? null;
  }

  /** Call it when what it loaded last is live. */
  wentLive(): void {
    if (this.#hasCome) this.#source?.wentLive?.();
  }

  /** Follows a change of its entry, and undoes a leave. */
  update(entry: RosterEntry): void {
    const before = this.#entry;
    const wasLeaving = this.isLeaving;
    this.#leaving?.cancel();
    this.#leaving = null;
    this.#entry = entry;
    if (wasLeaving || entryMark(entry) !== entryMark(before)) return this.#join();
    if (entry.tokenMark === before.tokenMark) return;
    if (this.#retry === null) this.#source?.retryNow();
    else this.#join();
  }

  /** Ends its stream, and keeps what it served for this long; then `gone` is called. */
  leave(drainTimeMs: number, gone: () => void): void {
    if (this.isLeaving) return;
    this.#stop();
    this.#leaving = this.#options.clock.after(drainTimeMs, gone);
  }

  /** Ends its stream for good; what it served stays. One that has not joined yet stops trying. */
  endStream(): void {
    this.#hasEnded = true;
    this.#retry?.cancel();
    this.#retry = null;
    this.#source?.leave?.();
    if (!this.#hasCome) this.#stop();
  }

  /** Takes what has come since the last load. Never rejects for a bad configuration. */
  async load(): Promise<void> {
    const source = this.#source;
    if (source === null || !this.#hasCome || !this.#stale) return;
    this.#stale = false;
    const loaded = await source.load();
    if (source !== this.#source || loaded.kind === 'invalid') return;
    const { broken, problems } = await prove(loaded, { inPieces: true });
    // A defect in what one proxy is sent must not reject the configuration of the others.
    this.#problems = broken.length === 0 ? [] : problems.map((problem) => ({ ...problem, refuses: this.id }));
    if (broken.length === 0) this.#good = loaded;
  }

  state(): JoinedProxy {
    const { name, token } = this.#entry.controlPlane;
    const controlFacts = this.#source?.controlFacts?.() ?? null;
    const moment = { name, mesh: this.mesh, good: this.#good, status: controlFacts?.status ?? null };
    const state = proxyState({ ...moment, refusal: this.#error?.message ?? null, leaves: this.isLeaving });
    return { ...state, ...partsOf(this.#good), adminListener: this.#source?.adminListener?.() ?? null, controlFacts, token };
  }

  async close(): Promise<void> {
    this.#leaving?.cancel();
    this.#stop();
    await Promise.all(this.#ending);
  }

  #join(): void {
    this.#stop();
    if (this.#hasEnded) return;
    const { join, onChange, onHeard } = this.#options;
    const source = join(this.#entry, onHeard);
    this.#source = source;
    const came = source.start?.(undefined) ?? Promise.resolve();
    came.then(
      () => {
        if (this.#source !== source) return;
        this.#hasCome = true;
        this.#error = null;
        this.#pauseMs = FIRST_PAUSE_MS;
        const changed = (): void => {
          this.#stale = true;
          onChange();
        };
        source.watch(changed);
        changed();
        onHeard();
      },
      (error: unknown) => {
        if (this.#source === source) this.#refused(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  #refused(error: Error): void {
    const { clock, onRefused, onHeard } = this.#options;
    this.#stop();
    const isNews = this.#error?.message !== error.message;
    this.#error = error;
    if (isNews) onRefused(this.#entry, error, this.#pauseMs);
    this.#retry = clock.after(this.#pauseMs, () => this.#join());
    this.#pauseMs = Math.min(LAST_PAUSE_MS, this.#pauseMs * 2);
    onHeard();
  }

  #stop(): void {
    this.#retry?.cancel();
    this.#retry = null;
    this.#hasCome = false;
    this.#stale = false;
    const source = this.#source;
    this.#source = null;
    if (source?.close === undefined) return;
    const ended: Promise<void> = source.close().finally(() => void this.#ending.delete(ended));
    this.#ending.add(ended);
  }
}
