import type { Principal } from '../../src/model/permission.ts';
import { ANYBODY, NOBODY } from './canonical.ts';
import type { EnvoyNode } from './envoy-node.ts';

/**
 * Returns who passes one RBAC filter of a chain with this SNI, and who is counted as denied by its
 * shadow.
 */
export function readRbac(filter: EnvoyNode, sni: string): { readonly allowed: Principal; readonly shadowDenied: Principal } {
  filter.skip('statPrefix', 'shadowRulesStatPrefix');
  const rules = filter.object('rules');
  const shadowRules = filter.object('shadowRules');
  const matcher = filter.object('matcher');
  const shadowMatcher = filter.object('shadowMatcher');
  filter.done();
  const allowed = [];
  if (rules !== undefined) allowed.push(passing(rules, sni));
  if (matcher !== undefined) allowed.push(matching(matcher, sni));
  const shadow = [];
  if (shadowRules !== undefined) shadow.push(passing(shadowRules, sni));
  if (shadowMatcher !== undefined) shadow.push(matching(shadowMatcher, sni));
  return { allowed: and(allowed), shadowDenied: shadow.length === 0 ? NOBODY : not(and(shadow)) };
}

/** Reads the old form. An RBAC without policies allows no client, or denies none. */
function passing(rules: EnvoyNode, sni: string): Principal {
  const action = rules.text('action') ?? 'ALLOW';
  const policies = rules.object('policies');
  const named = (policies?.entries() ?? []).flatMap(([name]) => policies?.object(name) ?? []);
  const matched = or(
    named.map((policy) => {
      const principals = or(policy.objects('principals').map((principal) => readPrincipal(principal)));
      const permitted = or(policy.objects('permissions').map((permission) => readPermission(permission, sni)));
      policy.done();
      return and([permitted, principals]);
    }),
  );
  rules.done();
  return verdict(action, matched, rules);
}

function verdict(action: string, matched: Principal, at: EnvoyNode): Principal {
  switch (action) {
    case 'ALLOW':
      return matched;
    case 'DENY':
      return not(matched);
    case 'LOG':
      return ANYBODY;
    default:
      at.report(`action ${action}`);
      return NOBODY;
  }
}

function readPermission(permission: EnvoyNode, sni: string): Principal {
  const [kind] = permission.entries()[0] ?? [''];
  const each = (node: EnvoyNode | undefined): readonly Principal[] =>
    (node?.objects('rules') ?? []).map((rule) => readPermission(rule, sni));
  switch (kind) {
    case 'any':
      return anything(permission);
    case 'requestedServerName':
      return matchesText(permission.object(kind), sni) ? ANYBODY : NOBODY;
    case 'andRules':
      return and(each(permission.object(kind)));
    case 'orRules':
      return or(each(permission.object(kind)));
    default:
      permission.report(`permission ${kind}`);
      return NOBODY;
  }
}

function anything(node: EnvoyNode): Principal {
  if (node.flag('any')) return ANYBODY;
  node.report('any that is not true');
  return NOBODY;
}

function readPrincipal(principal: EnvoyNode): Principal {
  const [kind] = principal.entries()[0] ?? [''];
  const each = (node: EnvoyNode | undefined): readonly Principal[] => (node?.objects('ids') ?? []).map(readPrincipal);
  switch (kind) {
    case 'any':
      return anything(principal);
    case 'andIds':
      return and(each(principal.object(kind)));
    case 'orIds':
      return or(each(principal.object(kind)));
    case 'notId': {
      const inner = principal.object(kind);
      return inner === undefined ? NOBODY : not(readPrincipal(inner));
    }
    case 'authenticated': {
      const name = principal.object(kind)?.object('principalName');
      return name === undefined ? ANYBODY : uri(name);
    }
    default:
      principal.report(`principal ${kind}`);
      return NOBODY;
  }
}

function uri(matcher: EnvoyNode): Principal {
  for (const match of ['exact', 'prefix'] as const) {
    if (matcher.has(match)) return { kind: 'uri', match, value: matcher.text(match) ?? '' };
  }
  matcher.report('not exact and not prefix');
  return NOBODY;
}

function matchesText(matcher: EnvoyNode | undefined, text: string): boolean {
  if (matcher?.has('exact') === true) return matcher.text('exact') === text;
  if (matcher?.has('prefix') === true) return text.startsWith(matcher.text('prefix') ?? '');
  matcher?.report('not exact and not prefix');
  return false;
}

/**
 * Reads the new form: the first matcher that matches decides; a client that matches none goes to
 * `onNoMatch`, and is denied without one.
 */
function matching(matcher: EnvoyNode, sni: string): Principal {
  const list = matcher.object('matcherList');
  const onNoMatch = matcher.object('onNoMatch');
  matcher.done();
  let rest: Principal = onNoMatch === undefined ? NOBODY : outcome(onNoMatch, sni);
  for (const item of [...(list?.objects('matchers') ?? [])].reverse()) {
    const predicate = item.object('predicate');
    const onMatch = item.object('onMatch');
    item.done();
    const matched = predicate === undefined ? NOBODY : readPredicate(predicate, sni);
    const then = onMatch === undefined ? NOBODY : outcome(onMatch, sni);
    rest = or([and([matched, then]), and([not(matched), rest])]);
  }
  list?.done();
  return rest;
}

function outcome(on: EnvoyNode, sni: string): Principal {
  const nested = on.object('matcher');
  if (nested !== undefined) return matching(nested, sni);
  const action = on.object('action')?.object('typedConfig');
  on.done();
  action?.skip('name');
  const then = action?.text('action') ?? 'ALLOW';
  action?.done();
  return verdict(then, ANYBODY, on);
}

function readPredicate(predicate: EnvoyNode, sni: string): Principal {
  const [kind] = predicate.entries()[0] ?? [''];
  const node = predicate.object(kind);
  const each = (): readonly Principal[] => (node?.objects('predicate') ?? []).map((inner) => readPredicate(inner, sni));
  switch (kind) {
    case 'orMatcher':
      return or(each());
    case 'andMatcher':
      return and(each());
    case 'notMatcher':
      return node === undefined ? NOBODY : not(readPredicate(node, sni));
    case 'singlePredicate': {
      const input = node?.object('input')?.text('name');
      const value = node?.object('valueMatch');
      if (value !== undefined && input === 'envoy.matching.inputs.uri_san') return uri(value);
      if (input === 'envoy.matching.inputs.server_name') return matchesText(value, sni) ? ANYBODY : NOBODY;
      predicate.report(`input ${input ?? ''}`);
      return NOBODY;
    }
    default:
      predicate.report(`predicate ${kind}`);
      return NOBODY;
  }
}

export function and(all: readonly Principal[]): Principal {
  return { kind: 'and', all };
}

export function or(any: readonly Principal[]): Principal {
  return { kind: 'or', any };
}

export function not(clients: Principal): Principal {
  return { kind: 'not', not: clients };
}
