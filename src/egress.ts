/**
 * The entry of the package: starts a zone egress in the calling process. Three steps make one:
 * observe (what it reports), configure (what it runs on) and serve (where it listens).
 */
import { checkSources, chooseSource } from './assembly/choose-source.ts';
import { configure } from './assembly/configure.ts';
import type { Configuration } from './assembly/configure.ts';
import { checkOptions } from './assembly/egress-options.ts';
import type { EgressOptions } from './assembly/egress-options.ts';
import { observe } from './assembly/observe.ts';
import type { Observation } from './assembly/observe.ts';
import type { Egress } from './assembly/running-egress.ts';
import { serve } from './assembly/serve.ts';
import type { Served } from './assembly/serve.ts';
import { systemClock } from './base/clock.ts';

export type { EgressOptions, ResourceFiles } from './assembly/egress-options.ts';
export type { Egress } from './assembly/running-egress.ts';
export type { ProxyRoster, RosterEntry } from './control/sources/proxy-roster.ts';
export type { ControlPlaneOptions } from './xds/bootstrap/control-plane-options.ts';
export { BootstrapError } from './xds/bootstrap/bootstrap-problem.ts';
export type { LoadResult } from './control/config-loop.ts';
export { ConfigError } from './control/sources/config-source.ts';
export type { ConfigSource, JoinedProxy, SourceBehaviour } from './control/sources/config-source.ts';
export { compile as compileResources } from './resources/compile.ts';
export type { CompileOptions } from './resources/compile.ts';
export type { Compiled } from './model/compiled.ts';
export type { Question } from './explain/question.ts';
export type { Trace } from './explain/trace.ts';
export type { RequestRecord } from './model/request-record.ts';
export type { SessionRecord } from './model/session-record.ts';
export type { Snapshot } from './model/snapshot.ts';
export type { Problem } from './base/problem.ts';

/**
 * Starts a zone egress in this process. Resolves when it listens and its first configuration is
 * live. Throws ConfigError for an unusable configuration, and the system's error where a port
 * cannot be bound. With a source that the start waits for (a control plane), it waits for a usable
 * configuration, and tries again to bind.
 */
export async function startEgress(options: EgressOptions): Promise<Egress> {
  checkOptions(options, 'startEgress');
  checkSources(options);
  const clock = options.clock ?? systemClock({ keepAlive: false });
  const observation = observe(options, clock);
  const source = await chooseSource(options, { clock, observation, hold: (place) => served.hold(place) }).catch(
    async (error: unknown) => {
      await observation.close();
      throw error;
    },
  );
  const configuration: Configuration = configure({ ...options, clock, observation, source, follower: () => served });
  const quit = (): void => {
    if (options.onQuit !== undefined) return options.onQuit();
    void egress.drain(configuration.settings.drainTimeMs).done.then(() => egress.close());
  };
  const served: Served = serve(options, { clock, observation, configuration, source, quit });
  try {
    await served.open();
  } catch (error) {
    await served.close();
    throw error;
  }
  const egress = running(observation, configuration, served);
  return egress;
}

function running(observation: Observation, configuration: Configuration, served: Served): Egress {
  const { observer } = observation;
  const { pages, ending, listening, ports, stopFollowing } = served;
  const { workers } = configuration.dataPlane;
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    ending.end();
    closing ??= served.close();
    return closing;
  };
  return {
    adminPort: ports.admin,
    readinessPort: ports.readiness,
    get address() {
      return listening.at?.address ?? '';
    },
    get port() {
      return listening.at?.port ?? 0;
    },
    get listeners() {
      return listening.all;
    },
    snapshot() {
      const live = configuration.live();
      if (live === null) throw new Error('no configuration is live');
      return live.snapshot;
    },
    sessions: () => workers.limits.sessions,
    problems: () => configuration.problems(),
    decisions: (query = {}) => observer.decisions(query),
    explain(question) {
      const answer = pages.explain(question);
      if (answer.kind !== 'trace') throw new Error(answer.why);
      return answer.trace;
    },
    onRecord: (listener) => observer.onRecord(listener),
    onRequest: (listener) => observer.onRequest(listener),
    metrics: () => observer.text(workers.limits),
    reload: () => configuration.load(),
    get logLevel() {
      return observer.log.level;
    },
    setLogLevel(level) {
      if (level === observer.log.level) return;
      observer.log.setLevel(level);
      observer.log.always('info', { level }, `the level of the log is ${level} now`);
    },
    reopenLogs: () => observation.reopenLogs(),
    drain(drainTimeMs) {
      stopFollowing();
      return ending.drain(drainTimeMs);
    },
    reportFault: (error) => observation.fault(error),
    close,
    [Symbol.asyncDispose]: close,
  };
}
