/** The admin listener, and the one that only answers /ready. Both only read. */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
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
import { serveHttp } from './http.ts';
import type { HttpServer } from './http.ts';
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
  /** Envoy's pages, besides the egress's own. */
  readonly envoy?: EnvoyPage;
  /** The page for browsers, with its files. Absent means none. */
  readonly browser?: (path: string, search: string) => Promise<View>;
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
  '/stats/prometheus': 'metrics in the Prometheus text format',
  '/routes': 'what is served: ?output=json|table',
  '/sessions':
    'sessions that are open: ?sort=age|idle|bytes|rate&limit=100&offset=0&mesh=&destination=&client=&output=json|table; client is a SPIFFE id or an address, or the beginning of one with * behind it',
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
  const { address, port, state, envoy, browser, fault = ignoreError } = options;
  const allowed = new Set(['localhost', ...options.allowedHosts.map((host) => host.toLowerCase())]);
  return serveHttp({
    address,
    port,
    name: 'the admin pages',
    fault,
    admit: (request) => admitAdmin(request, allowed),
    page(path, search, _method, accept) {
      if (browser !== undefined && isPageRequest(path, search, accept)) return browser(path, search);
      // Envoy's page of metrics includes this egress's own.
      if (envoy !== undefined && isEnvoyPath(path) && path !== '/ready') return envoy(path, search, 'GET', accept);
      return Object.hasOwn(PAGES, path) ? adminPage(state, path as keyof typeof PAGES, search, accept) : null;
    },
  });
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
 * Refuses requests from browsers. A page in a browser can send requests to this port, and, under a
 * name that it points here (DNS rebinding), also read the answer. Such a request has that name as
 * its host, or an Origin.
 */
function admitAdmin(request: IncomingMessage, allowed: ReadonlySet<string>): View | null {
  if (request.headers.origin !== undefined) return textView(403, 'requests of web pages are not answered');
  const hosts = request.headersDistinct.host ?? [];
  const [host] = hosts;
  if (host === undefined || hosts.length !== 1) return textView(400, 'one Host header is needed');
  const name = hostName(host);
  if (name !== null && (isIP(name) !== 0 || allowed.has(name))) return null;
  return textView(421, 'this host is not allowed: use an IP address or localhost, or allow the name');
}

/** Returns the host without its port, in lower case and without brackets; null where it is none. */
function hostName(host: string): string | null {
  const [, bracketed, plain] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::[0-9]{1,5})?$/.exec(host) ?? [];
  if (bracketed !== undefined) return bracketed.includes(':') ? bracketed : null;
  return plain?.toLowerCase() ?? null;
}
