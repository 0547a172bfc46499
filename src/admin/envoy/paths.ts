/** The paths of Envoy's admin pages, without the code that makes them. */
import { CHANGES } from '../changes/change-table.ts';

export const PAGES = {
  '/certs': 'print certs on machine',
  '/clusters': 'upstream cluster status: ?format=json&filter=',
  '/config_dump': 'dump current configuration: ?include_eds&resource=&name_regex=',
  '/help': 'print out list of admin commands',
  '/hot_restart_version': 'print the hot restart compatibility version',
  '/init_dump': 'nothing waits to be initialized here',
  '/listeners': 'print listener info: ?format=json',
  '/memory': 'print current allocation/heap usage',
  '/ready': 'print server state, return 200 if LIVE, otherwise return 503',
  '/runtime': 'print runtime values',
  '/server_info': 'print server version/status information',
  '/stats': 'print server stats: ?usedonly&filter=&format=(json|prometheus|text)',
  '/stats/prometheus': 'print server stats in prometheus format: ?usedonly&filter=',
} as const;

/**
 * Paths that change something in Envoy and nothing here, with the answer of an Envoy without them.
 */
export const NOT_HERE: Readonly<Record<string, { readonly status: number; readonly says: string }>> = {
  '/allocprofiler': { status: 501, says: 'The current build does not support alloc profiler' },
  '/cpuprofiler': { status: 501, says: 'The current build does not support cpu profiler' },
  '/heapprofiler': { status: 501, says: 'The current build does not support heap profiler' },
  '/runtime_modify': { status: 503, says: 'No admin layer specified' },
};

export function isEnvoyPath(path: string): boolean {
  return isMutation(path) || Object.hasOwn(PAGES, path);
}

/** Tells whether Envoy takes only POST there. */
export function isMutation(path: string): boolean {
  return Object.hasOwn(NOT_HERE, path) || (Object.hasOwn(CHANGES, path) && path !== '/sessions/end');
}
