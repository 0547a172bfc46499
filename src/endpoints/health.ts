/**
 * Active health checks, counted as Envoy does. The first answer decides alone. Later, several
 * consecutive failures make an endpoint unhealthy, and several consecutive good answers make it
 * healthy again. A bad answer to a request makes it unhealthy alone. An endpoint is healthy when
 * all checks of its cluster pass.
 */
import type { Clock, Timer } from '../base/clock.ts';
import { isOwnLack } from '../base/own-lack.ts';
import type { HealthCheck } from '../model/cluster.ts';
import { TcpProbe } from './probe.ts';
import type { EndpointProbe, Unhealthiness } from './probe.ts';
import { RequestProbe } from './request-probe.ts';
import type { ProbeTarget } from './request-probe.ts';

export interface HealthChecksOptions {
  readonly clock: Clock;
  /** Returns a number in [0, 1), for jitter. */
  readonly draw: () => number;
  /** The most concurrent checks; the rest wait. */
  readonly maxConcurrent: number;
  readonly onCheck: (finding: Unhealthiness) => void;
}

/** Counts consecutive good and bad answers; pure. */
export class CheckCount {
  failed: boolean;
  first = true;
  #good = 0;
  #bad = 0;

  constructor(failed: boolean) {
    this.failed = failed;
  }

  add(
    good: boolean,
    decides: boolean,
    { healthyThreshold, unhealthyThreshold }: Pick<HealthCheck, 'healthyThreshold' | 'unhealthyThreshold'>,
  ): void {
    const { first, failed } = this;
    this.first = false;
    if (good) {
      this.#bad = 0;
      if (failed && (first || ++this.#good >= healthyThreshold)) this.failed = false;
    } else {
      this.#good = 0;
      if (!failed && (decides || ++this.#bad >= unhealthyThreshold)) this.failed = true;
    }
    if (this.failed !== failed) this.#good = this.#bad = 0;
  }
}

export interface CheckedEndpoint extends Omit<ProbeTarget, 'clock'> {
  readonly checks: readonly HealthCheck[];
  /**
   * True makes it unhealthy before the first answer: for an endpoint that is added to a running
   * cluster.
   */
  readonly startsFailed: boolean;
  /** Tells whether the cluster has carried a session. */
  readonly traffic: () => boolean;
  /** Called after each answer. */
  readonly onAnswer: (healthy: boolean, why: Unhealthiness) => void;
}

/** Returns the function that stops the checks of this endpoint. */
export type StartChecks = (endpoint: CheckedEndpoint) => () => void;

export function createHealthChecks(options: HealthChecksOptions): StartChecks {
  const queue = new ProbeQueue(options.maxConcurrent);
  return (endpoint) => {
    const all = endpoint.checks.map(() => new CheckCount(true));
    const stops = endpoint.checks.map((check, i) => {
      const counts = all[i] ?? new CheckCount(true);
      const answered = (why: Unhealthiness): void =>
        endpoint.onAnswer(
          all.every(({ failed, first }) => !failed || (first && !endpoint.startsFailed)),
          why,
        );
      return startCheck({ check, endpoint, counts, answered, queue, options });
    });
    return () => {
      for (const stop of stops) stop();
    };
  };
}

type StartProbe = (done: () => void) => void;

/** Runs at most this many probes at a time; the others wait. */
class ProbeQueue {
  readonly #maxConcurrent: number;
  readonly #waiting = new Set<StartProbe>();
  #running = 0;

  constructor(maxConcurrent: number) {
    this.#maxConcurrent = maxConcurrent;
  }

  add(start: StartProbe): void {
    this.#waiting.add(start);
    this.#pump();
  }

  remove(start: StartProbe): void {
    this.#waiting.delete(start);
  }

  #pump(): void {
    for (const start of this.#waiting) {
      if (this.#running >= this.#maxConcurrent) return;
      this.#waiting.delete(start);
      this.#running++;
      start(() => {
        this.#running--;
        this.#pump();
      });
    }
  }
}

interface CheckToStart {
  readonly check: HealthCheck;
  readonly endpoint: CheckedEndpoint;
  readonly counts: CheckCount;
  readonly answered: (why: Unhealthiness) => void;
  readonly queue: ProbeQueue;
  readonly options: HealthChecksOptions;
}

/** Repeats one check of one endpoint. Returns the function that stops it. */
function startCheck({ check, endpoint, counts, answered, queue, options }: CheckToStart): () => void {
  const { clock, draw, onCheck } = options;
  const probe = probeOf(check, { ...endpoint, clock });
  let timer: Timer | null = null;
  let finished: (() => void) | null = null;
  let stopped = false;

  function look(done: () => void): void {
    finished = done;
    probe.run(({ finding, decides }) => {
      finished = null;
      onCheck(finding);
      // A lack of the egress says nothing of the endpoint.
      if (finding === null || !isOwnLack(finding)) {
        counts.add(finding === null, decides, check);
        answered(finding);
      }
      if (!stopped) rest(jittered(endpoint.traffic() ? check.intervalMs : check.noTrafficIntervalMs, check, draw));
      done();
    });
  }
  function rest(ms: number): void {
    timer = clock.after(ms, () => queue.add(look));
  }
  if (check.initialJitterMs > 0) rest(check.initialJitterMs * draw());
  else queue.add(look);
  return () => {
    stopped = true;
    timer?.cancel();
    queue.remove(look);
    probe.close();
    finished?.();
  };
}

function jittered(ms: number, check: HealthCheck, draw: () => number): number {
  return ms + (ms * check.intervalJitterPercent * draw()) / 100 + check.intervalJitterMs * draw();
}

function probeOf(check: HealthCheck, to: ProbeTarget): EndpointProbe {
  const { probe } = check;
  return probe.kind === 'tcp' ? new TcpProbe({ ...check, probe }, to) : new RequestProbe({ ...check, probe }, to);
}
