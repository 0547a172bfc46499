import { systemClock } from '../base/clock.ts';
import { giveBackWhenQuiet } from '../base/release-memory.ts';
import { formatProblem } from '../base/problem.ts';
import { ConfigError } from '../control/sources/config-source.ts';
import { drainPlan } from './grace.ts';
import type { DrainPlan } from './grace.ts';
import { levelSwitch } from './level-switch.ts';
import type { LevelSwitch } from './level-switch.ts';
import { folderProblem } from './load-folder.ts';
import { EXIT_CONFIG, EXIT_NO_INPUT } from './exit-codes.ts';
import { loadControlPlane } from './control-plane.ts';
import { bringsResource } from './control-plane-flags.ts';
import { namesSeveral, proxyFiles } from './proxy-files.ts';
import { OtlpError } from '../observe/otlp/otlp-options.ts';
import { BootstrapError, startEgress } from '../egress.ts';
import type { ControlPlaneOptions, Egress, EgressOptions, ProxyRoster } from '../egress.ts';
import { report } from './supervisor.ts';
import type { RunOptions } from './run-options.ts';
import type { Signal, Terminal } from './terminal.ts';

/** Descriptors that are not for sessions: listeners, admin, files, name servers. */
const RESERVED_DESCRIPTORS = 256;
/** A session holds the client's connection and the endpoint's. */
const DESCRIPTORS_PER_SESSION = 2;
/** Sessions that are allowed even with few descriptors. */
const FEWEST_SESSIONS = 16;
/** With fewer the egress would start, and find none for its first sessions. */
const FEWEST_DESCRIPTORS = 64;
const DESCRIPTORS_PER_WORKER = 16;
/** npm and a terminal both forward Ctrl-C: a SIGINT within this time is the same one. */
const SAME_SIGNAL_MS = 500;

/** From kuma-dp. */
const EXIT_BOOTSTRAP = 1;

/**
 * Serves until a signal. Resolves with the exit code: 0 when all sessions ended, `drainExitCode`
 * when some were cut, 78 for a configuration that cannot be used, 1 for a control plane that
 * refuses it.
 */
export function runCommand(options: RunOptions, terminal: Terminal): Promise<number> {
  const { drainTimeMs, warnings } = plannedDrain(options, terminal);
  return serveWith({ ...options, drainTimeMs }, warnings, terminal);
}

/** Returns the drain time that `run` has, which may be shorter than the default. */
export function plannedDrain(options: RunOptions, terminal: Terminal): DrainPlan {
  const leaves = bringsResource(options.controlPlane) && (terminal.inheritedSocket?.() ?? null) === null;
  return drainPlan({ ...options, leaves }, terminal.grace?.() ?? null);
}

async function serveWith(options: RunOptions, warnings: readonly string[], terminal: Terminal): Promise<number> {
  const source = await sourceOf(options, terminal);
  if (typeof source === 'number') return source;
  const inherited = terminal.inheritedSocket?.() ?? null;
  if (inherited !== null && 'problem' in inherited) {
    terminal.err(`zone-egress: ${inherited.problem}\n`);
    return EXIT_CONFIG;
  }
  const lack = descriptorLack(terminal.descriptorLimit(), workersOf(options, terminal));
  if (lack !== null) {
    terminal.err(`zone-egress: ${lack}\n`);
    return EXIT_CONFIG;
  }
  const isControlled = !('resources' in source);
  // PID 1 ignores a signal without a listener. A signal during the start is kept until after it, or
  // ends the wait for a control plane.
  let early: Signal | null = null;
  const waiting = new AbortController();
  const stopBefore = (signal: Signal): void => {
    early = signal;
    waiting.abort();
  };
  // Without a listener the last two would end the process, which may wait long for a control plane.
  const stopEarly = terminal.onSignal(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'], (signal) => {
    if (signal === 'SIGTERM' || signal === 'SIGINT') stopBefore(signal);
  });
  let quit = (): void => stopBefore('SIGTERM');
  const egress = await start(
    {
      onQuit: () => quit(),
      ...withSocket(egressOptions(options, terminal, warnings), options, inherited),
      ...source,
      ...(isControlled ? { signal: waiting.signal } : {}),
    },
    terminal,
  );
  if (typeof egress === 'number') {
    stopEarly();
    return egress;
  }
  terminal.onFault((error) => egress.reportFault(error));
  // With several workers this thread carries no session.
  const carries = inherited !== null || workersOf(options, terminal) === 1;
  giveBackWhenQuiet(systemClock({ keepAlive: false }), { sessions: carries ? () => egress.sessions() : null });
  const told = reportsTo(terminal);
  const served = serveUntilSignal(egress, {
    onDrain: () => told?.stopping(),
    drainTimeMs: options.drainTimeMs,
    // kuma-dp cuts the remaining sessions at the end of the drain time, and exits with 0.
    drainExitCode: isControlled ? 0 : options.drainExitCode,
    terminal,
    early,
    level: levelSwitch(egress, options, terminal),
    onQuit: (listener) => void (quit = listener),
  });
  stopEarly();
  return served.finally(() => told?.end());
}

