import { createEnvoyAdmin } from './admin/envoy/admin.ts';
import type { EnvoyAdmin } from './admin/envoy/admin.ts';
import type { EnvoyFacts } from './admin/envoy/facts.ts';
import { envoyPages } from './admin/envoy/pages.ts';
import { createAdminServer, createReadinessServer } from './admin/server.ts';
import type { AdminServer } from './admin/server.ts';
import { nextTurn, systemClock } from './base/clock.ts';
import { within } from './base/within.ts';
import type { Clock } from './base/clock.ts';
import { formatProblem } from './base/problem.ts';
import type { Problem } from './base/problem.ts';
import { ConfigLoop } from './control/config-loop.ts';
import type { LoadResult } from './control/config-loop.ts';
import { ConfigError } from './control/sources/config-source.ts';
import type { ConfigSource } from './control/sources/config-source.ts';
import { WorkerPool } from './control/worker-pool.ts';
import { Listening } from './control/listening.ts';
import type { ControlPlaneSource } from './control/sources/control-plane-source.ts';
import { join } from './control/wait-for-control-plane.ts';
import type * as Joining from './control/sources/join-control-plane.ts';
import { envoyFacts } from './control/envoy-facts.ts';
import { drain } from './control/drain.ts';
import { recordSessions } from './control/record-sessions.ts';
import type { RecordOptions } from './control/record-sessions.ts';
import { explainLive, probeLive } from './control/explain-live.ts';
import type { ExplainParts } from './control/explain-live.ts';
import { createProber } from './control/probe-endpoints.ts';
import type { Drained } from './control/drain.ts';
import { watchEndpoints } from './control/watch-endpoints.ts';
import { folderSource, memorySource } from './control/sources/folder-source.ts';
import { rewrittenSource } from './control/sources/rewritten-source.ts';
import type { Rewrite } from './control/sources/rewritten-source.ts';
import { threadSource } from './control/sources/thread-source.ts';
import { createResolver } from './endpoints/dns.ts';
import type { Resolver } from './endpoints/dns.ts';
import type { EndpointWatch } from './endpoints/watch.ts';
import type { Answer, ProbeQuestion, Question } from './explain/question.ts';
import type { Trace } from './explain/trace.ts';
import { createKeyStore } from './identity/key-store.ts';
import type { KeyStore } from './identity/key-store.ts';
import type { ListenerConfig } from './model/compiled.ts';
import type { RequestRecord } from './model/request-record.ts';
import type { SessionRecord } from './model/session-record.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from './model/settings.ts';
import type { TrafficSettings } from './model/settings.ts';
import { EMPTY_SNAPSHOT } from './model/snapshot.ts';
import { namesIn } from './model/snapshot.ts';
import type { Snapshot } from './model/snapshot.ts';
import { createObserver } from './observe/observer.ts';
import { packageVersion } from './base/version.ts';
import * as checked from './base/shape.ts';
import { clock, signal, traffic } from './control/option-checks.ts';
import type { ControlPlaneOptions } from './xds/bootstrap/control-plane-options.ts';
import type { Observer } from './observe/observer.ts';

export type ResourceFiles = readonly { readonly path: string; readonly text: string }[];

