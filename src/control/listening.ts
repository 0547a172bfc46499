import type { Clock, Timer } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import type { ListenerConfig } from '../model/compiled.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface ListeningOptions {
  readonly clock: Clock;
  readonly workers: Pick<WorkerPool, 'listen' | 'closeListeners'>;
  /** Instead of what the configuration says. */
  readonly bind?: string;
  readonly port?: number;
  /** A socket that listens already; the first listener is this one. */
  readonly inherited?: number;
  /**
   * A control plane takes listeners away, brings them back and moves them. A folder's is opened
   * once: a change is said, not done.
   */
  readonly follows: boolean;
  /** Null: nothing listens now. */
  readonly onChange: (at: { readonly address: string; readonly port: number } | null) => void;
  /**
   * A listener of a control plane could not be opened; it is tried again. Once for each reason in a
   * row.
   */
  readonly onFailure: (error: Error) => void;
}

const RETRY_MS = 2_000;

/**
 * Where clients are served, as the configuration says. Sessions go on when their listener closes.
 */
export class Listening {
  readonly #options: ListeningOptions;
  #opened: ListenerConfig | null = null;
  #at: { readonly address: string; readonly port: number } | null = null;
  #retry: Timer | null = null;
  #ended = false;
  /** One change after another: a retry may meet a new configuration. */
  #last: Promise<void> = Promise.resolve();
  #said = '';
  #inherited: number | undefined;

  constructor(options: ListeningOptions) {
    this.#options = options;
    this.#inherited = options.inherited;
  }

  /** Null: nothing listens. */
  get at(): { readonly address: string; readonly port: number } | null {
    return this.#at;
  }

  /** A configuration is there, and it has no listener. */
  get isAbsent(): boolean {
    return this.#opened?.absent === true;
  }

  /**
   * Of the first configuration; rejects with the error of the system where the port of a folder
   * cannot be bound. That of a control plane is tried again.
   */
  async open(listener: ListenerConfig): Promise<void> {
    this.#opened = listener;
    if (listener.absent === true) return;
    if (this.#options.follows) await this.follow(listener);
    else await this.#listen(listener);
  }

  /** Of a later configuration. Never rejects. */
  follow(listener: ListenerConfig): Promise<void> {
    this.#last = this.#last.then(() => this.#follow(listener));
    return this.#last;
  }

  async #follow(listener: ListenerConfig): Promise<void> {
    const before = this.#opened;
    if (!this.#options.follows || before === null || this.#ended) return;
    const same = before.absent === listener.absent && before.address === listener.address && before.port === listener.port;
    if (same && (this.#at !== null || listener.absent === true)) return;
    this.#opened = listener;
    this.#retry?.cancel();
    this.#retry = null;
    if (this.#at !== null) {
      this.#at = null;
      this.#options.onChange(null);
      await this.#options.workers.closeListeners({ quietMs: 0, atMostMs: 0 });
    }
    if (listener.absent === true || this.#ended) return;
    await this.#listen(listener).catch((error: unknown) => {
      const told = error instanceof Error ? error : new Error(String(error));
      if (told.message !== this.#said) this.#options.onFailure(told);
      this.#said = told.message;
      if (this.#ended) return;
      this.#retry = this.#options.clock.after(RETRY_MS, () => {
        // Another may be wanted by now.
        if (this.#opened === listener) void this.follow(listener);
      });
    });
  }

  /** What a configuration asks for and does not get without a restart. */
  unmet(listener: ListenerConfig): readonly Problem[] {
    const opened = this.#opened;
    if (opened === null) return [];
    const fields = [
      ...(this.#options.follows
        ? []
        : ([
            ['networking.address', opened.address, listener.address],
            ['networking.port', opened.port, listener.port],
          ] as const)),
      ['networking.admin.port', opened.adminPort, listener.adminPort] as const,
    ];
    return fields
      .filter(([, before, now]) => before !== now)
      .map(([field, before, now]) => ({
        severity: 'warning',
        file: `ZoneEgress ${listener.name}`,
        line: 0,
        column: 0,
        field,
        message: `changed from ${before} to ${now}: needs a restart, the egress still listens where it did`,
      }));
  }

  /** Follows nothing any more. */
  end(): void {
    this.#ended = true;
    this.#retry?.cancel();
  }

  async #listen({ address, port }: ListenerConfig): Promise<void> {
    const { workers, bind, port: instead, onChange } = this.#options;
    const on = bind ?? address;
    const inherited = this.#inherited;
    // Once closed it is gone: a listener that comes after it is a new one.
    this.#inherited = undefined;
    const bound = await workers.listen(on, instead ?? port, inherited);
    this.#said = '';
    this.#at = { address: on, port: bound };
    onChange(this.#at);
  }
}
