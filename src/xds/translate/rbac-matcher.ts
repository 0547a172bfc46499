import type { PermissionRule, Principal } from '../../model/permission.ts';
import { anyOf, NotEvaluable, stringMatches, uriMatcher } from './principals.ts';
import type { ChainFacts } from './principals.ts';
import { ActionSchema, RBAC_Action } from '#envoy/config/rbac/v3/rbac_pb.js';
import { SkipFilterSchema } from '#envoy/extensions/filters/common/matcher/action/v3/skip_action_pb.js';
import type { TypedExtensionConfig } from '#envoy/xds/core/v3/extension_pb.js';
import type {
  Matcher,
  Matcher_MatcherList_Predicate,
  Matcher_MatcherList_Predicate_SinglePredicate,
  Matcher_MatcherTree,
  Matcher_OnMatch,
} from '#envoy/xds/type/matcher/v3/matcher_pb.js';
import { typeOf, unknownField, unpack } from '../messages/typed-config.ts';

const NOBODY: Principal = { kind: 'or', any: [] };
const ANYBODY: Principal = { kind: 'any' };

const INPUTS: Readonly<Record<string, 'uri' | 'server-name'>> = {
  'envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput': 'uri',
  'envoy.extensions.matching.common_inputs.network.v3.ServerNameInput': 'server-name',
};

/** `byOf` turns the name of an action into one that operators know. */
type Naming = (name: string) => string;

/**
 * Turns Envoy's match tree into rules: the first match decides, and a client that matches none is
 * denied. Throws NotEvaluable.
 */
export function matcherRules(matcher: Matcher, facts: ChainFacts, byOf: Naming): readonly PermissionRule[] {
  const rules: PermissionRule[] = [];
  for (const { when, then } of branches(matcher, facts)) {
    if (isNobody(when)) continue;
    for (const rule of outcome(then, facts, byOf)) rules.push({ ...rule, principal: both(when, rule.principal) });
    if (when.kind === 'any') break;
  }
  return rules;
}

/**
 * Returns the clients that a filter with a skipping matcher applies to. Every action of such a
 * matcher must skip. Throws NotEvaluable.
 */
export function unskipped(matcher: Matcher, facts: ChainFacts): Principal {
  const skipped = branches(matcher, facts).map(({ when, then }) => {
    const on = then?.onMatch;
    if (on?.case !== 'action' || typeOf(on.value.typedConfig) !== SkipFilterSchema.typeName) {
      throw new NotEvaluable('a matcher does something else than to skip its filter');
    }
    return when;
  });
  return negated(either(skipped));
}

interface Branch {
  readonly when: Principal;
  readonly then: Matcher_OnMatch | undefined;
}

function branches({ matcherType, onNoMatch }: Matcher, facts: ChainFacts): readonly Branch[] {
  const rest: readonly Branch[] = onNoMatch === undefined ? [] : [{ when: ANYBODY, then: onNoMatch }];
  switch (matcherType.case) {
    case undefined:
      return rest;
    case 'matcherList': {
      const list = matcherType.value.matchers.map(({ predicate, onMatch }) => ({
        when: predicateOf(predicate, facts),
        then: onMatch,
      }));
      return [...list, ...rest];
    }
    case 'matcherTree':
      return [...treeBranches(matcherType.value, facts), ...rest];
    default:
      return matcherType satisfies never;
  }
}

/** Among prefixes the longest match decides. */
function treeBranches({ input, treeType }: Matcher_MatcherTree, facts: ChainFacts): readonly Branch[] {
  if (treeType.case !== 'exactMatchMap' && treeType.case !== 'prefixMatchMap') {
    throw new NotEvaluable(`its authorisation filter has a matcher tree of the kind ${treeType.case ?? 'that is not set'}`);
  }
  const match = treeType.case === 'exactMatchMap' ? 'exact' : 'prefix';
  const entries = Object.entries(treeType.value.map).sort(([a], [b]) => b.length - a.length || (a < b ? -1 : 1));
  return entries.map(([value, then]) => ({
    when: compared(input, { matchPattern: { case: match, value }, ignoreCase: false }, facts),
    then,
  }));
}

function predicateOf(predicate: Matcher_MatcherList_Predicate | undefined, facts: ChainFacts): Principal {
  const type = predicate?.matchType;
  switch (type?.case) {
    case 'singlePredicate':
      return singleOf(type.value, facts);
    case 'orMatcher':
      return either(type.value.predicate.map((inner) => predicateOf(inner, facts)));
    case 'andMatcher':
      if (type.value.predicate.length === 0) throw new NotEvaluable('its authorisation filter has an empty list');
      return type.value.predicate.map((inner) => predicateOf(inner, facts)).reduce(both, ANYBODY);
    case 'notMatcher':
      return negated(predicateOf(type.value, facts));
    default:
      throw new NotEvaluable('its authorisation filter has a predicate of a kind that is not known');
  }
}

function singleOf({ input, matcher }: Matcher_MatcherList_Predicate_SinglePredicate, facts: ChainFacts): Principal {
  if (matcher.case !== 'valueMatch') throw new NotEvaluable('its authorisation filter has a matcher of its own kind');
  return compared(input, matcher.value, facts);
}

function compared(
  input: TypedExtensionConfig | undefined,
  matcher: Parameters<typeof stringMatches>[0],
  facts: ChainFacts,
): Principal {
  const type = typeOf(input?.typedConfig);
  switch (INPUTS[type]) {
    case 'uri':
      return uriMatcher(matcher, 'uri-list');
    case 'server-name':
      return stringMatches(matcher, facts.serverName, 'the server name') ? ANYBODY : NOBODY;
    default:
      throw new NotEvaluable(`its authorisation filter compares ${type === '' ? 'nothing that is known' : type}`);
  }
}

/**
 * A client that a nested matcher does not match is denied, even where a later branch would match
 * it.
 */
function outcome(on: Matcher_OnMatch | undefined, facts: ChainFacts, byOf: Naming): readonly PermissionRule[] {
  const { case: kind, value } = on?.onMatch ?? { case: undefined };
  switch (kind) {
    case 'matcher':
      return [...matcherRules(value, facts, byOf), { action: 'deny', by: byOf('default'), principal: ANYBODY }];
    case 'action': {
      const action = unpack(value.typedConfig, ActionSchema);
      if (action === undefined || unknownField(action) !== null) {
        throw new NotEvaluable(`its authorisation filter has the action ${typeOf(value.typedConfig)}`);
      }
      return [{ action: action.action === RBAC_Action.DENY ? 'deny' : 'allow', by: byOf(action.name), principal: ANYBODY }];
    }
    default:
      throw new NotEvaluable('its authorisation filter has a match without an outcome');
  }
}

export function isNobody(principal: Principal): boolean {
  return principal.kind === 'or' && principal.any.length === 0;
}

function both(a: Principal, b: Principal): Principal {
  if (isNobody(a) || isNobody(b)) return NOBODY;
  return a.kind === 'any' ? b : b.kind === 'any' ? a : { kind: 'and', all: [a, b] };
}

function either(all: readonly Principal[]): Principal {
  return all.some(({ kind }) => kind === 'any') ? ANYBODY : anyOf(all.filter((each) => !isNobody(each)));
}

function negated(principal: Principal): Principal {
  return isNobody(principal) ? ANYBODY : principal.kind === 'any' ? NOBODY : { kind: 'not', not: principal };
}