export interface EgressOptions {
  /**
   * A folder of Kuma resource files, the files themselves, or what gives them at each load. Either
   * this or `controlPlane`.
   */
  readonly resources?: string | ResourceFiles | (() => ResourceFiles);
  /**
   * Joins a control plane in place of kuma-dp and Envoy; what it sends is followed until the end.
   */
  readonly controlPlane?: ControlPlaneOptions;
  /** Which ZoneEgress, where there are several. */
  readonly name?: string;
  /** Name of this zone, where the ZoneEgress has none. */
  readonly zone?: string;
  /**
   * Folder with a sub-folder per mesh holding `tls.crt`, `tls.key`, `ca.crt`; instead of CA keys.
   */
  readonly identities?: string;
  /** Unknown fields and kinds are errors. */
  readonly strict?: boolean;
  /** Instead of the address of the ZoneEgress. */
  readonly bind?: string;
  /** Instead of the port of the ZoneEgress; 0 takes a free one. */
  readonly port?: number;
  /** The admin listener; its port comes from the ZoneEgress unless given. `false`: none. */
  readonly admin?: false | { readonly bind?: string; readonly port?: number; readonly allowedHosts?: readonly string[] };
  /**
   * A listener that answers /ready and nothing else, on every address unless `bind` names one.
   * Default: none.
   */
  readonly readiness?: false | { readonly bind?: string; readonly port: number };
  /** 1 (default) shares the caller's thread; more have a worker thread each. */
  readonly concurrency?: number;
  /**
   * Reads and compiles the folder in a thread of its own, so that a change holds up no session
   * however large the folder. Default: no.
   */
  readonly configThread?: boolean;
  /** Reload when the folder changes. Default: no. */
  readonly watch?: boolean;
  /** Default: off. */
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'off';
  /**
   * One of so many sessions that ended well gets a log line, refused ones always; 0: none. Default:
   * 1, each.
   */
  readonly logSample?: number;
  /** Where log lines go; default: standard output. */
  readonly logDestination?: { write(line: string): void };
  /**
   * How many sessions that ended are remembered, for `decisions` and `explain`. Default: 10,000.
   */
  readonly remembered?: number;
  /**
   * Writes the facts of each session that ended to this file, never payload (docs/recording.md).
   * Default: no.
   */
  readonly record?: RecordOptions;
  readonly traffic?: Partial<TrafficSettings>;
  /**
   * How names are resolved; default: as the operating system does (hosts file, search list, DNS).
   */
  readonly lookup?: (name: string, family: 'v4' | 'any') => Promise<string[]>;
  readonly clock?: Clock;
  /** Served in place of what was compiled, e.g. with the addresses of test doubles. */
  readonly rewrite?: Rewrite;
  /** Gives up a start that waits for its control plane: `startEgress` rejects with the reason. */
  readonly signal?: AbortSignal;
  /** What whoever starts it has to say of its options; logged once. */
  readonly warnings?: readonly string[];
  /** Flags that were given and have no meaning here; said once at debug. */
  readonly ignoredFlags?: readonly string[];
}

/** For callers from JavaScript: a misspelt option is told, and not taken in silence. */
const checkOptions = checked.options<EgressOptions>({
  resources: checked.either('a folder, a list of { path, text }, or a function that gives one', {
    string: checked.text,
    list: checked.listOf(checked.options<ResourceFiles[number]>({ path: checked.name, text: checked.text }, ['path', 'text'])),
    function: checked.callback,
  }),
  controlPlane: checked.having('options of a control plane', 'token'),
  name: checked.text,
  zone: checked.text,
  identities: checked.text,
  strict: checked.flag,
  bind: checked.text,
  port: checked.port,
  admin: checked.either('false, or { bind, port, allowedHosts }', {
    boolean: checked.isFalse,
    object: checked.options<Exclude<EgressOptions['admin'], false | undefined>>({
      bind: checked.text,
      port: checked.port,
      allowedHosts: checked.listOf(checked.text),
    }),
  }),
  readiness: checked.either('false, or { bind, port }', {
    boolean: checked.isFalse,
    object: checked.options<Exclude<EgressOptions['readiness'], false | undefined>>({ bind: checked.text, port: checked.port }, [
      'port',
    ]),
  }),
  concurrency: checked.whole(1, 1_024),
  configThread: checked.flag,
  watch: checked.flag,
  logLevel: checked.oneOf(['debug', 'info', 'warn', 'error', 'off']),
  logSample: checked.amount,
  logDestination: checked.having('something with write(line)', 'write'),
  remembered: checked.amount,
  record: checked.options<RecordOptions>({ file: checked.name, maxBytes: checked.amount }, ['file']),
  traffic,
  lookup: checked.callback,
  clock,
  rewrite: checked.callback,
  signal,
  warnings: checked.listOf(checked.text),
  ignoredFlags: checked.listOf(checked.text),
});

