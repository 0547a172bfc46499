/**
 * Envoy's admin pages that kuma-cp, its GUI, kumactl, Prometheus and people read. They only read:
 * what changes something is in `admin/changes`.
 */
import { jsonText } from '../../base/lazy-json.ts';
import type { LazyJson } from '../../base/lazy-json.ts';
import { CONTENT_TYPES, OPENMETRICS_END, unknownCounters } from '../../observe/exposition.ts';
import type { Exposition } from '../../observe/exposition.ts';
import { CHANGES } from '../changes/change-table.ts';
import type { View } from '../views.ts';
import { certificatesJson } from './certificates.ts';
import { clustersJson, clustersText } from './clusters.ts';
import type { EnvoyFacts } from './facts.ts';
import { namePattern } from './name-pattern.ts';
import { isMutation, NOT_HERE, PAGES } from './paths.ts';
import { envoyStats } from './stats.ts';
import { statsJson, statsPrometheus, statsText } from './stats-text.ts';

export type EnvoyPage = (path: string, search: string, method: string, accept: string) => View | null | Promise<View | null>;

const TEXT = 'text/plain; charset=UTF-8';
const JSON_TYPE = 'application/json';

export function envoyPages(facts: EnvoyFacts): EnvoyPage {
  return (path, search, method, accept) => {
    if (isMutation(path)) return mutation(path, method);
    if (!Object.hasOwn(PAGES, path)) return text(404, `invalid path. ${help()}`);
    return page(facts, path as keyof typeof PAGES, { query: new URLSearchParams(search), accept });
  };
}

interface Asked {
  readonly query: URLSearchParams;
  readonly accept: string;
}

function page(facts: EnvoyFacts, path: keyof typeof PAGES, asked: Asked): View | Promise<View> {
  const { query } = asked;
  switch (path) {
    case '/certs':
      return json(certificatesJson(facts.credentials(), facts.now()));
    case '/clusters':
      return clustersPage(facts, query);
    case '/config_dump':
      return dumpPage(facts, query);
    case '/help':
      return text(200, help());
    case '/hot_restart_version':
      return text(200, 'disabled');
    case '/init_dump':
      return json({});
    case '/listeners':
      return listenersPage(facts, query);
    case '/memory':
      return memoryPage(facts);
    case '/ready': {
      const { ok, text: state } = facts.ready();
      return text(ok ? 200 : 503, `${state}\n`);
    }
    case '/runtime':
      return json({ entries: {}, layers: [] });
    case '/server_info':
      return serverInfo(facts).then(json);
    case '/stats':
      return statsPage(facts, asked, query.get('format') ?? 'text');
    case '/stats/prometheus':
      return statsPage(facts, asked, 'prometheus');
    default:
      return path satisfies never;
  }
}

/** Changes that are taken are made before the pages are asked. */
function mutation(path: string, method: string): View {
  const absent = Object.hasOwn(NOT_HERE, path) ? NOT_HERE[path] : undefined;
  if (method === 'POST' && absent !== undefined) return text(absent.status, absent.says);
  if (method === 'POST') return text(403, 'changes are not taken on this listener: use the socket of --admin-socket\n');
  return { ...text(405, `Method ${method} not allowed, POST required.`), allow: 'POST' };
}

function help(): string {
  const pages = Object.entries(PAGES).map(([path, what]) => [path, `  ${path}: ${what}\n`] as const);
  const changes = Object.entries(CHANGES).map(([path, { help: what, parameters = {} }]) => {
    const more = Object.entries(parameters).map(([name, about]) => `      ${name}: ${about}\n`);
    return [path, `  ${path} (POST): ${what}\n${more.join('')}`] as const;
  });
  const lines = [...pages, ...changes].sort(([a], [b]) => (a < b ? -1 : 1));
  return `admin commands are:\n${lines.map(([, line]) => line).join('')}`;
}

async function statsPage(facts: EnvoyFacts, { query, accept }: Asked, format: string): Promise<View> {
  const filter = namePattern(query.get('filter') ?? '');
  if (filter.kind === 'bad') return text(400, `Invalid re2 regex: ${filter.why}`);
  const select = { usedOnly: query.has('usedonly'), matches: filter.matches };
  switch (format) {
    case 'text':
      return { ...text(200, ''), pieces: statsText(await envoyStats(facts), select) };
    case 'json':
      return { ...text(200, ''), contentType: JSON_TYPE, pieces: statsJson(await envoyStats(facts), select) };
    case 'prometheus': {
      // A filter by Envoy's names does not ask for this egress's own series.
      const own: Exposition = query.has('filter') ? { format: 'prometheus', text: '' } : await facts.metrics(accept);
      const envoys = statsPrometheus(await envoyStats(facts), select);
      if (own.format === 'prometheus') return { ...text(200, own.text), pieces: envoys };
      return { status: 200, contentType: CONTENT_TYPES.openmetrics, body: own.text, pieces: endedPieces(envoys) };
    }
    default:
      return text(400, 'usage: /stats?format=(json|prometheus|text)\n\n');
  }
}

