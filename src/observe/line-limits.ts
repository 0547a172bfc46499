import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { EndReason } from '../base/refusal.ts';

/** The time for which limits count. */
export const WINDOW_MS = 10_000;

interface Window {
  readonly reason: EndReason;
  startedAt: number;
  lines: number;
  suppressed: number;
}

export interface LineLimitOptions {
  readonly clock: Clock;
  /** Lines per window for one reason and one client address. */
  readonly burst: number;
  /** Lines per window for one reason. */
  readonly burstOfReason: number;
  /** The most pairs of reason and client that are remembered. */
  readonly maxKeys: number;
}

/**
 * Counts the lines about refusals that may be written, by reason and client, and those left out.
 */
export class LineLimits {
  readonly #options: LineLimitOptions;
  readonly #ofReason = new Map<EndReason, Window>();
  readonly #ofClient: LRUCache<string, Window>;

  constructor(options: LineLimitOptions) {
    this.#options = options;
    this.#ofClient = new LRUCache<string, Window>({
      max: options.maxKeys,
      // The number of a forgotten client is added to that of its reason.
      dispose: ({ reason, suppressed }) => {
        this.#windowOf(reason).suppressed += suppressed;
      },
    });
  }

  /**
   * Takes a line: returns the number left out before it, or null where this one is left out too.
   */
  take(reason: EndReason, client: string): number | null {
    const { burst, burstOfReason } = this.#options;
    const one = this.#windowOfClient(reason, client);
    const all = this.#windowOf(reason);
    if (!this.#admits(one, burst) || !this.#admits(all, burstOfReason)) {
      const full = one.lines >= burst ? one : all;
      full.suppressed++;
      return null;
    }
    const suppressed = one.suppressed + all.suppressed;
    for (const window of [one, all]) {
      window.lines++;
      window.suppressed = 0;
    }
    return suppressed;
  }

  /** Returns the numbers left out by reason, and resets them. */
  takeLeftOut(): ReadonlyMap<EndReason, number> {
    const left = new Map<EndReason, number>();
    for (const window of [...this.#ofClient.values(), ...this.#ofReason.values()]) {
      if (window.suppressed > 0) left.set(window.reason, (left.get(window.reason) ?? 0) + window.suppressed);
      window.suppressed = 0;
    }
    return left;
  }

  #windowOfClient(reason: EndReason, client: string): Window {
    const key = `${reason} ${client}`;
    const found = this.#ofClient.get(key);
    if (found !== undefined) return found;
    const fresh = this.#newWindow(reason);
    this.#ofClient.set(key, fresh);
    return fresh;
  }

  #windowOf(reason: EndReason): Window {
    const window = this.#ofReason.get(reason) ?? this.#newWindow(reason);
    this.#ofReason.set(reason, window);
    return window;
  }

  #newWindow(reason: EndReason): Window {
    return { reason, startedAt: this.#options.clock.now(), lines: 0, suppressed: 0 };
  }

  #admits(window: Window, limit: number): boolean {
    const now = this.#options.clock.now();
    if (now - window.startedAt >= WINDOW_MS) {
      window.startedAt = now;
      window.lines = 0;
    }
    return window.lines < limit;
  }
}
