/**
 * The admin listeners, over TCP and on a unix socket, and the one that only answers /ready. Changes
 * pass through `changes`.
 */
import type { IncomingMessage } from 'node:http';
import { ignoreError } from '../base/ignore-error.ts';
import type { Problem } from '../base/problem.ts';
import type { Alarm } from '../model/alarm.ts';
import type { ShownAnswer, ShownQuery } from '../model/shown-session.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Answer, ProbeQuestion, Question } from '../explain/question.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { DecisionQuery } from '../observe/decisions.ts';
import type { Exposition } from '../observe/exposition.ts';
import { explainView } from './explain-view.ts';
import { isEnvoyPath } from './envoy/paths.ts';
import type { EnvoyPage } from './envoy/pages.ts';
import type { ProxyState } from './proxy-state.ts';
import { isPageRequest } from './page/paths.ts';
import { serveHttp, serveHttpOnSocket } from './http.ts';
import type { HandleOptions, HttpServer, HttpSocket } from './http.ts';
import { createHostCheck } from './hosts.ts';
import type { HostCheck } from './hosts.ts';
import type { AdminChanges } from './changes/changes.ts';
import { CHANGES_HEADER } from './changes/changes.ts';
import type { Entrance } from './changes/guard.ts';
import { serveHttpWithTls } from './tls-server.ts';
import type { TlsHttpOptions } from './tls-server.ts';
import { parseDecisionsQuery, parseSessionsQuery } from './queries.ts';
import {
  alarmsView,
  decisionLinesView,
  decisionsView,
  followView,
  indexView,
  metricsView,
  openSessionsView,
  problemsView,
  proxiesView,
  readyView,
  routesView,
  textView,
} from './views.ts';
import type { Readiness, View } from './views.ts';

export type AdminServer = HttpServer;

/** The state of the pages, read anew for each request. */
export interface AdminState {
  /** Returns the state of the process, or of one of its proxies; null where it has no such one. */
  ready(proxy?: string | null): Readiness | null;
  /** Lists the proxies as which the process has joined its control plane. */
  proxies?(): readonly ProxyState[];
  /** Returns the metrics in the format that the header `Accept` prefers. */
  metrics(accept: string): Promise<Exposition>;
  /** Returns records newest first. */
  decisions(query: DecisionQuery): readonly SessionRecord[];
  /** Returns refused requests, newest first. */
  requests(query: DecisionQuery): readonly RequestRecord[];
  /** Returns records as lines, as they come; null while too many clients follow already. */
  follow(query: DecisionQuery): AsyncIterable<string> | null;
  /** Resolves with the sessions that are open; null while too many questions wait. */
  sessions(query: ShownQuery): Promise<ShownAnswer | null>;
  /** Resolves with the alarms that are on: the critical ones first, then the oldest. */
  alarms(): Promise<readonly Alarm[]>;
  /** Milliseconds since the Unix epoch. */
  wall(): number;
  /** Returns the snapshot that new sessions get. */
  snapshot(): Snapshot;
  /** Returns the problems of the last load. */
  problems(): readonly Problem[];
  explain(question: Question): Answer;
  probe(question: ProbeQuestion): Promise<Answer>;
}

export interface AdminServerOptions {
  /** Empty listens on every address. */
  readonly address: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Allowed host names of requests, besides localhost and every IP address. */
  readonly allowedHosts: readonly string[];
  readonly state: AdminState;
  /** Speaks TLS only, with these files. Absent speaks none. */
  readonly tls?: Pick<TlsHttpOptions, 'clock' | 'files'>;
  /** Envoy's pages, besides the egress's own. */
  readonly envoy?: EnvoyPage;
  /** The page for browsers, with its files. Absent means none. */
  readonly browser?: (path: string, search: string) => Promise<View>;
  /** Absent takes no changes at all. */
  readonly changes?: AdminChanges;
  /** Called with what a page threw; the client only sees that it failed. */
  readonly fault?: (error: unknown) => void;
}

export interface ReadinessServerOptions {
  readonly address: string;
  readonly port: number;
  readonly ready: AdminState['ready'];
  readonly fault?: (error: unknown) => void;
}

/** A probe sends its request with its connection. */
const READINESS_TIMEOUT_MS = 1_000;

const PAGES = {
  '/': 'a browser gets a page of the zone, everything else this list: ?output=html|text',
  '/ready': '200 while new connections are taken, else 503; ?dataplane=mesh.name for one of several proxies',
  '/dataplanes': 'as which proxies this process has joined its control plane, and how each does: ?output=json|table',
  '/stats/prometheus':
    'metrics in the text format of Prometheus, or OpenMetrics where --openmetrics is on and the reader accepts it',
  '/routes': 'what is served: ?output=json|table',
  '/sessions':
    'sessions that are open: ?sort=age|idle|bytes|rate&limit=100&offset=0&id=&mesh=&destination=&client=&output=json|table; client is a SPIFFE id or an address, or the beginning of one with * behind it',
  '/decisions':
    'sessions that ended and requests that were refused lately, newest first: ?limit=100&reason=&outcome=served|refused&mesh=&destination=&client=&since=10m&output=json|ndjson; &follow=true writes those to come, a line for each',
  '/alarms': 'what is wrong with the egress now, the critical ones first, with what to do about each',
  '/explain':
    'why a connection or a request passes or not: ?sni=&from=spiffe://mesh/service (&method=GET&path=/x&header=name:value for a request), or ?id= of a decision; &probe=true dials the endpoint; &output=json|text|html',
  '/config_errors': 'findings of the last load of the configuration, and why a control plane does not answer',
  '/help': 'more pages, as Envoy has them: /config_dump, /clusters, /stats, …',
} as const;