/** Writes Envoy's families as OpenMetrics, with its last line. */
function* endedPieces(pieces: Iterable<string>): Generator<string> {
  for (const piece of pieces) yield unknownCounters(piece);
  yield OPENMETRICS_END;
}

function clustersPage(facts: EnvoyFacts, query: URLSearchParams): View {
  const filter = namePattern(query.get('filter') ?? '');
  if (filter.kind === 'bad') return text(400, `Invalid re2 regex: ${filter.why}`);
  if (query.get('format') === 'json') return json(clustersJson(facts, filter.matches));
  return { ...text(200, ''), pieces: clustersText(facts, filter.matches) };
}

async function dumpPage(facts: EnvoyFacts, query: URLSearchParams): Promise<View> {
  const control = facts.control();
  if (control === null) return text(404, 'the configuration comes from files, not from a control plane: see /routes\n');
  const mask = query.get('mask');
  if (mask !== null) return text(400, `FieldMask ${mask} could not be successfully applied to any configs.`);
  const regex = query.get('name_regex');
  const pattern = regex === null ? null : namePattern(regex, true);
  if (pattern?.kind === 'bad') return text(400, `Error while parsing name_regex from ${regex ?? ''}: ${pattern.why}`);
  const resource = query.get('resource') ?? '';
  // Envoy's messages take a second to load; an egress that joined a control plane has loaded them
  // already.
  const { configDump } = await import('./config-dump.ts');
  const answer = configDump(facts, control, {
    includeEds: query.has('include_eds'),
    resource,
    matches: pattern?.matches ?? null,
  });
  return answer.kind === 'dump' ? json(answer.json) : text(404, `${resource} not found in config dump`);
}

function listenersPage(facts: EnvoyFacts, query: URLSearchParams): View {
  const listeners = facts.listeners();
  if (query.get('format') !== 'json')
    return text(
      200,
      listeners
        .map(({ name, address, port }) => `${name}::${address.includes(':') ? `[${address}]` : address}:${port}\n`)
        .join(''),
    );
  const statuses = listeners.map(({ name, address, port }) => ({
    name,
    local_address: { socket_address: { address, port_value: port } },
  }));
  return json({ listener_statuses: statuses });
}

function memoryPage(facts: EnvoyFacts): View {
  const { heapUsed, heapTotal, resident } = facts.memory();
  return json({
    allocated: String(heapUsed),
    heap_size: String(heapTotal),
    pageheap_unmapped: '0',
    pageheap_free: String(heapTotal - heapUsed),
    total_thread_cache: '0',
    total_physical_bytes: String(resident),
  });
}

/**
 * The five parts that readers of an Envoy's version expect, with a name and version of our own, so
 * that the egress is not taken for an Envoy with its bugs.
 */
async function serverInfo(facts: EnvoyFacts): Promise<LazyJson> {
  const { ok, text: state } = facts.ready();
  const uptime = `${Math.floor(facts.uptimeMs() / 1e3)}s`;
  const control = facts.control();
  return {
    version: `zone-egress/${facts.version}/Clean/RELEASE/OpenSSL`,
    state: ok ? 'LIVE' : state === 'TERMINATING' || state === 'DRAINING' ? 'DRAINING' : 'PRE_INITIALIZING',
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: 'disabled',
    command_line_options: {
      concurrency: facts.workers,
      log_level: facts.logLevel(),
      mode: 'Serve',
      disable_hot_restart: true,
    },
    node: control === null ? undefined : (await import('../../xds/dump/envoy-config-dump.ts')).nodeJson(control.bootstrap),
  };
}

function text(status: number, body: string): View {
  return { status, contentType: TEXT, body };
}

function json(value: LazyJson): View {
  return { status: 200, contentType: JSON_TYPE, body: '', pieces: withNewline(value) };
}

function* withNewline(value: LazyJson): Generator<string> {
  yield* jsonText(value);
  yield '\n';
}
