import { didYouMean } from '../base/did-you-mean.ts';
import { COMMANDS } from './commands.ts';
import { CONTROL_PLANE_OPTIONS } from './control-plane-flags.ts';
import { IGNORED_OPTIONS } from './ignored-options.ts';
import type { Env } from './options.ts';
import { CONFIG_OPTION, RUN_OPTIONS } from './run-options.ts';

/**
 * Kubernetes gives each container such variables for every Service, also for one called
 * zone-egress.
 */
const OF_A_SERVICE = /_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/;

/**
 * Returns a line for each variable that resembles one of these but is none. They are not refused:
 * the environment is shared, and Kuma has more variables than this egress uses, so only near misses
 * are reported.
 */
export function strayVariables(env: Env): readonly string[] {
  const tables = [
    CONFIG_OPTION,
    RUN_OPTIONS,
    CONTROL_PLANE_OPTIONS,
    IGNORED_OPTIONS,
    ...Object.values(COMMANDS).map(({ options }) => options),
  ];
  const known = new Set(tables.flatMap((table) => Object.values(table).flatMap((option) => option.env ?? [])));
  return Object.keys(env)
    .filter((name) => /^(ZONE_EGRESS|KUMA)_/.test(name) && !known.has(name) && !OF_A_SERVICE.test(name))
    .flatMap((name) => {
      const near = didYouMean(name, known);
      return near === '' && name.startsWith('KUMA_') ? [] : `the variable ${name} has no effect${near}`;
    });
}
