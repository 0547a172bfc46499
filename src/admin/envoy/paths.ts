/** The paths of Envoy's admin pages, without the code that makes them. */
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
  '/server_info': 'print server version/status information',
  '/stats': 'print server stats: ?usedonly&filter=&format=(json|prometheus|text)',
  '/stats/prometheus': 'print server stats in prometheus format: ?usedonly&filter=',
} as const;

/** Paths that change something in Envoy. */
export const MUTATIONS: ReadonlySet<string> = new Set([
  '/allocprofiler',
  '/cpuprofiler',
  '/drain_listeners',
  '/healthcheck/fail',
  '/healthcheck/ok',
  '/heapprofiler',
  '/logging',
  '/quitquitquit',
  '/reopen_logs',
  '/reset_counters',
  '/runtime_modify',
]);

export function isEnvoyPath(path: string): boolean {
  return MUTATIONS.has(path) || Object.hasOwn(PAGES, path);
}
