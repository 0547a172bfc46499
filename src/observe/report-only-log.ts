import type { Clock, Timer } from '../base/clock.ts';
import type { Observer } from './observer.ts';

const EVERY_MS = 3_600_000;

/** Logs once an hour, and at the start, that permissions of some meshes refuse no client. */
export class ReportOnlyLog {
  readonly #observer: Pick<Observer, 'log' | 'metrics' | 'onRecord' | 'onRequest'>;
  readonly #clock: Clock;
  #meshes: readonly string[] = [];
  #timer: Timer | null = null;
  #sessions = 0;
  #requests = 0;

  constructor(observer: Pick<Observer, 'log' | 'metrics' | 'onRecord' | 'onRequest'>, clock: Clock) {
    this.#observer = observer;
    this.#clock = clock;
  }

  /** Sets the meshes of the live configuration that are report-only. */
  live(meshes: readonly string[]): void {
    const { log, metrics } = this.#observer;
    for (const mesh of this.#meshes) if (!meshes.includes(mesh)) metrics.reportOnly(mesh, false);
    for (const mesh of meshes) metrics.reportOnly(mesh, true);
    const isFirst = this.#timer === null && meshes.length > 0;
    this.#meshes = meshes;
    if (!isFirst) return;
    this.#observer.onRecord(({ wouldRefuse }) => void (this.#sessions += wouldRefuse === undefined ? 0 : 1));
    this.#observer.onRequest(({ wouldRefuse }) => void (this.#requests += wouldRefuse === undefined ? 0 : 1));
    log.warn({ meshes }, WARNING);
    this.#timer = this.#clock.every(EVERY_MS, () => {
      if (this.#meshes.length === 0) return;
      log.warn({ meshes: this.#meshes, sessions: this.#sessions, requests: this.#requests }, WARNING);
    });
  }

  close(): void {
    this.#timer?.cancel();
  }
}

const WARNING =
  'REPORT-ONLY: the permissions of these meshes refuse no client; what they would refuse passes and is recorded (--report-only)';
