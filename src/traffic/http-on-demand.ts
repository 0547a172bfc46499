import type { Cluster } from '../model/cluster.ts';
import type { SessionContext } from './session-context.ts';
import type { HttpTraffic } from './http/http-traffic.ts';

/**
 * The HTTP side of one data side, loaded with the first connection that needs it. Its libraries
 * take 30 MB in each thread, which a zone without such services does not pay.
 */
export class HttpOnDemand {
  readonly #plane: SessionContext;
  #loading: Promise<HttpTraffic> | null = null;
  #loaded: HttpTraffic | null = null;
  #draining = false;
  #closed = false;

  constructor(plane: SessionContext) {
    this.#plane = plane;
  }

  load(): Promise<HttpTraffic> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  /** Marks answers from now on as the last of their connection. */
  drain(): void {
    this.#draining = true;
    this.#loaded?.drain();
  }

  /**
   * Retires connections to services of clusters that are gone or have changed: they take no more
   * requests.
   */
  keep(clusters: ReadonlyMap<string, Cluster>): void {
    this.#loaded?.keep(clusters);
  }

  close(): void {
    this.#closed = true;
    this.#loaded?.close();
  }

  async #load(): Promise<HttpTraffic> {
    const { HttpTraffic } = await import('./http/http-traffic.ts');
    const loaded = new HttpTraffic(this.#plane);
    if (this.#draining) loaded.drain();
    if (this.#closed) loaded.close();
    this.#loaded = loaded;
    return loaded;
  }
}
