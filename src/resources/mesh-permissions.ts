import type { Permission, PermissionRule, Principal } from '../model/permission.ts';
import type { FromItem, MeshTrafficPermission } from './kinds/mesh-traffic-permission.ts';
import type { TargetRef } from './kinds/target-ref.ts';
import type { Findings } from './findings.ts';
import { allOf, pushed, tagPrincipal } from './permissions.ts';
import { byNameFirstLast, byPolicy } from './policies/order.ts';
import { selectsService } from './selects-service.ts';
import { SERVICE_TAG } from './tags.ts';

/** The MeshTrafficPermissions of one mesh that can have an effect on an egress. */
export interface MeshPermissionChoice {
  /** True when the mesh has any of them, with any target: then no TrafficPermission counts. */
  readonly rule: boolean;
  /** Returns the policies that select this `kuma.io/service`; later ones override earlier ones. */
  selecting(service: string): readonly MeshTrafficPermission[];
}

export function meshPermissionChoice(policies: readonly MeshTrafficPermission[], findings: Findings): MeshPermissionChoice {
  const effective = policies.filter((policy) => isEffective(policy, findings));
  const byService = new Map<string, MeshTrafficPermission[]>();
  const others: MeshTrafficPermission[] = [];
  for (const policy of effective) {
    tellUseless(policy, findings);
    const { targetRef } = policy;
    const service = targetRef?.kind === 'MeshService' || targetRef?.kind === 'MeshServiceSubset' ? targetRef.name : null;
    if (service === null) others.push(policy);
    else byService.set(service, pushed(byService.get(service), policy));
  }
  return {
    rule: effective.length > 0,
    selecting(service) {
      const candidates = [...others, ...(byService.get(service) ?? [])];
      return candidates.filter(({ targetRef }) => selectsService(targetRef, service)).sort(bySpecificity);
    },
  };
}

function isEffective({ meta, isShadow }: MeshTrafficPermission, findings: Findings): boolean {
  if (isShadow) findings.warn(meta.at, 'labels["kuma.io/effect"]', 'is shadow: this policy is not applied');
  return !isShadow;
}

/**
 * Warns about policies that admit and refuse no client on an egress; their only effect is that
 * TrafficPermissions no longer count.
 */
function tellUseless({ meta, rules, from, targetRef, notUnderstood }: MeshTrafficPermission, findings: Findings): void {
  const also = 'but as long as it is there, no TrafficPermission of the mesh counts';
  if (targetRef?.kind === 'Dataplane') {
    findings.warn(targetRef.at, targetRef.path, `a policy for Dataplanes selects nothing on a zone egress, ${also}`);
  } else if (targetRef !== null && [...targetRef.tags.keys()].some((tag) => tag !== SERVICE_TAG)) {
    const message = `selects nothing on a zone egress, where an external service has no tag but ${SERVICE_TAG}, ${also}`;
    findings.warn(targetRef.at, `${targetRef.path}.tags`, message);
  } else if (rules.length > 0 && from.length === 0 && notUnderstood === null) {
    findings.warn(meta.at, 'spec.rules', `the rules form lets no client in on a zone egress: use from; ${also}`);
  }
}

export function meshPermissionName({ meta }: MeshTrafficPermission): string {
  return `MeshTrafficPermission ${meta.mesh}/${meta.name}`;
}

/**
 * Merges the policies of a service. The last of all items that match a client decides. The rules
 * are therefore the items from last to first, and the first that matches decides. For a certificate
 * with two values of one tag, any Allow is enough in Kuma; here the last item decides, which never
 * admits more.
 */
export function mergedPermission(policies: readonly MeshTrafficPermission[]): Permission {
  const by = policies.map(meshPermissionName).join(', ');
  for (const policy of policies) {
    if (policy.notUnderstood !== null) return { kind: 'unsupported', by: meshPermissionName(policy), why: policy.notUnderstood };
  }
  const rules = policies.flatMap((policy) => policy.from.map((item) => ruleOf(policy, item))).reverse();
  // Rules after one that matches every client have no effect.
  const last = rules.findIndex(({ principal }) => principal.kind === 'any');
  return { kind: 'rules', by, rules: last < 0 ? rules : rules.slice(0, last + 1) };
}

function ruleOf(policy: MeshTrafficPermission, { targetRef, action }: FromItem): PermissionRule {
  return { action, by: meshPermissionName(policy), principal: principalOf(targetRef, policy.meta.mesh) };
}

function principalOf({ kind, name, tags }: TargetRef, mesh: string): Principal {
  const service = kind === 'MeshService' || kind === 'MeshServiceSubset' ? [tagPrincipal(mesh, SERVICE_TAG, name)] : [];
  return allOf([...service, ...[...tags].map(([tag, value]) => tagPrincipal(mesh, tag, value))]);
}

/**
 * Kuma's order: kind of the target, origin of the policy, its role. Among equals it orders by
 * display name, where the first name wins.
 */
function bySpecificity(a: MeshTrafficPermission, b: MeshTrafficPermission): number {
  return byPolicy(a, b) || byNameFirstLast(a, b);
}