/** A running egress. Close it, or declare it with `await using`. */
export interface Egress extends AsyncDisposable {
  readonly address: string;
  /** 0 while nothing listens, as a control plane may have it. */
  readonly port: number;
  /** 0 where there is no admin listener. */
  readonly adminPort: number;
  /** 0 where there is none. */
  readonly readinessPort: number;
  snapshot(): Snapshot;
  /** Sessions open now. */
  sessions(): number;
  /** Of the last load. */
  problems(): readonly Problem[];
  /** Newest first. */
  decisions(query?: { readonly limit?: number; readonly reason?: string; readonly mesh?: string }): readonly SessionRecord[];
  /**
   * Why a session that ended, or a connection that somebody thinks of, passes or does not, on the
   * configuration that is live. Throws for a session that is not remembered, and for names that
   * cannot be a client's.
   */
  explain(question: Question): Trace;
  /** Calls `listener` with each record of a session that ended; gives back how to stop. */
  onRecord(listener: (record: SessionRecord) => void): () => void;
  /**
   * Calls `listener` with each record of a request of a service that speaks HTTP; gives back how to
   * stop.
   */
  onRequest(listener: (record: RequestRecord) => void): () => void;
  /** Prometheus text. */
  metrics(): Promise<string>;
  /** Loads the configuration again; a bad one changes nothing. */
  reload(): Promise<LoadResult>;
  /**
   * No new connections once it is quiet, then waits for the sessions; what is left after
   * `drainTimeMs` is cut.
   */
  drain(drainTimeMs: number): { readonly done: Promise<Drained>; readonly hurry: () => void };
  /** Logs and counts an error that the process caught and the egress did not. */
  reportFault(error: unknown): void;
  /** Ends everything now. */
  close(): Promise<void>;
}

export type { ControlPlaneOptions } from './xds/bootstrap/control-plane-options.ts';
export { BootstrapError } from './xds/bootstrap/bootstrap-problem.ts';
export type { LoadResult } from './control/config-loop.ts';
export { ConfigError } from './control/sources/config-source.ts';
export type { Question } from './explain/question.ts';
export type { Trace } from './explain/trace.ts';
export type { RequestRecord } from './model/request-record.ts';
export type { SessionRecord } from './model/session-record.ts';
export type { Snapshot } from './model/snapshot.ts';
export type { Problem } from './base/problem.ts';

/**
 * Starts a zone egress in this process. Resolves when it listens and its first configuration is
 * live. Throws ConfigError for a configuration that cannot be used, and the error of the system
 * where a port cannot be bound. What a control plane sends and cannot be used or bound is waited
 * for or tried again.
 */
export async function startEgress(options: EgressOptions): Promise<Egress> {
  checkOptions(options, 'startEgress');
  // gRPC and Envoy's messages take a second to load: only who joins a control plane waits for them.
  const joining = options.controlPlane === undefined ? null : await import('./control/sources/join-control-plane.ts');
  const parts = assemble(options, joining);
  try {
    return await open(options, parts);
  } catch (error) {
    await parts.close();
    throw error;
  }
}

/** What an end waits for each of its parts, and for its last lines to be read. */
const CLOSE_MS = 4_000;
const LAST_LINES_MS = 1_000;

type LiveConfig = NonNullable<ConfigLoop['live']>;

interface Parts {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly workers: WorkerPool;
  readonly resolver: Resolver;
  readonly watch: EndpointWatch;
  readonly keyStore: KeyStore;
  readonly loop: ConfigLoop;
  readonly listening: Listening;
  /** Null where a folder is the source. */
  readonly controlPlane: ControlPlaneSource | null;
  readonly facts: EnvoyFacts;
  /** Where a control plane reads of this egress; listens when it says so. */
  readonly envoyAdmin: EnvoyAdmin;
  readonly state: {
    draining: boolean;
    /** Since a drain began. */
    drained: { readonly startedAt: number; ended: number; cut: number } | null;
    problems: readonly Problem[];
    /** Kept by the first configuration that can be used. */
    readonly usable: PromiseWithResolvers<void>;
    endRecording: () => Promise<void>;
  };
  readonly servers: AdminServer[];
  explain(question: Question): Answer;
  probe(question: ProbeQuestion): Promise<Answer>;
  close(): Promise<void>;
}