/**
 * Resolves when it listens; rejects with the system's error code where the port cannot be bound.
 */
export function createAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { address, port, tls } = options;
  const from = ({ socket }: IncomingMessage): string => socket.remoteAddress ?? '';
  const at = { address, port, name: 'the admin pages' };
  if (tls === undefined) {
    const entrance = (request: IncomingMessage): Entrance => ({ kind: 'tcp', from: from(request) });
    return serveHttp({ ...at, ...handling(options, { kind: 'tcp', entrance }) });
  }
  return serveHttpWithTls({
    ...at,
    ...tls,
    handle(certificate) {
      const entrance = (request: IncomingMessage): Entrance => ({
        kind: 'tls',
        from: from(request),
        certificate: () => certificate(request),
      });
      return handling(options, { kind: 'tls', entrance });
    },
  });
}

export interface AdminSocketOptions extends Omit<AdminServerOptions, 'address' | 'port' | 'tls'> {
  readonly path: string;
}

/**
 * Serves the same pages on a unix socket that only its owner may open, and takes changes there.
 * Rejects where something else is at the path.
 */
export async function createAdminSocket(options: AdminSocketOptions): Promise<HttpSocket> {
  const entrance = { kind: 'socket', owner: '' } as const;
  let owned: Entrance = entrance;
  const socket = await serveHttpOnSocket({ path: options.path, ...handling(options, { kind: 'socket', entrance: () => owned }) });
  owned = { ...entrance, owner: `uid ${socket.uid}` };
  return socket;
}

function handling(
  options: Omit<AdminServerOptions, 'address' | 'port' | 'tls'>,
  { kind, entrance }: { readonly kind: Entrance['kind']; readonly entrance: (request: IncomingMessage) => Entrance },
): HandleOptions {
  const { state, envoy, browser, changes, fault = ignoreError } = options;
  const hostRefusal = createHostCheck(options.allowedHosts);
  const allowed = changes?.allowed(kind) ?? 'refused';
  return {
    fault,
    admit: (request) => admitAdmin(request, hostRefusal),
    ...(changes === undefined ? {} : { change: (request, target) => changes.handle(request, target, entrance(request)) }),
    async page(path, search, _method, accept) {
      const view = await page(path, search, accept);
      return view === null ? null : { ...view, headers: { ...view.headers, [CHANGES_HEADER]: allowed } };
    },
  };

  function page(path: string, search: string, accept: string): View | null | Promise<View | null> {
    if (browser !== undefined && isPageRequest(path, search, accept)) return browser(path, search);
    // Envoy's page of metrics includes this egress's own.
    if (envoy !== undefined && isEnvoyPath(path) && path !== '/ready') return envoy(path, search, 'GET', accept);
    return Object.hasOwn(PAGES, path) ? adminPage(state, path as keyof typeof PAGES, search, accept) : null;
  }
}

/** Answers only /ready, for any host: a kubelet uses the address of the pod. */
export function createReadinessServer(options: ReadinessServerOptions): Promise<AdminServer> {
  const { address, port, ready, fault = ignoreError } = options;
  return serveHttp({
    address,
    port,
    name: 'readiness',
    fault,
    requestTimeoutMs: READINESS_TIMEOUT_MS,
    reuse: false,
    admit: () => null,
    page: (path, search) => (path === '/ready' ? readyView(ready(dataplaneIn(search))) : null),
  });
}

async function adminPage(state: AdminState, path: keyof typeof PAGES, search: string, accept: string): Promise<View> {
  switch (path) {
    case '/':
      return indexView(PAGES);
    case '/ready':
      return readyView(state.ready(dataplaneIn(search)));
    case '/dataplanes':
      return proxiesView(state.proxies?.() ?? [], search);
    case '/stats/prometheus':
      return metricsView(await state.metrics(accept));
    case '/routes':
      return routesView(state.snapshot(), search);
    case '/sessions':
      return sessionsPage(state, search);
    case '/decisions':
      return decisionsPage(state, search);
    case '/alarms':
      return alarmsView(await state.alarms());
    case '/explain':
      return explainView(state, search);
    case '/help':
      return textView(404, 'Envoy’s pages are not served here\n');
    case '/config_errors':
      return problemsView(state.problems());
    default:
      return path satisfies never;
  }
}

function dataplaneIn(search: string): string | null {
  return new URLSearchParams(search).get('dataplane');
}

async function sessionsPage(state: AdminState, search: string): Promise<View> {
  const asked = parseSessionsQuery(search);
  if (typeof asked === 'string') return textView(400, asked);
  const answer = await state.sessions(asked.query);
  return answer === null ? textView(503, BUSY) : openSessionsView(answer, asked);
}

function decisionsPage(state: AdminState, search: string): View {
  const asked = parseDecisionsQuery(search, state.wall());
  if (typeof asked === 'string') return textView(400, asked);
  const { query, output, follow } = asked;
  if (follow) {
    const lines = state.follow(query);
    return lines === null ? textView(503, BUSY) : followView(lines);
  }
  const show = output === 'json' ? decisionsView : decisionLinesView;
  return show(state.decisions(query), state.requests(query));
}

const BUSY = 'too many clients ask at the same time: ask again later';

/**
 * Refuses requests of web pages: one that a page of another origin sends has an Origin. The host is
 * checked too, see hosts.ts.
 */
function admitAdmin(request: IncomingMessage, hostRefusal: HostCheck): View | null {
  // A picture of another site has no Origin, and would make the egress dial an endpoint.
  const { origin, 'sec-fetch-site': site, 'sec-fetch-mode': mode } = request.headers;
  const isForeign = site === 'cross-site' && mode !== 'navigate';
  if (origin !== undefined || isForeign) return textView(403, 'requests of web pages are not answered');
  return hostRefusal(request);
}
