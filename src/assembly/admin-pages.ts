import type { HttpSocket } from '../admin/http.ts';
import { createAdminServer, createAdminSocket, createReadinessServer } from '../admin/server.ts';
import type { AdminServer, AdminState } from '../admin/server.ts';
import { TlsFiles } from '../admin/tls-files.ts';
import type { Readiness } from '../admin/views.ts';
import type { Clock } from '../base/clock.ts';
import type { EnvoyFactsOptions } from '../control/envoy-facts.ts';
import { explainLive, probeLive } from '../control/explain-live.ts';
import type { ExplainParts } from '../control/explain-live.ts';
import { createProber } from '../control/probe-endpoints.ts';
import { createLiveProber } from '../control/probe-live.ts';
import { controlPlaneProblems } from '../control/sources/control-plane-events.ts';
import { ConfigError } from '../control/sources/config-source.ts';
import type { ConfigSource, JoinedProxy } from '../control/sources/config-source.ts';
import type { Answer, Question } from '../explain/question.ts';
import { EMPTY_SNAPSHOT } from '../model/snapshot.ts';
import { RecordFeed } from '../observe/record-feed.ts';
import type { CertificateFact } from '../observe/alarms/alarm-facts.ts';
import type { AlarmWatch } from './alarms.ts';
import { browserPage } from './browser-page.ts';
import type { BrowserPage } from './browser-page.ts';
import type { Configuration } from './configure.ts';
import type { EgressOptions } from './egress-options.ts';
import type { Observation } from './observe.ts';
import { operatorChanges } from './operator-changes.ts';
import type { OperatorChangesOptions } from './operator-changes.ts';
import type { OwnListeners } from './own-listeners.ts';
import { createProxyAdmins } from './proxy-admins.ts';

/** The listeners for people, probes, Prometheus and a control plane. */
export interface AdminPages {
  explain(question: Question): Answer;
  openReadiness(options: Exclude<EgressOptions['readiness'], false | undefined>): Promise<AdminServer>;
  /**
   * Opens the listener over TCP, and the unix socket that the options name. `port` is used where
   * the options have none.
   */
  openAdmin(port: number): Promise<AdminServer>;
  /** Returns those of the listener over TCP; none without TLS. */
  certificates(): readonly CertificateFact[];
  /** Moves the control plane's listener to the address of the last configuration. Never rejects. */
  followSource(): Promise<void>;
  /** Ends running dials of questions. */
  stop(): void;
  close(): Promise<void>;
}

export interface AdminPagesOptions extends Pick<OperatorChangesOptions, 'drain' | 'quit' | 'reopenLogs'> {
  readonly clock: Clock;
  readonly observation: Observation;
  readonly configuration: Configuration;
  readonly source: ConfigSource;
  readonly clientsAt: EnvoyFactsOptions['clientsAt'];
  readonly own: OwnListeners;
  readonly alarms: AlarmWatch;
  readonly admin: AdminOptions;
  /** Looks names up; absent asks the system. */
  readonly lookup?: NonNullable<EgressOptions['lookup']>;
  /** Returns the state of the process, or that of one of its proxies; null where there is none. */
  readonly ready: (proxy: string | null) => Readiness | null;
}

type AdminOptions = Exclude<EgressOptions['admin'], false | undefined>;

