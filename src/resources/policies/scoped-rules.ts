import { serverName } from '../../model/names.ts';
import type { SenderRule } from '../../model/http-route.ts';
import { coversServerName } from '../kinds/rule-match.ts';
import type { RuleMatch, TextMatch } from '../kinds/rule-match.ts';
import type { Policy } from '../kinds/policy.ts';
import { mergeConfs } from './merge.ts';
import { byNameFirstLast, byPolicy } from './order.ts';
import type { Part, Ruled } from './to-rules.ts';

/** The `rules` of policies of one kind for an egress of one mesh. */
export interface ScopedRules<Conf> {
  /** Merges the rules without a match; the later one in Kuma's order counts. */
  readonly everywhere: Ruled<Conf> | null;
  /** Merges the rules about the server name that are for all clients. */
  ofName(sni: string): Ruled<Conf> | null;
  /** Merges both: a rule about the name replaces one about all names. */
  of(sni: string): Ruled<Conf> | null;
  /** Returns all rules that concern the server name, each on its own, in Kuma's order. */
  each(sni: string): readonly MatchedPart<Conf>[];
  /**
   * Returns the rules for certain clients that say something, the most specific first: each is
   * merged with `base` and with the rules for clients among which its own are.
   */
  forClients(sni: string, base: Ruled<Conf> | null, says: (conf: Conf) => boolean): readonly ClientRuled<Conf>[];
}

export interface MatchedPart<Conf> extends Part<Conf> {
  /** Null for all clients. */
  readonly client: TextMatch | null;
}

export interface ClientRuled<Conf> {
  readonly client: TextMatch;
  readonly ruled: Ruled<Conf>;
}

interface Entry<Conf> extends Part<Conf> {
  readonly match: RuleMatch | null;
  /** Its place in Kuma's order. */
  readonly order: number;
}

/** `fromCounts`: Kuma takes `from` items of this kind for rules without a match. */
export function scopedRules<Conf extends object>(
  policies: readonly Policy<Conf>[],
  { fromCounts }: { readonly fromCounts: boolean },
): ScopedRules<Conf> {
  const entries = sortedEntries(policies, fromCounts);
  const everywhere = ruledOf(entries.filter(({ match }) => match === null));
  const general = entries.filter(({ match }) => match?.sni?.type !== 'exact');
  const named = new Map<string, Entry<Conf>[]>();
  for (const entry of entries) {
    const { sni = null } = entry.match ?? {};
    if (sni?.type !== 'exact') continue;
    const name = serverName(sni.value);
    named.set(name, [...(named.get(name) ?? []), entry]);
  }
  const about = (sni: string): readonly Entry<Conf>[] => {
    const of = general.filter(({ match }) => match === null || coversServerName(match, sni));
    const exact = named.get(sni);
    return exact === undefined ? of : [...of, ...exact].sort((a, b) => a.order - b.order);
  };
  const ofName = (sni: string): readonly Entry<Conf>[] =>
    about(sni).filter(({ match }) => match !== null && match.sni !== null && match.spiffeId === null);
  return {
    everywhere,
    ofName: (sni) => ruledOf(ofName(sni)),
    of(sni) {
      const own = ofName(sni);
      return own.length === 0 ? everywhere : ruledOf([...(everywhere?.parts ?? []), ...own]);
    },
    each: (sni) => about(sni).map(({ policy, conf, match }) => ({ policy, conf, client: match?.spiffeId ?? null })),
    forClients(sni, base, says) {
      const relevant = about(sni).filter(({ match, conf }) => match !== null && match.spiffeId !== null && says(conf));
      return effective(
        relevant.toSorted((a, b) => bySpecificity(a, b)),
        base,
      );
    },
  };
}

/** One entry for each match of a rule, in the order in which Kuma sorts them. */
function sortedEntries<Conf>(policies: readonly Policy<Conf>[], fromCounts: boolean): readonly Entry<Conf>[] {
  return policies
    .filter(({ isShadow }) => !isShadow)
    .toSorted((a, b) => byPolicy(a, b) || byNameFirstLast(a, b))
    .flatMap((policy): readonly Omit<Entry<Conf>, 'order'>[] => {
      if (policy.rules.length === 0) return fromCounts ? policy.from.map(({ conf }) => ({ policy, conf, match: null })) : [];
      return policy.rules.flatMap(({ matches, conf }) => {
        const each: readonly (RuleMatch | null)[] = matches.length === 0 ? [null] : matches;
        return each.map((match) => ({ policy, conf, match }));
      });
    })
    .toSorted((a, b) => byMatch(a.match, b.match))
    .map((entry, order) => ({ ...entry, order }));
}

function ruledOf<Conf extends object>(parts: readonly Part<Conf>[]): Ruled<Conf> | null {
  const conf = mergeConfs(parts.map((part) => part.conf));
  return conf === null ? null : { conf, parts: parts.map(({ policy, conf: own }) => ({ policy, conf: own })) };
}

function effective<Conf extends object>(sorted: readonly Entry<Conf>[], base: Ruled<Conf> | null): readonly ClientRuled<Conf>[] {
  const found: ClientRuled<Conf>[] = [];
  const seen: RuleMatch[] = [];
  for (const { match } of sorted) {
    if (match === null || match.spiffeId === null || seen.some((other) => isSame(other, match))) continue;
    seen.push(match);
    const wider = sorted.filter((other) => other.match !== null && includes(other.match, match));
    const ruled = ruledOf([...(base?.parts ?? []), ...wider.toSorted((a, b) => bySpecificity(b, a))]);
    if (ruled !== null) found.push({ client: match.spiffeId, ruled });
  }
  return found;
}

function isSame(a: RuleMatch, b: RuleMatch): boolean {
  const same = (one: TextMatch | null, other: TextMatch | null): boolean =>
    one?.type === other?.type && one?.value === other?.value;
  return same(a.spiffeId, b.spiffeId) && same(a.sni, b.sni);
}

/** Tells whether every client of `inner` is one of `outer`, as Kuma compares them. */
function includes(outer: RuleMatch, inner: RuleMatch): boolean {
  if (outer.spiffeId === null || inner.spiffeId === null) return false;
  const clients =
    outer.spiffeId.type === 'prefix'
      ? inner.spiffeId.value.startsWith(outer.spiffeId.value)
      : inner.spiffeId.type === 'exact' && inner.spiffeId.value === outer.spiffeId.value;
  if (outer.sni === null) return clients;
  return clients && inner.sni?.type === outer.sni.type && inner.sni.value === outer.sni.value;
}

/** Orders the exact client first, then a prefix, then all clients; of these a server name first. */
function byMatch(a: RuleMatch | null, b: RuleMatch | null): number {
  const rank = (match: RuleMatch | null): number => {
    const { spiffeId = null, sni = null } = match ?? {};
    return (spiffeId === null ? 4 : spiffeId.type === 'prefix' ? 2 : 0) + (sni === null ? 1 : 0);
  };
  return rank(a) - rank(b);
}

/** Does the same, and of two prefixes the longer one first. */
function bySpecificity(a: Entry<unknown>, b: Entry<unknown>): number {
  const length = ({ match }: Entry<unknown>): number => (match?.spiffeId?.type === 'prefix' ? match.spiffeId.value.length : 0);
  return byMatch(a.match, b.match) || length(b) - length(a);
}

/** The condition on a client; Kuma's egress compares all URI SANs, joined. */
export function clientRule({ type, value }: TextMatch): SenderRule {
  return { kind: 'client', principal: { kind: 'uri-list', match: type, value } };
}
