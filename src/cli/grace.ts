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
  readonly warning: string | null;
}

/**
 * Fits the default drain time into the grace, and warns where a drain time that was set does not
 * fit.
 */
export function drainPlan(asked: { readonly ms: number; readonly isDefault: boolean }, grace: Grace | null): DrainPlan {
  const most = grace === null ? Infinity : Math.max(0, grace.ms - AFTER_DRAIN_MS);
  if (grace === null || asked.ms <= most) return { drainTimeMs: asked.ms, warning: null };
  if (asked.isDefault) return { drainTimeMs: most, warning: null };
  // A Pod has its own figure, which every manifest with a longer drain sets too.
  if (grace.assumed && grace.of === 'Kubernetes') return { drainTimeMs: asked.ms, warning: null };
  const unless = grace.assumed ? ', unless --stop-timeout sets another time (tell it with --grace-period)' : '';
  const warning =
    `the drain time of ${asked.ms / 1_000} s does not fit: ${grace.of} kills the process ${grace.ms / 1_000} s after SIGTERM${unless}; ` +
    'sessions that are open then are lost without a record';
  return { drainTimeMs: asked.ms, warning };
}
