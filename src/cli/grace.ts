import type { Env } from './options.ts';

/** The time that a supervisor leaves between SIGTERM and SIGKILL, as far as it can be known. */
export interface Grace {
  readonly ms: number;
  /** The source of the figure, for a warning. */
  readonly of: string;
  /** True for the default of a program, which an operator may have changed. */
  readonly assumed: boolean;
}

/** The end of the process after a drain: the last log lines, the stream, the threads. */
const AFTER_DRAIN_MS = 2_000;
const DOCKER_MS = 10_000;
const KUBERNETES_MS = 30_000;
/** Files that docker and podman put into each container. */
const MARKS: readonly string[] = ['/.dockerenv', '/run/.containerenv'];

/**
 * Returns the grace of a container whose first process this is. Neither docker nor Kubernetes says
 * what an operator has set, so it is the default of each.
 */
export function containerGrace(env: Env, pid: number, exists: (path: string) => boolean): Grace | null {
  if (pid !== 1) return null;
  if ((env.KUBERNETES_SERVICE_HOST ?? '') !== '') return { ms: KUBERNETES_MS, of: 'Kubernetes', assumed: true };
  return MARKS.some(exists) ? { ms: DOCKER_MS, of: 'docker', assumed: true } : null;
}

export interface DrainPlan {
  readonly drainTimeMs: number;
  /** The grace that the default drain time was made shorter for; null where it is as it was. */
  readonly shortenedFor: Grace | null;
  readonly warnings: readonly string[];
}

export interface DrainAsked {
  readonly drainTimeMs: number;
  readonly drainTimeIsDefault: boolean;
  /** The value of `--grace-period`; null where it is not given. */
  readonly graceMs: number | null;
  /**
   * True where the end of the stream takes this egress out of the endpoints of sidecars: it brings
   * its resource, and no other process takes its place over.
   */
  readonly leaves: boolean;
}

/**
 * A control plane deletes the resource of an egress 10 s after its stream has ended, and sidecars
 * know of it two seconds later; the rest is for the sessions that came last.
 */
const LEAVE_MS = 15_000;

/**
 * Fits the default drain time into the grace, and warns where a drain time does not fit what ends
 * it, or what it has to wait for.
 */
export function drainPlan(asked: DrainAsked, found: Grace | null): DrainPlan {
  const { graceMs } = asked;
  const grace = graceMs === null ? found : { ms: graceMs, of: 'the supervisor (--grace-period)', assumed: false };
  const most = grace === null ? Infinity : Math.max(0, grace.ms - AFTER_DRAIN_MS);
  const isShortened = asked.drainTimeIsDefault && asked.drainTimeMs > most;
  const drainTimeMs = isShortened ? most : asked.drainTimeMs;
  const shortenedFor = isShortened ? grace : null;
  const warnings = [tooLong(drainTimeMs, grace), asked.leaves ? tooShort(drainTimeMs, shortenedFor) : null];
  return { drainTimeMs, shortenedFor, warnings: warnings.filter((each) => each !== null) };
}

function tooLong(drainTimeMs: number, grace: Grace | null): string | null {
  if (grace === null || drainTimeMs <= Math.max(0, grace.ms - AFTER_DRAIN_MS)) return null;
  // A Pod has its own figure, which every manifest with a longer drain sets too.
  if (grace.assumed && grace.of === 'Kubernetes') return null;
  const unless = grace.assumed ? ', unless --stop-timeout sets another time (tell it with --grace-period)' : '';
  return (
    `the drain time of ${seconds(drainTimeMs)} does not fit: ${grace.of} kills the process ${seconds(grace.ms)} after SIGTERM${unless}; ` +
    'sessions that are open then are lost without a record'
  );
}

function tooShort(drainTimeMs: number, shortenedFor: Grace | null): string | null {
  if (drainTimeMs >= LEAVE_MS) return null;
  const why =
    shortenedFor === null
      ? `set --drain-time to ${seconds(LEAVE_MS)} or more`
      : `it follows from the ${seconds(shortenedFor.ms)} of ${shortenedFor.of}: let the supervisor wait for ${seconds(LEAVE_MS + AFTER_DRAIN_MS)} or more ` +
        `(docker: --stop-timeout), and set --grace-period to the same`;
  return (
    `the drain time of ${seconds(drainTimeMs)} ends before sidecars are sent to other egresses, which takes some 12 s after the stream to the control plane ends; ` +
    `connections that come later are refused; ${why}`
  );
}

function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}
