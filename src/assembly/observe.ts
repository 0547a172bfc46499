/**
 * The first of three steps: everything that the egress reports. The other steps report events here;
 * this step writes all of their log lines and metrics.
 */
import type { Clock } from '../base/clock.ts';
import { formatProblem } from '../base/problem.ts';
import type { Problem } from '../base/problem.ts';
import { packageVersion } from '../base/version.ts';
import { within } from '../base/within.ts';
import { recordSessions } from '../control/record-sessions.ts';
import type { EndpointWatchOptions } from '../endpoints/watch.ts';
import { isTcpPlace } from '../model/access-log.ts';
import type { AccessLogLine } from '../model/access-log.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import { createAccessFiles } from '../observe/access-files.ts';
import type { AccessFilesOptions } from '../observe/access-files.ts';
import { createAccessStreams } from '../observe/access-streams.ts';
import { createObserver } from '../observe/observer.ts';
import type { Observer } from '../observe/observer.ts';
import type { OtlpOptions } from '../observe/otlp/otlp-options.ts';
import { sendOtlp } from '../observe/otlp/send-otlp.ts';
import { ReportOnlyLog } from '../observe/report-only-log.ts';
import type { EgressOptions } from './egress-options.ts';

export interface Observation {
  readonly observer: Observer;
  /** Starts the recording of sessions, where the options ask for one. */
  record(): Promise<void>;
  endRecording(): Promise<void>;
  /**
   * Sends to a collector of OpenTelemetry, where the options name one. `zone` is that of the live
   * configuration; empty while none is known.
   */
  sendOtlp(zone: () => string): Promise<void>;
  /** Opens the files of logs again, as after a rotation. */
  reopenLogs(): void;
  /** Writes a line of the access log of a route. */
  accessLine(line: AccessLogLine): void;
  /** Reports an error that was caught far from its cause. */
  fault(error: unknown): void;
  workerFault(message: string, stack: string): void;
  workerSilence(message: string): void;
  sourceSilent(forMs: number): void;
  /** `since` is null when the live configuration is a present one. */
  keptConfiguration(since: number | null): void;
  relay(path: 'adopted-handle' | 'public-api'): void;
  nameFailed(name: string, message: string): void;
  endpointHealth: EndpointWatchOptions['onHealth'];
  endpointDetected: NonNullable<EndpointWatchOptions['onDetected']>;
  credentials(credentials: MeshCredentials): void;
  credentialsProblem(problem: Problem): void;
  /** Sets the meshes of the live configuration whose permissions are only reported. */
  reportOnly(meshes: readonly string[]): void;
  /** `at` is null when the listener for clients was closed. */
  listener(at: { readonly address: string; readonly port: number } | null): void;
  /** Writes the last lines, and ends. */
  close(): Promise<void>;
}

/** The most time for the last lines to be read. */
const LAST_LINES_MS = 1_000;

type ObserveOptions = Pick<
  EgressOptions,
  | 'logLevel'
  | 'logFormat'
  | 'logSample'
  | 'metricsTop'
  | 'openMetrics'
  | 'logDestination'
  | 'remembered'
  | 'record'
  | 'otlp'
  | 'concurrency'
>;

export function observe(options: ObserveOptions, clock: Clock): Observation {
  const observer = createObserver({
    clock,
    level: options.logLevel ?? 'off',
    ...(options.logFormat === undefined ? {} : { format: options.logFormat }),
    version: packageVersion(),
    ...(options.remembered === undefined ? {} : { decisions: options.remembered }),
    ...(options.logSample === undefined ? {} : { logSample: options.logSample }),
    ...(options.metricsTop === undefined ? {} : { top: options.metricsTop }),
    ...(options.openMetrics === undefined ? {} : { openMetrics: options.openMetrics }),
    ...(options.logDestination === undefined ? {} : { destination: options.logDestination }),
  });
  observer.metrics.workers(options.concurrency ?? 1);
  const accessFiles = createAccessFiles(accessOptions(observer, clock));
  const accessStreams = createAccessStreams(accessOptions(observer, clock));
  const reportOnly = new ReportOnlyLog(observer, clock);
  let endRecording: () => Promise<void> = () => Promise.resolve();
  let endOtlp: () => Promise<void> = () => Promise.resolve();
  return {
    observer,
    async record() {
      if (options.record !== undefined) endRecording = await recordSessions(options.record, observer, clock);
    },
    endRecording: () => endRecording(),
    async sendOtlp(zone) {
      if (options.otlp !== undefined) endOtlp = await otlpTo(options.otlp, { observer, clock, zone });
    },
    reopenLogs() {
      accessFiles.reopen();
      observer.log.info({}, 'the files of access logs are opened again');
    },
    accessLine: ({ path, line }) => (isTcpPlace(path) ? accessStreams : accessFiles).write(path, line),
    ...reactions(observer),
    reportOnly: (meshes) => reportOnly.live(meshes),
    async close() {
      reportOnly.close();
      await Promise.all([accessFiles.close(), accessStreams.close(), endOtlp()]);
      await within(LAST_LINES_MS, observer.flush());
      observer.close();
    },
  };
}

