import type { Clock } from '../../base/clock.ts';
import type { Problem } from '../../base/problem.ts';
import { BootstrapError } from '../../xds/bootstrap/bootstrap-problem.ts';
import type { BootstrapProblem } from '../../xds/bootstrap/bootstrap-problem.ts';
import type { AdsState } from '../../xds/messages/ads-state.ts';
import type { Accept } from '../../xds/stream/held-resources.ts';
import type { StreamFailure } from '../../xds/stream/ads-client.ts';
import type { KeptConfiguration } from './kept-configuration.ts';

/** One log line each. `path` is the file of the kept configuration. */
export type KeptEvent =
  | { readonly kind: 'used'; readonly path: string; readonly savedAt: number; readonly why: string }
  | { readonly kind: 'refused'; readonly path: string; readonly why: string }
  | { readonly kind: 'none'; readonly path: string; readonly why: string }
  /** The control plane answers, and does not take this egress. It is asked again. */
  | { readonly kind: 'join-failed'; readonly message: string; readonly retryInMs: number }
  | { readonly kind: 'taken-over' };

/** Joins the control plane; resolves when its first configuration is complete. */
export type Join = (onRetry: (problem: BootstrapProblem) => void) => Promise<void>;

export interface KeptStartOptions {
  readonly clock: Clock;
  readonly kept: KeptConfiguration;
  readonly accept: Accept;
  readonly onEvent: (event: KeptEvent) => void;
  /** Returns the last end of the stream; null before one. */
  readonly streamFailure: () => StreamFailure | null;
  /** Called when the configuration of the control plane takes the place of the kept one. */
  readonly onTakeOver: () => void;
}

/** The control plane cannot be reached, or cannot answer. With all others it has answered. */
const AWAY: ReadonlySet<BootstrapProblem['code']> = new Set(['no-connection', 'server-error']);
const STREAM_AWAY: ReadonlySet<StreamFailure['reason']> = new Set(['unreachable', 'ended']);
/** A control plane that says nothing at all for this long is away. */
const SILENT_MS = 10_000;
/** Pause before a control plane that refused the egress is asked again. */
const REJOIN_MS = 30_000;

/**
 * Starts on the kept configuration where the control plane is away, and goes on joining it. A
 * control plane that answers decides, also where it refuses the egress at the start.
 */
export class KeptStart {
  readonly #options: KeptStartOptions;
  #used: { readonly state: AdsState; readonly savedAt: number } | null = null;
  #lastProblem: BootstrapProblem | null = null;
  #closed = false;

  constructor(options: KeptStartOptions) {
    this.#options = options;
  }

  /** Null while the configuration of the control plane is used, and before any. */
  get used(): { readonly state: AdsState; readonly savedAt: number } | null {
    return this.#used;
  }

  /** Resolves when there is something to run on. Rejects where the first join does. */
  async start(join: Join): Promise<void> {
    const { clock, kept, accept, onEvent } = this.#options;
    const away = Promise.withResolvers<string>();
    const onRetry = (problem: BootstrapProblem): void => {
      this.#lastProblem = problem;
      if (AWAY.has(problem.code)) away.resolve(problem.message);
    };
    const looking = clock.every(SILENT_MS, () => {
      if (this.#isSilent()) away.resolve(`it has sent no configuration for ${SILENT_MS / 1_000} s`);
    });
    const joined = join(onRetry);
    const first = joined.then(() => null);
    const why = await Promise.race([first, away.promise]).finally(() => looking.cancel());
    if (why === null) return;
    // A rejection while the file is read is handled below.
    first.catch(() => undefined);
    const read = await kept.read(accept);
    const { path } = kept;
    if (read === null) onEvent({ kind: 'none', path, why });
    else if (read.kind === 'refused') onEvent({ kind: 'refused', path, why: read.why });
    if (read?.kind !== 'read') return joined;
    this.#used = read;
    onEvent({ kind: 'used', path, savedAt: read.savedAt, why });
    void this.#takeOver(joined, () => join(() => undefined));
  }

  /** Returns the problem that the pages show while the kept configuration is live. */
  problem(): Problem | null {
    if (this.#used === null) return null;
    const message = `the control plane is away, and the egress runs on the configuration that was kept at ${new Date(this.#used.savedAt).toISOString()}`;
    return { severity: 'warning', file: this.#options.kept.path, line: 0, column: 0, field: '', message };
  }

  close(): void {
    this.#closed = true;
  }

  async #takeOver(first: Promise<void>, join: () => Promise<void>): Promise<void> {
    for (let joined = first; ; joined = join()) {
      try {
        await joined;
        break;
      } catch (error) {
        if (this.#closed) return;
        const isRetried = error instanceof BootstrapError && AWAY.has(error.code);
        const message = error instanceof Error ? error.message : String(error);
        if (!isRetried) this.#options.onEvent({ kind: 'join-failed', message, retryInMs: REJOIN_MS });
        await new Promise<void>((resolve) => void this.#options.clock.after(REJOIN_MS, resolve));
        if (this.#closed) return;
      }
    }
    if (this.#closed) return;
    this.#used = null;
    this.#options.onTakeOver();
  }

  #isSilent(): boolean {
    const stream = this.#options.streamFailure();
    const answered = this.#lastProblem !== null && !AWAY.has(this.#lastProblem.code);
    return !answered && (stream === null || STREAM_AWAY.has(stream.reason));
  }
}