/** Where the rooms meet: everything is made here, nothing is opened yet. */
function assemble(options: EgressOptions, joining: typeof Joining | null): Parts {
  const clock = options.clock ?? systemClock({ keepAlive: false });
  const settings = { ...DEFAULT_TRAFFIC_SETTINGS, ...options.traffic };
  const state: Parts['state'] = {
    draining: false,
    drained: null,
    problems: [],
    usable: Promise.withResolvers<void>(),
    endRecording: () => Promise.resolve(),
  };
  const observer = createObserver({
    clock,
    level: options.logLevel ?? 'off',
    version: packageVersion(),
    ...(options.remembered === undefined ? {} : { decisions: options.remembered }),
    ...(options.logSample === undefined ? {} : { logSample: options.logSample }),
    ...(options.logDestination === undefined ? {} : { destination: options.logDestination }),
  });
  const { log, metrics } = observer;
  metrics.workers(options.concurrency ?? 1);

  const workers: WorkerPool = new WorkerPool({
    clock,
    settings,
    count: options.concurrency ?? 1,
    onRecords(records) {
      for (const record of records) {
        observer.record(record);
        if (state.drained !== null) state.drained[record.reason === 'drained' ? 'cut' : 'ended']++;
        touchNames(loop, resolver, record.cluster);
      }
    },
    onRequests(records) {
      for (const record of records) observer.recordRequest(record);
    },
    onResolve: (name, family) => void resolver.resolve(name, family),
    onCredentialsNeeded: (mesh) => keyStore.refresh(mesh),
    onReports: (reports) => watch.report(reports),
    onRelay(path) {
      metrics.relay(path);
      if (path === 'public-api')
        log.warn(
          { path },
          'the accepted handle cannot be adopted on this Node: bytes go through the public API, which costs more CPU',
        );
    },
    onFault(message, stack) {
      metrics.fault();
      log.error({ stack }, message);
    },
  });
  const resolver: Resolver = createResolver({
    clock,
    onAnswer(name, resolution) {
      workers.setName(name, resolution);
      watch.refresh(name);
      metrics.endpoints(watch.counts);
    },
    onFailure(name, message) {
      metrics.dns('failed');
      log.warn({ name, message }, 'a name could not be resolved');
    },
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
  });
  const watch: EndpointWatch = watchEndpoints({
    clock,
    workers,
    allowedResolved: settings.allowedResolved,
    onHealth({ cluster, key: endpoint, health }, why) {
      metrics.endpoints(watch.counts);
      if (health === 'healthy') log.info({ cluster, endpoint }, 'an endpoint is healthy again');
      else log.warn({ cluster, endpoint, health, why }, 'an endpoint is not used any more');
    },
    onCheck: (finding) => metrics.check(finding === null ? 'success' : 'failure'),
    onDetected(detector, result, cluster) {
      metrics.ejection(detector, result);
      observer.traffic.ejection(cluster, detector, result);
    },
  });
  const keyStore = createKeyStore({
    clock,
    onCredentials(credentials) {
      metrics.certificate(credentials.mesh, credentials.notAfter);
      workers.setCredentials(credentials);
    },
    onRemoved(mesh) {
      metrics.certificateGone(mesh);
      workers.removeCredentials(mesh);
    },
    onProblem: (problem) => log.error({ problem }, formatProblem(problem)),
  });
  const controlPlane =
    options.controlPlane === undefined || joining === null ? null : joining.controlPlaneOf(options.controlPlane, clock, observer);
  const source = rewrittenSource(controlPlane ?? sourceOf(options, clock), options.rewrite);
  const loop: ConfigLoop = new ConfigLoop({
    clock,
    source,
    store: keyStore,
    async goLive(config, credentials) {
      await workers.goLive({ snapshot: config.snapshot, secrets: config.secrets, credentials });
      // Ten thousand services take some milliseconds in each of these: sessions have a turn in
      // between.
      await nextTurn();
      resolver.want(namesIn(config.snapshot));
      await nextTurn();
      watch.want(config.snapshot);
      await nextTurn();
      metrics.endpoints(watch.counts);
      await listening.follow(config.listener);
      await followAdmin(parts);
    },
    onLoad(result, tookMs) {
      const problems = [...result.problems, ...(result.kind === 'live' ? listening.unmet(result.config.listener) : [])];
      state.problems = problems;
      observer.load({ ...result, problems }, tookMs);
      if (result.kind === 'live') state.usable.resolve();
    },
  });
  const listening = new Listening({
    clock,
    workers,
    follows: controlPlane !== null,
    ...(options.bind === undefined ? {} : { bind: options.bind }),
    ...(options.port === undefined ? {} : { port: options.port }),
    onChange(at) {
      if (controlPlane !== null && at === null) log.warn({}, 'the listener for clients is closed');
      if (controlPlane !== null && at !== null) log.info({ ...at }, 'the listener for clients is open');
      tellOwnListeners(parts);
    },
    onFailure: (error) => log.error({ err: error }, 'the listener could not be opened; it is tried again'),
  });
  const servers: AdminServer[] = [];
  const facts: EnvoyFacts = envoyFacts({
    clock,
    workers,
    loop,
    listening,
    observer,
    controlPlane,
    allowedResolved: settings.allowedResolved,
    servesHttp: settings.http,
    ready: () => readiness(parts),
    adminAt: () => envoyAdmin.at,
  });
  const envoyAdmin = createEnvoyAdmin({ clock, facts, fault: (error) => reportFault(observer, error) });
  const prober = createProber({ clock, workers });
  const explained: ExplainParts = {
    clock,
    workers,
    allowedResolved: settings.allowedResolved,
    live: () => loop.live,
    record: (id) => observer.decision(id),
    request: (id) => observer.request(id),
    records: (mesh) => observer.decisions({ mesh }),
    prober,
  };
  async function done(what: string, waited: Promise<unknown> | undefined): Promise<void> {
    if (!(await within(CLOSE_MS, waited))) log.warn({ what, afterMs: CLOSE_MS }, 'the end does not wait for it any longer');
  }
  const parts: Parts = {
    clock,
    observer,
    workers,
    resolver,
    watch,
    keyStore,
    loop,
    state,
    servers,
    listening,
    controlPlane,
    facts,
    envoyAdmin,
    explain: (question) => explainLive(explained, question),
    probe: (question) => probeLive(explained, question),
    async close() {
      listening.end();
      prober.close();
      loop.close();
      keyStore.close();
      resolver.close();
      watch.close();
      // Each wait is bounded: what hangs there must not keep the process.
      await done('the source of the configuration', source.close?.());
      await done('a data side', workers.stop());
      await done('the recording', state.endRecording());
      await done('an admin listener', Promise.all([envoyAdmin.close(), ...servers.map((server) => server.close())]));
      const { drained } = state;
      if (drained !== null) {
        const { ended, cut } = drained;
        const tookMs = Math.round(clock.now() - drained.startedAt);
        observer.log.info(
          { ended, cut, tookMs },
          cut === 0 ? 'drained: every session has ended' : 'drained: some sessions were cut',
        );
      }
      await within(LAST_LINES_MS, observer.flush());
      observer.close();
    },
  };
  return parts;
}

