import type { Permission, PermissionRule, Principal } from '../../model/permission.ts';
import { matcherRules } from './rbac-matcher.ts';
import { anyOf, NotEvaluable, stringMatches, uriMatcher } from './principals.ts';
import type { ChainFacts } from './principals.ts';
import type { Permission as RbacPermission, Policy, Principal as RbacPrincipal, RBAC } from '#envoy/config/rbac/v3/rbac_pb.js';
import { RBAC_Action } from '#envoy/config/rbac/v3/rbac_pb.js';
import type { RBAC as HttpRbac } from '#envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import type { RBAC as NetworkRbac } from '#envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { unknownField } from '../messages/typed-config.ts';

export interface FilterPermission {
  /** Null where the filter restricts nothing. */
  readonly permission: Permission | null;
  readonly remarks: readonly string[];
}

/**
 * Reads one authorisation filter, network or HTTP, as a permission for whole connections. A
 * restriction that cannot be evaluated makes the permission `unsupported`; one that Envoy would
 * only count is left out with a remark. It never admits more than Envoy.
 */
export function filterPermission(filter: NetworkRbac | HttpRbac, facts: ChainFacts): FilterPermission {
  const by = deciderOf(filter, facts);
  const unknown = unknownField(filter);
  if (unknown !== null) {
    const why = `its authorisation filter has what this egress does not know: ${unknown}`;
    return { permission: { kind: 'unsupported', by, why }, remarks: [] };
  }
  const main = evaluated(() => engineRules(filter.matcher, filter.rules, facts));
  if (main.kind === 'not-evaluable') return { permission: { kind: 'unsupported', by, why: main.why }, remarks: [] };
  const shadow = evaluated(() => engineRules(filter.shadowMatcher, filter.shadowRules, facts));
  const remarks =
    shadow.kind === 'not-evaluable' ? [`the shadow rules of its authorisation filter are not evaluated: ${shadow.why}`] : [];
  const shadowRules = shadow.kind === 'rules' ? shadow.rules : null;
  const rules = shadowRules === null ? main.rules : withShadow(main.rules ?? [anybody(by)], shadowRules);
  return { permission: rules === null ? null : permissionOf(by, rules), remarks };
}

type Evaluated =
  | { readonly kind: 'rules'; readonly rules: readonly PermissionRule[] | null }
  | { readonly kind: 'not-evaluable'; readonly why: string };

function evaluated(evaluate: () => readonly PermissionRule[] | null): Evaluated {
  try {
    return { kind: 'rules', rules: evaluate() };
  } catch (error) {
    if (error instanceof NotEvaluable) return { kind: 'not-evaluable', why: error.message };
    throw error;
  }
}

/** Envoy uses the matcher where both forms are there, and asks nothing where neither is. */
function engineRules(
  matcher: NetworkRbac['matcher'],
  rules: RBAC | undefined,
  facts: ChainFacts,
): readonly PermissionRule[] | null {
  if (matcher !== undefined) return matcherRules(matcher, facts, (name) => actionName(name, facts));
  return rules === undefined ? null : policyRules(rules, facts);
}

function policyRules({ action, policies }: RBAC, facts: ChainFacts): readonly PermissionRule[] {
  const named = Object.entries(policies).sort(([a], [b]) => (a < b ? -1 : 1));
  const verb = action === RBAC_Action.DENY ? 'deny' : 'allow';
  const rules = named.flatMap(([key, policy]) => {
    const by = policyName(key, facts);
    return principalsOf(policy, facts).map((principal): PermissionRule => ({ action: verb, by, principal }));
  });
  switch (action) {
    case RBAC_Action.ALLOW:
      return rules;
    case RBAC_Action.DENY:
      return [...rules, anybody(noneDenies(facts))];
    case RBAC_Action.LOG:
      return [anybody(noneDenies(facts))];
    default:
      throw new NotEvaluable(`its authorisation filter has the action ${String(action satisfies never)}`);
  }
}

/** Returns alternatives; none where the policy is not about this chain. */
function principalsOf(policy: Policy, facts: ChainFacts): readonly Principal[] {
  if (policy.condition !== undefined || policy.checkedCondition !== undefined) {
    throw new NotEvaluable('its authorisation filter has a condition in CEL');
  }
  const principals = some(policy.principals).map(principalOf);
  return some(policy.permissions)
    .map((permission) => isPermitted(permission, facts))
    .includes(true)
    ? principals
    : [];
}

/** The permission part is the same for every connection of the chain. */
function isPermitted({ rule }: RbacPermission, facts: ChainFacts): boolean {
  switch (rule.case) {
    case 'any':
      if (rule.value) return true;
      throw new NotEvaluable('its authorisation filter has a permission `any` that is not true');
    case 'andRules':
      return some(rule.value.rules)
        .map((inner) => isPermitted(inner, facts))
        .every(Boolean);
    case 'orRules':
      return rule.value.rules.map((inner) => isPermitted(inner, facts)).some(Boolean);
    case 'notRule':
      return !isPermitted(rule.value, facts);
    case 'requestedServerName':
      return stringMatches(rule.value, facts.serverName, 'requested_server_name');
    case 'destinationPort':
      return rule.value === facts.port;
    case 'destinationPortRange':
      return facts.port >= rule.value.start && facts.port < rule.value.end;
    default:
      throw new NotEvaluable(`its authorisation filter has a permission of the kind ${snake(rule.case)}`);
  }
}

