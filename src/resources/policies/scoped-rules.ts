import { coversServerName } from '../kinds/rule-match.ts';
import type { RuleMatch } from '../kinds/rule-match.ts';
import type { Policy } from '../kinds/policy.ts';
import { mergeConfs } from './merge.ts';
import { byNameFirstLast, byPolicy } from './order.ts';
import type { Ruled, RuledPart } from './to-rules.ts';

/** The `rules` of policies of one kind for a server name of an egress of one mesh. */
export interface ScopedRules<Conf> {
  of(sni: string): Ruled<Conf> | null;
  /**
   * Returns rules about this server name that are only for certain clients, which are not
   * evaluated.
   */
  forClients(sni: string): readonly Omit<RuledPart<Conf>, 'item'>[];
}

/**
 * Collects the rules of policies that select the Dataplane; the later one in Kuma's order counts.
 */
export function scopedRules<Conf extends object>(policies: readonly Policy<Conf>[]): ScopedRules<Conf> {
  const sorted = policies
    .filter(({ isShadow }) => !isShadow)
    .toSorted((a, b) => byPolicy(a, b) || byNameFirstLast(a, b))
    .flatMap((policy) => policy.rules.map(({ matches, conf }) => ({ policy, matches, conf })));
  return {
    of(sni) {
      const parts = sorted.filter(({ matches }) => matches.length === 0 || matches.some((match) => isAbout(match, sni, false)));
      const conf = mergeConfs(parts.map((part) => part.conf));
      return conf === null ? null : { conf, parts };
    },
    forClients: (sni) => sorted.filter(({ matches }) => matches.some((match) => isAbout(match, sni, true))),
  };
}

function isAbout(match: RuleMatch, name: string, forClients: boolean): boolean {
  return (match.spiffeId !== null) === forClients && coversServerName(match, name);
}