/**
 * The admin listener of the control plane is as it says in the configuration that is live. What
 * cannot be bound is said, and nothing else depends on it.
 */
async function followAdmin(parts: Parts): Promise<void> {
  const { controlPlane, envoyAdmin, workers, observer } = parts;
  if (controlPlane === null) return;
  const before = envoyAdmin.at;
  try {
    await envoyAdmin.follow(controlPlane.admin(), (hash) => workers.secret(hash));
  } catch (err) {
    observer.log.error(
      { err },
      'the admin listener that the control plane wants could not be opened: it cannot look into this egress',
    );
  }
  if (envoyAdmin.at?.port !== before?.port || envoyAdmin.at?.address !== before?.address) tellOwnListeners(parts);
}

/** None of them is ever dialled. */
function tellOwnListeners({ listening, servers, workers, watch, envoyAdmin }: Parts): void {
  const { at } = listening;
  workers.setOwnListeners([
    ...(at === null ? [] : [{ ip: at.address === '' ? '::' : at.address, port: at.port }]),
    ...[...servers, envoyAdmin.at].flatMap((server) => (server === null ? [] : [{ ip: server.address, port: server.port }])),
  ]);
  watch.refresh();
}

async function open(options: EgressOptions, parts: Parts): Promise<Egress> {
  const { clock, state, workers, loop, listening, observer, controlPlane } = parts;
  if (options.record !== undefined) state.endRecording = await recordSessions(options.record, observer, clock);
  await workers.start();
  // A control plane may let wait for long: who asks meanwhile is told so.
  const readiness =
    options.readiness === undefined || options.readiness === false ? null : await openReadiness(options.readiness, parts);
  for (const warning of [...(options.warnings ?? []), ...(options.controlPlane?.warnings ?? [])]) observer.log.warn({}, warning);
  if (controlPlane !== null) await join(controlPlane, options.signal);
  const { listener } = await firstConfig(parts, options.signal);
  // What ends the start is tried before a client is served, or somebody told that it is ready.
  const admin = options.admin === false ? null : await openAdmin(options.admin ?? {}, { listener, parts });
  await listening.open(listener);
  tellOwnListeners(parts);
  if (options.watch === true || controlPlane !== null) loop.watch();
  const ports = { admin: admin?.port ?? 0, readiness: readiness?.port ?? 0 };
  const about = { version: packageVersion(), ...sourceText(options), name: listener.name };
  observer.log.info({ ...about, ...listening.at, ...ports, workers: workers.count }, 'zone egress is ready');
  if ((options.ignoredFlags ?? []).length > 0)
    observer.log.debug({ flags: options.ignoredFlags }, 'these flags have no meaning for this egress');
  return egressOf(parts, { adminPort: admin?.port ?? 0, readinessPort: readiness?.port ?? 0 });
}

