import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { EndReason } from '../base/refusal.ts';

/** Limits hold for so long. */
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
  /** How many pairs of reason and client are remembered. */
  readonly maxKeys: number;
}

/** How many lines about refusals may be written, by reason and client, and how many were not. */
export class LineLimits {
  readonly #options: LineLimitOptions;
  readonly #ofReason = new Map<EndReason, Window>();
  readonly #ofClient: LRUCache<string, Window>;

  constructor(options: LineLimitOptions) {
    this.#options = options;
    this.#ofClient = new LRUCache<string, Window>({
      max: options.maxKeys,
      // What is forgotten of a client is still known of its reason.
      dispose: ({ reason, suppressed }) => {
        this.#windowOf(reason).suppressed += suppressed;
      },
    });
  }

  /** Takes a line: how many were left out before it, null where this one is left out too. */
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

  /** How many were left out since, by reason; counts anew afterwards. */
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