/** Over 60 lines: it lists what the pages need of every other part. */
export function createAdminPages(options: AdminPagesOptions): AdminPages {
  const { clock, observation, configuration, source, clientsAt, own, ready, admin } = options;
  const { observer } = observation;
  const { workers } = configuration.dataPlane;
  const { allowedResolved, http: servesHttp } = configuration.settings;
  const fault = (error: unknown): void => observation.fault(error);
  const prober = createProber({ clock, workers });
  const tlsFiles =
    admin.tls === undefined
      ? null
      : new TlsFiles({
          ...admin.tls,
          wall: () => clock.wall(),
          onDoubt: (sentence) => observer.log.warn({}, sentence),
        });
  const liveProber = createLiveProber({
    clock,
    workers,
    allowedResolved,
    live: () => configuration.live(),
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
  });
  const explained = explainParts(options, prober);
  const about = {
    clock,
    workers,
    live: () => configuration.live(),
    clientsAt,
    observer,
    allowedResolved,
    servesHttp,
    ready: () => ready(null) ?? NOT_YET,
  };
  const operators = operatorChanges({
    ...options,
    observer,
    sessionFinder: configuration.dataPlane.sessionFinder,
    allowedHosts: admin.allowedHosts ?? [],
    tokenFile: admin.tokenFile ?? null,
    probe: (target, bounds) => liveProber.probe(target, bounds),
  });
  const admins = createProxyAdmins({ source, observation, configuration, own, clock, about, changes: operators.changes });
  const proxies = (): readonly JoinedProxy[] => source.proxies?.() ?? [];
  const feed = new RecordFeed(observer, clock);
  const servers: AdminServer[] = [];
  let browser: BrowserPage | null = null;
  const sockets: HttpSocket[] = [];
  const state: AdminState = {
    ready,
    proxies,
    metrics: (accept) => observer.exposition(workers.limits, accept),
    decisions: (query) => observer.decisions(query),
    requests: (query) => observer.requests(query),
    follow: (query) => feed.follow(query),
    sessions: (query) => configuration.dataPlane.sessionFinder.find(query),
    alarms: () => options.alarms.list(),
    wall: () => clock.wall(),
    snapshot: () => configuration.live()?.snapshot ?? EMPTY_SNAPSHOT,
    problems() {
      const all = proxies();
      const several = { several: source.controlFacts === undefined };
      return [...configuration.problems(), ...all.flatMap((proxy) => controlPlaneProblems(proxy, several))];
    },
    explain: (question) => explainLive(explained, question),
    probe: (question) => probeLive(explained, question),
  };
  const served = { allowedHosts: admin.allowedHosts ?? [], state, envoy: admins.page, changes: operators.changes, fault };

  function opened(server: AdminServer): AdminServer {
    servers.push(server);
    own.add(() => server);
    return server;
  }

  return {
    explain: (question) => explainLive(explained, question),
    openReadiness: async ({ bind = '', port }) => opened(await createReadinessServer({ address: bind, port, ready })),
    async openAdmin(port) {
      await operators.check();
      const problem = (await tlsFiles?.problem()) ?? null;
      if (problem !== null) throw new ConfigError([problem]);
      const { bind = '127.0.0.1' } = admin;
      if (admin.tokenFile !== undefined && tlsFiles === null && !isLoopback(bind))
        observer.log.warn(
          { bind },
          `tokens of the admin pages travel unencrypted to ${bind || 'every address'}: prefer --admin-socket or --admin-tls-cert-file`,
        );
      browser = browserPage({ state, about, configuration });
      const all = { ...served, browser: browser.answer };
      const server = opened(
        await createAdminServer({
          address: bind,
          port: admin.port ?? port,
          ...all,
          ...(tlsFiles === null ? {} : { tls: { clock, files: tlsFiles } }),
        }),
      );
      if (admin.socket !== undefined) {
        const socket = await createAdminSocket({ path: admin.socket, ...all });
        sockets.push(socket);
        if (socket.doubt !== null) observer.log.warn({ socket: admin.socket }, socket.doubt);
      }
      return server;
    },
    certificates() {
      // The files are read for the next look: a rotation counts without a connection too.
      tlsFiles?.current().catch(fault);
      return (tlsFiles?.lives() ?? []).map((life) => ({ name: 'admin-certificate-expires', ...life }));
    },
    followSource: () => admins.follow(),
    stop() {
      prober.close();
      liveProber.close();
    },
    async close() {
      browser?.close();
      await Promise.all([admins.close(), ...[...servers, ...sockets].map((server) => server.close())]);
    },
  };
}

function explainParts(
  { clock, observation: { observer }, configuration }: AdminPagesOptions,
  prober: ExplainParts['prober'],
): ExplainParts {
  return {
    clock,
    workers: configuration.dataPlane.workers,
    allowedResolved: configuration.settings.allowedResolved,
    servesHttp: configuration.settings.http,
    live: () => configuration.live(),
    record: (id) => observer.decision(id),
    request: (id) => observer.request(id),
    records: (mesh) => observer.decisions({ mesh }),
    prober,
  };
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || address.startsWith('127.');
}

const NOT_YET: Readiness = { ok: false, text: 'PRE_INITIALIZING' };