/** Where its configuration comes from, without what a URL may carry of secrets. */
function sourceText({ resources, controlPlane }: EgressOptions): { readonly mode: string; readonly source: string } {
  if (controlPlane !== undefined) return { mode: 'control plane', source: new URL(controlPlane.url).origin };
  return typeof resources === 'string' ? { mode: 'folder', source: resources } : { mode: 'resources in memory', source: '' };
}

/**
 * What a folder has is for the operator to mend; what a control plane sent is mended there, and
 * waited for.
 */
async function firstConfig(
  { loop, controlPlane, state }: Parts,
  signal: AbortSignal | undefined,
): Promise<Pick<LiveConfig, 'listener'>> {
  const first = await loop.load();
  if (first.kind === 'live') return first.config;
  if (controlPlane === null) throw new ConfigError(first.problems);
  const giveUp = (): void => state.usable.reject(signal?.reason);
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    signal?.throwIfAborted();
    loop.watch();
    await state.usable.promise;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
  if (loop.live === null) throw new ConfigError(first.problems);
  return loop.live;
}

function egressOf(parts: Parts, at: Pick<Egress, 'adminPort' | 'readinessPort'>): Egress {
  const { clock, workers, loop, listening, observer, state, controlPlane } = parts;
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    state.draining = true;
    closing ??= parts.close();
    return closing;
  };
  return {
    ...at,
    get address() {
      return listening.at?.address ?? '';
    },
    get port() {
      return listening.at?.port ?? 0;
    },
    snapshot() {
      if (loop.live === null) throw new Error('no configuration is live');
      return loop.live.snapshot;
    },
    sessions: () => workers.limits.sessions,
    problems: () => state.problems,
    decisions: (query = {}) => observer.decisions(query),
    explain(question) {
      const answer = parts.explain(question);
      if (answer.kind !== 'trace') throw new Error(answer.why);
      return answer.trace;
    },
    onRecord: (listener) => observer.onRecord(listener),
    onRequest: (listener) => observer.onRequest(listener),
    metrics: () => observer.text(workers.limits),
    reload: () => loop.load(),
    drain(drainTimeMs) {
      state.draining = true;
      state.drained ??= { startedAt: clock.now(), ended: 0, cut: 0 };
      listening.end();
      observer.log.info({ drainTimeMs, sessions: workers.limits.sessions }, 'draining');
      return drain({ clock, workers, drainTimeMs, acceptThroughout: controlPlane !== null });
    },
    reportFault: (error) => reportFault(observer, error),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openAdmin(
  options: Exclude<EgressOptions['admin'], false | undefined>,
  to: { listener: ListenerConfig; parts: Parts },
): Promise<AdminServer> {
  const { parts } = to;
  const server = await createAdminServer({
    address: options.bind ?? '127.0.0.1',
    port: options.port ?? to.listener.adminPort,
    allowedHosts: options.allowedHosts ?? [],
    envoy: envoyPages(parts.facts),
    fault: (error) => reportFault(parts.observer, error),
    state: {
      ready: () => readiness(parts),
      metrics: () => parts.observer.text(parts.workers.limits),
      decisions: (query) => parts.observer.decisions(query),
      requests: (query) => parts.observer.requests(query),
      snapshot: () => parts.loop.live?.snapshot ?? EMPTY_SNAPSHOT,
      problems: () => parts.state.problems,
      explain: (question) => parts.explain(question),
      probe: (question) => parts.probe(question),
    },
  });
  parts.servers.push(server);
  return server;
}

async function openReadiness(options: { readonly bind?: string; readonly port: number }, parts: Parts): Promise<AdminServer> {
  const server = await createReadinessServer({
    address: options.bind ?? '',
    port: options.port,
    ready: () => readiness(parts),
  });
  parts.servers.push(server);
  return server;
}

function reportFault({ log, metrics }: Observer, error: unknown): void {
  metrics.fault();
  log.error({ stack: error instanceof Error ? error.stack : String(error) }, 'internal error');
}

/** Kuma's words for it. */
function readiness({ state, listening, controlPlane, loop }: Parts): { readonly ok: boolean; readonly text: string } {
  if (state.draining) return { ok: false, text: 'TERMINATING' };
  // A control plane may have nothing for an egress to listen for; what it has and is not open yet,
  // or could not be opened, is another thing.
  return listening.at !== null || (controlPlane !== null && loop.live !== null && listening.isAbsent)
    ? { ok: true, text: 'LIVE' }
    : { ok: false, text: 'PRE_INITIALIZING' };
}

function sourceOf(options: EgressOptions, clock: Clock): ConfigSource {
  const { resources, name, zone, identities, strict } = options;
  if (resources === undefined) throw new TypeError('startEgress needs resources or controlPlane');
  const given = {
    ...(name === undefined ? {} : { name }),
    ...(zone === undefined ? {} : { zone }),
    ...(identities === undefined ? {} : { identities }),
    ...(strict === undefined ? {} : { strict }),
  };
  if (typeof resources !== 'string') return memorySource(resources, given);
  const folder = { ...given, dir: resources, clock };
  return options.configThread === true ? threadSource(folder) : folderSource(folder);
}

/** A name that sessions use is kept fresh. */
function touchNames(loop: ConfigLoop, resolver: Resolver, cluster: string): void {
  for (const { address } of loop.live?.snapshot.clusters.get(cluster)?.endpoints ?? []) {
    if (address.kind === 'name') resolver.touch(address.name);
  }
}