/** Null without a supervisor that waits for reports. */
function reportsTo(terminal: Terminal): ReturnType<typeof report> | null {
  const supervisor = terminal.supervisor?.() ?? null;
  if (supervisor === null) return null;
  return report(supervisor, systemClock({ keepAlive: false }), (message) =>
    terminal.err(`zone-egress: the service manager gets no reports from this process: ${message}\n`),
  );
}

type Source = { readonly resources: string } | { readonly controlPlane: ControlPlaneOptions } | { readonly proxies: ProxyRoster };

/**
 * Reads and checks everything that the flags name; returns an exit code after it printed a fault.
 */
async function sourceOf({ resources, controlPlane, stateDir }: RunOptions, terminal: Terminal): Promise<Source | number> {
  if (resources !== null) {
    const missing = folderProblem(resources);
    if (missing === null) return { resources };
    terminal.err(`zone-egress: ${missing}\n`);
    return EXIT_NO_INPUT;
  }
  if (controlPlane === null) throw new Error('run without a source');
  try {
    const kept = stateDir === null ? {} : { stateDir };
    if (!(await namesSeveral(controlPlane))) return { controlPlane: { ...(await loadControlPlane(controlPlane)), ...kept } };
    return { proxies: proxyFiles(controlPlane, systemClock({ keepAlive: false }), kept) };
  } catch (error) {
    terminal.err(`zone-egress: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT_CONFIG;
  }
}

/** Starts, or prints why not and returns an exit code. */
export async function start(options: EgressOptions, terminal: Terminal): Promise<Egress | number> {
  try {
    return await startEgress(options);
  } catch (error) {
    if (error instanceof ConfigError) {
      for (const problem of error.problems) terminal.err(`${formatProblem(problem)}\n`);
      terminal.err(`zone-egress: ${error.message}\n`);
      return EXIT_CONFIG;
    }
    if (options.signal?.aborted === true) return 0;
    if (error instanceof OtlpError) {
      terminal.err(`zone-egress: ${error.message}\n`);
      return EXIT_CONFIG;
    }
    if (error instanceof BootstrapError) {
      terminal.err(`zone-egress: ${error.message}\n`);
      return EXIT_BOOTSTRAP;
    }
    const { code, message } = error as Error & { code?: string };
    if (code === undefined) throw error;
    terminal.err(`zone-egress: ${message}\n`);
    return code === 'EACCES' || code === 'EPERM' ? 77 : 71;
  }
}

export interface UntilSignalOptions {
  readonly drainTimeMs: number;
  readonly drainExitCode: number;
  readonly terminal: Terminal;
  readonly onDrain?: () => void;
  /** A signal that came before there was anything to drain. */
  readonly early?: Signal | null;
  /** Absent leaves the level of the log as it is. */
  readonly level?: LevelSwitch;
  /** Called with what an operator who ends the egress over its admin pages calls. */
  readonly onQuit?: (quit: () => void) => void;
}

/**
 * SIGTERM and SIGINT drain, a second one ends now, SIGHUP reloads, SIGUSR1 opens the files of logs
 * again, SIGUSR2 changes the level of the log.
 */
export function serveUntilSignal(egress: Egress, options: UntilSignalOptions): Promise<number> {
  const { terminal } = options;
  const clock = systemClock();
  return new Promise((resolve, reject) => {
    let draining: { readonly hurry: () => void } | null = null;
    let since = 0;
    function onSignal(signal: Signal): void {
      if (signal === 'SIGUSR1') return egress.reopenLogs();
      if (signal === 'SIGUSR2') return options.level?.toggle();
      if (signal === 'SIGHUP') {
        options.level?.reread();
        return void egress.reload();
      }
      const now = clock.now();
      if (draining !== null) {
        if (signal === 'SIGTERM' || now - since > SAME_SIGNAL_MS) draining.hurry();
        return;
      }
      since = now;
      options.onDrain?.();
      const drain = egress.drain(options.drainTimeMs);
      draining = drain;
      drain.done
        .then(async (outcome) => {
          await egress.close();
          stop();
          resolve(outcome === 'clean' ? 0 : options.drainExitCode);
        })
        .catch(reject);
    }
    const stop = terminal.onSignal(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'], onSignal);
    options.onQuit?.(() => onSignal('SIGTERM'));
    if (options.early) onSignal(options.early);
  });
}

/** Threads cannot share the descriptor of a socket; other processes of the same supervisor can. */
function withSocket(
  egress: EgressOptions,
  { concurrency }: RunOptions,
  inherited: { readonly fd: number } | null,
): EgressOptions {
  if (inherited === null) return egress;
  const remark = `--concurrency ${concurrency}: an inherited socket is served by one worker; start more instances for more CPUs`;
  const warnings = [...(egress.warnings ?? []), ...(concurrency > 1 ? [remark] : [])];
  return { ...egress, inheritedSocket: inherited.fd, concurrency: 1, warnings };
}

function descriptorLack(limit: number | null, workers: number): string | null {
  const needed = FEWEST_DESCRIPTORS + DESCRIPTORS_PER_WORKER * (workers - 1);
  if (limit === null || limit >= needed) return null;
  const withWorkers = workers === 1 ? '' : ` with ${workers} workers`;
  return `this process may have ${limit} open files, and an egress${withWorkers} needs at least ${needed} to serve at all: raise the limit (ulimit -n)`;
}

function workersOf({ concurrency }: RunOptions, terminal: Terminal): number {
  return concurrency === 0 ? terminal.cpus() : concurrency;
}

function egressOptions(options: RunOptions, terminal: Terminal, warnings: readonly string[]): EgressOptions {
  const descriptors = terminal.descriptorLimit();
  const { maxSessions, warning } = sessionLimit(options.maxSessions, descriptors);
  return {
    ...(options.name === null ? {} : { name: options.name }),
    ...(options.zone === null ? {} : { zone: options.zone }),
    ...(options.identities === null ? {} : { identities: options.identities }),
    ...(options.bind === null ? {} : { bind: options.bind }),
    strict: options.strict,
    admin: {
      bind: options.adminBind,
      allowedHosts: options.adminHosts,
      ...(options.adminSocket === null ? {} : { socket: options.adminSocket }),
      ...(options.adminTokenFile === null ? {} : { tokenFile: options.adminTokenFile }),
      ...(options.adminTls === null ? {} : { tls: options.adminTls }),
    },
    readiness: options.readinessPort === 0 ? false : { port: options.readinessPort },
    concurrency: workersOf(options, terminal),
    watch: true,
    configThread: true,
    logLevel: options.logLevel,
    logFormat: options.logFormat,
    logSample: options.logSample,
    metricsTop: options.metricsTop,
    openMetrics: options.openMetrics,
    ...(options.otlp === null ? {} : { otlp: options.otlp }),
    ignoredFlags: options.ignored,
    warnings: warning === null ? warnings : [...warnings, warning],
    reportOnly: options.reportOnly,
    ...(options.record === null ? {} : { record: { file: options.record, maxBytes: options.recordMaxBytes } }),
    traffic: {
      drainTimeMs: options.drainTimeMs,
      setupTimeoutMs: options.setupTimeoutMs,
      idleTimeoutMs: options.idleTimeoutMs,
      halfClosedTimeoutMs: options.halfClosedTimeoutMs,
      maxHelloBytes: options.maxHelloBytes,
      maxSessions,
      maxDescriptors: descriptors ?? 0,
      maxHandshakes: options.maxHandshakes,
      maxSessionsPerSource: options.maxSessionsPerSource,
      allowedResolved: options.allowedResolved,
      http: options.http,
      resumption: options.resumption,
    },
  };
}

/**
 * Returns the requested number, bounded by the descriptors: above that, the admin pages, look-ups
 * and files would get none.
 */
export function sessionLimit(
  asked: number,
  descriptorLimit: number | null,
): { readonly maxSessions: number; readonly warning: string | null } {
  const most = sessionsFor(descriptorLimit);
  if (descriptorLimit === null) return { maxSessions: asked === 0 ? most : asked, warning: null };
  const needed = RESERVED_DESCRIPTORS + DESCRIPTORS_PER_SESSION * Math.max(asked, FEWEST_SESSIONS);
  if (needed <= descriptorLimit) return { maxSessions: asked === 0 ? most : asked, warning: null };
  const limit = `this process may have ${descriptorLimit} open files`;
  const remedy = `raise the limit (ulimit -n) to ${needed}`;
  if (asked > most)
    return {
      maxSessions: most,
      warning: `--max-sessions ${asked} is more than there is room for: ${limit}, and a session takes ${DESCRIPTORS_PER_SESSION} beside ${RESERVED_DESCRIPTORS} for other uses; the limit is ${most} sessions, ${remedy}`,
    };
  return { maxSessions: asked === 0 ? most : asked, warning: `${limit}, which is too few to serve well: ${remedy}` };
}

/**
 * Stays below the descriptor limit: at the limit the kernel accepts connections and drops them
 * silently.
 */
function sessionsFor(descriptorLimit: number | null): number {
  if (descriptorLimit === null) return 10_000;
  return Math.max(FEWEST_SESSIONS, Math.floor((descriptorLimit - RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_SESSION));
}