/** Returns what ends it. */
async function otlpTo(
  options: OtlpOptions,
  { observer, clock, zone }: { readonly observer: Observer; readonly clock: Clock; readonly zone: () => string },
): Promise<() => Promise<void>> {
  const { log, metrics } = observer;
  const { endpoint } = options;
  const sender = await sendOtlp(options, {
    clock,
    version: packageVersion(),
    zone,
    onItems: (kind, result, count) => metrics.otlp(kind, result, count),
    onFailure: (kind, { why, advice }) =>
      log.error(
        { endpoint, kind, why },
        `the collector of OpenTelemetry does not take ${kind}: ${why}; ${advice}. What does not fit in memory meanwhile is left out and counted`,
      ),
    onRecovered: (kind) => log.info({ endpoint, kind }, `the collector of OpenTelemetry takes ${kind} again`),
  });
  const stops = [
    observer.onRecord((record) => sender.record(record)),
    observer.onRequest((record) => sender.recordRequest(record)),
  ];
  return async () => {
    for (const stop of stops) stop();
    await sender.close();
  };
}

function accessOptions({ log, metrics }: Observer, clock: Clock): AccessFilesOptions {
  return {
    clock,
    onLines: (result, count) => metrics.accessLines(result, count),
    onFailure: (file, err) => log.error({ err, file }, 'an access log cannot be written: its lines are left out and counted'),
    onRecovered: (file) => log.info({ file }, 'an access log is written again'),
  };
}

function reactions({
  log,
  metrics,
  traffic,
}: Observer): Omit<
  Observation,
  'observer' | 'record' | 'endRecording' | 'sendOtlp' | 'accessLine' | 'reopenLogs' | 'reportOnly' | 'close'
> {
  return {
    fault(error) {
      metrics.fault(error instanceof Error ? error.message : String(error));
      log.error({ stack: error instanceof Error ? error.stack : String(error) }, 'internal error');
    },
    workerFault(message, stack) {
      metrics.fault(message);
      log.error({ stack }, message);
    },
    workerSilence(message) {
      log.warn({}, message);
    },
    sourceSilent(forMs) {
      log.warn({ forMs }, 'the source of the configuration does not answer; the live configuration stays');
    },
    keptConfiguration: (since) => metrics.keptConfiguration(since),
    relay(path) {
      metrics.relay(path);
      if (path === 'public-api')
        log.warn(
          { path },
          'this Node keeps private parts of its sockets elsewhere: bytes go through the public API, which costs more CPU',
        );
    },
    nameFailed(name, message) {
      metrics.dnsFailed();
      log.warn({ name, message }, 'a name could not be resolved');
    },
    endpointHealth({ cluster, key: endpoint, health }, why) {
      if (health === 'healthy') log.info({ cluster, endpoint }, 'an endpoint is healthy again');
      else log.warn({ cluster, endpoint, health, why }, 'an endpoint is no longer used');
    },
    endpointDetected(detector, result, cluster) {
      metrics.ejection(detector, result);
      traffic.ejection(cluster, detector, result);
    },
    credentials: ({ mesh, notAfter }) => metrics.certificate(mesh, notAfter),
    credentialsProblem: (problem) => log.error({ problem }, formatProblem(problem)),
    listener(at) {
      if (at === null) log.warn({}, 'the listener for clients is closed');
      else log.info({ ...at }, 'the listener for clients is open');
    },
  };
}
