import type { Permission, PermissionRule, Principal } from '../model/permission.ts';
import type { ExternalService } from './kinds/external-service.ts';
import type { FromItem, MeshTrafficPermission } from './kinds/mesh-traffic-permission.ts';
import { TARGET_KINDS } from './kinds/target-ref.ts';
import type { TargetRef } from './kinds/target-ref.ts';
import type { Findings } from './findings.ts';
import { allOf, pushed, tagPrincipal } from './permissions.ts';
import { selects, SERVICE_TAG } from './tags.ts';

/** The MeshTrafficPermissions of one mesh, as far as they can matter here. */
export interface MeshTrafficPermissions {
  /** In the order in which later ones override earlier ones. */
  readonly all: readonly MeshTrafficPermission[];
  /** Those that select one of these external services, which have the same `kuma.io/service`. */
  selecting(services: readonly ExternalService[]): readonly MeshTrafficPermission[];
}

export function meshTrafficPermissions(policies: readonly MeshTrafficPermission[], findings: Findings): MeshTrafficPermissions {
  const all = policies.filter((policy) => isOfUse(policy, findings)).sort(bySpecificity);
  const byService = new Map<string, MeshTrafficPermission[]>();
  const others: MeshTrafficPermission[] = [];
  for (const policy of all) {
    const { targetRef } = policy;
    const service = targetRef?.kind === 'MeshService' || targetRef?.kind === 'MeshServiceSubset' ? targetRef.name : null;
    if (service === null) others.push(policy);
    else byService.set(service, pushed(byService.get(service), policy));
  }
  return {
    all,
    selecting(services) {
      const named = byService.get(services[0]?.service ?? '') ?? [];
      const candidates = [...others, ...named].filter(({ targetRef }) =>
        services.some((service) => isSelected(targetRef, service)),
      );
      return candidates.sort(bySpecificity);
    },
  };
}

function isOfUse(
  { meta, isShadow, hasRules, from, targetRef, notUnderstood }: MeshTrafficPermission,
  findings: Findings,
): boolean {
  if (isShadow) {
    findings.warn(meta.at, 'labels["kuma.io/effect"]', 'is shadow: this policy is not applied');
    return false;
  }
  if (targetRef?.kind === 'Dataplane') {
    findings.warn(targetRef.at, targetRef.path, 'a policy for Dataplanes has no effect on a zone egress');
    return false;
  }
  if (hasRules && from.length === 0) {
    findings.warn(
      meta.at,
      'spec.rules',
      'the rules form has no effect on a zone egress: it allows and denies nobody here; use from',
    );
    return false;
  }
  return from.length > 0 || notUnderstood !== null;
}

/** Kuma 2.14's own egress sees nothing but `kuma.io/service` of an external service here; the other tags are as good as that one. */
function isSelected(targetRef: TargetRef | null, { service, tags }: ExternalService): boolean {
  if (targetRef === null) return true;
  switch (targetRef.kind) {
    case 'Mesh':
      return true;
    case 'MeshSubset':
      return selects(targetRef.tags, tags);
    case 'MeshService':
      return targetRef.name === service;
    case 'MeshServiceSubset':
      return targetRef.name === service && selects(targetRef.tags, tags);
    case 'Dataplane':
      return false;
    default:
      return targetRef.kind satisfies never;
  }
}

export function meshPermissionName({ meta }: MeshTrafficPermission): string {
  return `MeshTrafficPermission ${meta.mesh}/${meta.name}`;
}

/**
 * Of all items that match a client the last one decides. So the rules are the items from last to first, and the first that matches does.
 * For a certificate with two values of one tag Kuma lets any Allow pass; here the last item decides, which never lets more through.
 */
export function mergedPermission(policies: readonly MeshTrafficPermission[], services: readonly ExternalService[]): Permission {
  const by = policies.map(meshPermissionName).join(', ');
  for (const policy of policies) {
    const why = policy.notUnderstood ?? whySplit(policy, services);
    if (why !== null) return { kind: 'unsupported', by: meshPermissionName(policy), why };
  }
  const rules = policies.flatMap((policy) => policy.from.map((item) => ruleOf(policy, item))).reverse();
  // Nothing gets past a rule for everybody.
  const last = rules.findIndex(({ principal }) => principal.kind === 'any');
  return { kind: 'rules', by, rules: last < 0 ? rules : rules.slice(0, last + 1) };
}

/** One cluster serves all external services of a name, so a policy for some of them can be kept for none. */
function whySplit({ targetRef }: MeshTrafficPermission, services: readonly ExternalService[]): string | null {
  return services.every((service) => isSelected(targetRef, service))
    ? null
    : `it selects some, not all of the ExternalServices with the service ${services[0]?.service ?? ''}`;
}

function ruleOf(policy: MeshTrafficPermission, { targetRef, action }: FromItem): PermissionRule {
  return { action, by: meshPermissionName(policy), principal: principalOf(targetRef, policy.meta.mesh) };
}

function principalOf({ kind, name, tags }: TargetRef, mesh: string): Principal {
  const service = kind === 'MeshService' || kind === 'MeshServiceSubset' ? [tagPrincipal(mesh, SERVICE_TAG, name)] : [];
  return allOf([...service, ...[...tags].map(([tag, value]) => tagPrincipal(mesh, tag, value))]);
}

const ORIGINS: ReadonlyMap<string, number> = new Map([
  ['global', 1],
  ['zone', 3],
]);
const ROLES: readonly string[] = ['system', 'producer', 'consumer', 'workload-owner'];

/** Kuma's order: kind of the target, where the policy comes from, its role; then by display name, where the one that sorts first wins. */
function bySpecificity(a: MeshTrafficPermission, b: MeshTrafficPermission): number {
  return kindRank(a) - kindRank(b) || originRank(a) - originRank(b) || roleRank(a) - roleRank(b) || byNameFirstLast(a, b);
}

function kindRank({ targetRef }: MeshTrafficPermission): number {
  return TARGET_KINDS.indexOf(targetRef?.kind ?? 'Mesh');
}

function originRank({ meta }: MeshTrafficPermission): number {
  return ORIGINS.get(meta.labels.get('kuma.io/origin') ?? '') ?? 2;
}

function roleRank({ meta }: MeshTrafficPermission): number {
  return ROLES.indexOf(meta.labels.get('kuma.io/policy-role') ?? 'system');
}

function byNameFirstLast(a: MeshTrafficPermission, b: MeshTrafficPermission): number {
  const [first, second] = [a.meta.displayName, b.meta.displayName];
  return first < second ? 1 : first > second ? -1 : 0;
}
