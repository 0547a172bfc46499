/**
 * Active health checks as Envoy counts them: the first answer decides alone, a failure counts at
 * once and only so many of them in a row make an endpoint unhealthy, so many good ones make it
 * healthy again. A bad answer to a request makes it unhealthy alone. An endpoint is healthy when
 * all checks of its cluster say so.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { HealthCheck } from '../model/cluster.ts';
import { TcpProbe } from './probe.ts';
import type { EndpointProbe, Unhealthiness } from './probe.ts';
import { RequestProbe } from './request-probe.ts';
import type { ProbeTarget } from './request-probe.ts';

export interface HealthChecksOptions {
  readonly clock: Clock;
  /** In [0, 1), for jitter. */
  readonly draw: () => number;
  /** Checks under way at once; the rest wait for their turn. */
  readonly maxConcurrent: number;
  readonly onCheck: (finding: Unhealthiness) => void;
}

/** How many good and bad answers came in a row; pure. */
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
   * Unhealthy before the first answer: for an endpoint that came to a cluster that runs already.
   */
  readonly startsFailed: boolean;
  /** Whether the cluster has carried a session. */
  readonly traffic: () => boolean;
  /** After each answer. */
  readonly onAnswer: (healthy: boolean, why: Unhealthiness) => void;
}

/** Gives back how to stop the checks of this endpoint. */
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

/** So many probes run at a time; the others wait for their turn. */
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

/** One check of one endpoint, again and again. Gives back how to stop it. */
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
      counts.add(finding === null, decides, check);
      answered(finding);
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
