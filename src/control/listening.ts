import type { Clock, Timer } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import type { ListenerConfig } from '../model/compiled.ts';

/** The part of the workers that serves one place. */
export interface ListeningWorkers {
  listen(address: string, port: number, inherited?: number): Promise<number>;
  close(): Promise<void>;
}

export interface ListeningOptions {
  readonly clock: Clock;
  readonly workers: ListeningWorkers;
  /** Overrides the address of the configuration. */
  readonly bind?: string;
  readonly port?: number;
  /** A socket that listens already; the first listener uses it. */
  readonly inherited?: number;
  /**
   * True follows listeners that a control plane removes, adds and moves. A folder's listener is
   * opened once: a change is reported, not made.
   */
  readonly follows: boolean;
  /** Null while nothing listens. */
  readonly onChange: (at: { readonly address: string; readonly port: number } | null) => void;
  /**
   * Called when a control plane's listener could not be opened; it is tried again. Once for each
   * reason in a row.
   */
  readonly onFailure: (error: Error) => void;
}

const RETRY_MS = 2_000;

/**
 * Opens the listener for clients that the configuration names. Sessions continue when their
 * listener closes.
 */
export class Listening {
  readonly #options: ListeningOptions;
  #opened: ListenerConfig | null = null;
  #at: { readonly address: string; readonly port: number } | null = null;
  #retry: Timer | null = null;
  #ended = false;
  /** Changes run one after another: a retry may meet a new configuration. */
  #last: Promise<void> = Promise.resolve();
  #said = '';
  #inherited: number | undefined;

  constructor(options: ListeningOptions) {
    this.#options = options;
    this.#inherited = options.inherited;
  }

  /** Null while nothing listens. */
  get at(): { readonly address: string; readonly port: number } | null {
    return this.#at;
  }

  /** True when a configuration exists that has no listener. */
  get isAbsent(): boolean {
    return this.#opened?.absent === true;
  }

  /**
   * Opens the listener of the first configuration. Rejects with the system's error where a folder's
   * port cannot be bound; a control plane's is tried again.
   */
  async open(listener: ListenerConfig): Promise<void> {
    this.#opened = listener;
    if (listener.absent === true) return;
    if (this.#options.follows) await this.follow(listener);
    else await this.#listen(listener);
  }

  /** Follows a later configuration. Never rejects. */
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
      await this.#options.workers.close();
    }
    if (listener.absent === true || this.#ended) return;
    await this.#listen(listener).catch((error: unknown) => {
      const told = error instanceof Error ? error : new Error(String(error));
      if (told.message !== this.#said) this.#options.onFailure(told);
      this.#said = told.message;
      if (this.#ended) return;
      this.#retry = this.#options.clock.after(RETRY_MS, () => {
        // The configuration may want another listener by now.
        if (this.#opened === listener) void this.follow(listener);
      });
    });
  }

  /** Returns what a configuration changes without an effect until a restart. */
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

  /** Follows no configuration any more. */
  end(): void {
    this.#ended = true;
    this.#retry?.cancel();
  }

  async #listen({ address, port }: ListenerConfig): Promise<void> {
    const { workers, bind, port: instead, onChange } = this.#options;
    const on = bind ?? address;
    const inherited = this.#inherited;
    // A closed inherited socket is gone: a later listener is a new one.
    this.#inherited = undefined;
    const bound = await workers.listen(on, instead ?? port, inherited);
    this.#said = '';
    this.#at = { address: on, port: bound };
    onChange(this.#at);
  }
}
