import { didYouMean } from '../base/did-you-mean.ts';
import { COMMANDS } from './commands.ts';
import { CONTROL_PLANE_OPTIONS } from './control-plane-flags.ts';
import { IGNORED_OPTIONS } from './ignored-options.ts';
import type { Env } from './options.ts';
import { RUN_OPTIONS } from './run-options.ts';

/**
 * Kubernetes gives each container such variables of every Service: of one that is called
 * zone-egress too.
 */
const OF_A_SERVICE = /_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/;

/**
 * A line for each variable that looks like one of these and is none. They are not refused: the
 * environment is everybody's, and Kuma has more variables than those that count here, of which only
 * what is nearly one of them is said.
 */
export function strayVariables(env: Env): readonly string[] {
  const tables = [RUN_OPTIONS, CONTROL_PLANE_OPTIONS, IGNORED_OPTIONS, ...Object.values(COMMANDS).map(({ options }) => options)];
  const known = new Set(tables.flatMap((table) => Object.values(table).flatMap((option) => option.env ?? [])));
  return Object.keys(env)
    .filter((name) => /^(ZONE_EGRESS|KUMA)_/.test(name) && !known.has(name) && !OF_A_SERVICE.test(name))
    .flatMap((name) => {
      const near = didYouMean(name, known);
      return near === '' && name.startsWith('KUMA_') ? [] : `the variable ${name} means nothing here${near}`;
    });
}