function principalOf({ identifier }: RbacPrincipal): Principal {
  switch (identifier.case) {
    case 'any':
      if (identifier.value) return { kind: 'any' };
      throw new NotEvaluable('its authorisation filter has a principal `any` that is not true');
    case 'authenticated': {
      // Every client here has shown a certificate.
      const { principalName } = identifier.value;
      return principalName === undefined ? { kind: 'any' } : uriMatcher(principalName, 'uri');
    }
    case 'andIds':
      return { kind: 'and', all: some(identifier.value.ids).map(principalOf) };
    case 'orIds':
      return anyOf(identifier.value.ids.map(principalOf));
    case 'notId':
      return { kind: 'not', not: principalOf(identifier.value) };
    default:
      throw new NotEvaluable(`its authorisation filter has a principal of the kind ${snake(identifier.case)}`);
  }
}

/** Envoy refuses an empty list, which `and` would read as every client. */
function some<Item>(items: readonly Item[]): readonly Item[] {
  if (items.length === 0) throw new NotEvaluable('its authorisation filter has an empty list');
  return items;
}

function snake(name: string | undefined): string {
  return name === undefined ? 'that is not set' : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * A client that is allowed, and denied by the shadow, is allowed and counted. Only the client
 * decides, so each rule is split in two.
 */
function withShadow(rules: readonly PermissionRule[], shadow: readonly PermissionRule[]): readonly PermissionRule[] {
  const denied = deniedBy(shadow);
  return rules
    .flatMap((rule): readonly PermissionRule[] => {
      if (rule.action === 'deny') return [rule];
      return [
        ...denied.map((each) => ({ action: 'shadow-deny', by: rule.by, principal: both(rule.principal, each) }) as const),
        rule,
      ];
    })
    .filter(isReached);
}

/** Rules after one that matches every client have no effect. */
function isReached(_: PermissionRule, at: number, rules: readonly PermissionRule[]): boolean {
  return !rules.slice(0, at).some(({ principal }) => principal.kind === 'any');
}

/** Returns the clients that rules deny, as alternatives. */
function deniedBy(rules: readonly PermissionRule[]): readonly Principal[] {
  const denied: Principal[] = [];
  const before: Principal[] = [];
  const rest: PermissionRule = { action: 'deny', by: '', principal: { kind: 'any' } };
  for (const { action, principal } of [...rules, rest]) {
    if (action === 'deny')
      denied.push(before.length === 0 ? principal : both(principal, { kind: 'not', not: anyOf([...before]) }));
    if (principal.kind === 'any') break;
    if (action !== 'deny') before.push(principal);
  }
  return denied;
}

function both(a: Principal, b: Principal): Principal {
  return a.kind === 'any' ? b : b.kind === 'any' ? a : { kind: 'and', all: [a, b] };
}

function anybody(by: string): PermissionRule {
  return { action: 'allow', by, principal: { kind: 'any' } };
}

/** Chooses the shortest form of the same permission. */
function permissionOf(by: string, rules: readonly PermissionRule[]): Permission {
  const [first] = rules;
  const everybody = rules.find(({ principal }) => principal.kind === 'any');
  if (first === undefined) return { kind: 'deny-all', by };
  if (rules.every(({ action }) => action === 'allow') && everybody !== undefined) return { kind: 'allow-all', by: everybody.by };
  if (first.principal.kind === 'any' && first.action === 'deny') return { kind: 'deny-all', by: first.by };
  return { kind: 'rules', by, rules };
}

/**
 * Kuma's own name for rules of MeshTrafficPermissions, and for those that it makes up where no
 * policy counts.
 */
const MESH_PERMISSIONS = 'MeshTrafficPermission';

/**
 * Returns names as operators know them. Kuma sends the name of a TrafficPermission as it is in the
 * zone; for MeshTrafficPermissions it sends no name in their `from` form, and the KRI in their
 * `rules` form.
 */
function policyName(key: string, { mesh, isMeshExternal }: ChainFacts): string {
  if (key === MESH_PERMISSIONS) return isMeshExternal ? 'MeshExternalService default' : `MeshTrafficPermission of mesh ${mesh}`;
  const [, kriMesh, name] = /^kri_mtp_([^_]*)_[^_]*_[^_]*_([^_]+)_/.exec(key) ?? [];
  return name === undefined ? `TrafficPermission ${mesh}/${key}` : `MeshTrafficPermission ${kriMesh ?? ''}/${name}`;
}

/** Names the deciding policy of the `rules` form by its KRI; `default` where none decides. */
function actionName(name: string, facts: ChainFacts): string {
  return name.startsWith('kri_') ? policyName(name, facts) : `no MeshTrafficPermission for ${facts.destination}`;
}

/** Kuma names no policy where it has none that admits a client. */
function deciderOf({ rules, matcher }: NetworkRbac | HttpRbac, facts: ChainFacts): string {
  const [key] = Object.keys(rules?.policies ?? {}).sort();
  if (matcher !== undefined) return `MeshTrafficPermission of mesh ${facts.mesh}`;
  if (key !== undefined) return policyName(key, facts);
  return facts.isMeshExternal
    ? `Mesh ${facts.mesh} routing.defaultForbidMeshExternalServiceAccess`
    : `no permission for ${facts.destination}`;
}

function noneDenies({ destination }: ChainFacts): string {
  return `no rule denies ${destination}`;
}
