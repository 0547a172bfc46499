import type { Permission, PermissionRule, Principal } from '../../model/permission.ts';
import { serverName } from '../../model/names.ts';
import type { Findings } from '../findings.ts';
import type { DataplaneDefinition } from '../kinds/dataplane.ts';
import type { MeshTrafficPermission } from '../kinds/mesh-traffic-permission.ts';
import { coversServerName } from '../kinds/rule-match.ts';
import type { RuleMatch } from '../kinds/rule-match.ts';
import { meshPermissionName } from '../mesh-permissions.ts';
import type { MeshResources } from '../resource-set.ts';
import { openLabels, selectsDataplane } from './dataplane-labels.ts';

/** The clients that may reach the services of a mesh through its Dataplanes. */
export interface ScopedPermissions {
  of(sni: string, destination: string): Permission;
}

/**
 * Merges the `rules` of every MeshTrafficPermission that selects the Dataplane, by server name: a
 * client that one denies, or that none allows, is refused. Several Dataplanes, and the listeners of
 * each, share their routes here, so each has to allow a client.
 */
export function scopedPermissions(
  { meshPermissions, mesh }: MeshResources,
  dataplanes: readonly DataplaneDefinition[],
  zone: string,
  findings: Findings,
): ScopedPermissions {
  for (const { meta, from, rules } of meshPermissions) {
    if (from.length > 0 && rules.length === 0)
      findings.warn(meta.at, 'spec.from', 'lets no client in through an egress of one mesh: use rules');
  }
  const effective = meshPermissions.filter(({ isShadow }) => !isShadow);
  const listeners = dataplanes.flatMap((dataplane) => dataplane.egresses.map((egress) => ({ ...dataplane, egresses: [egress] })));
  const selecting = unique(
    listeners.map((listener) => effective.filter(({ targetRef }) => selectsDataplane(targetRef, listener, zone))),
  );
  // It refuses clients of an unknown destination.
  const unclear = effective.find((policy) => !CLEAR.includes(policy.targetRef?.kind ?? 'Mesh') && denies(policy));
  const open = openPolicies(effective, listeners, zone);
  for (const { policy, label } of open) {
    const message = `${label} is a label that a control plane computes, and the Dataplane does not have it here: write it among its labels`;
    findings.warn(policy.targetRef?.at ?? policy.meta.at, 'spec.targetRef.labels', message);
  }
  const openDeny = open.find(({ policy }) => denies(policy));
  const by = `MeshTrafficPermission of mesh ${mesh.meta.name}`;
  return {
    of(sni, destination) {
      if (unclear !== undefined) {
        const why = `it denies, and its targetRef of kind ${unclear.targetRef?.kind ?? ''} is not evaluated for a Dataplane`;
        return { kind: 'unsupported', by: meshPermissionName(unclear), why };
      }
      if (openDeny !== undefined) {
        const why = `it denies, and the label ${openDeny.label} of its targetRef is not known for a Dataplane`;
        return { kind: 'unsupported', by: meshPermissionName(openDeny.policy), why };
      }
      const all = selecting.map((policies) => permissionOf(policies, { sni: serverName(sni), destination, by }));
      const [first] = all;
      return first === undefined || all.length > 1 ? { kind: 'all-of', by, all } : first;
    },
  };
}

const CLEAR: readonly string[] = ['Mesh', 'Dataplane'];

function denies({ rules }: MeshTrafficPermission): boolean {
  return rules.some(({ deny }) => deny.length > 0);
}

/** Returns the policies of which a label leaves open whether they select one of the listeners. */
function openPolicies(
  policies: readonly MeshTrafficPermission[],
  listeners: readonly DataplaneDefinition[],
  zone: string,
): readonly { readonly policy: MeshTrafficPermission; readonly label: string }[] {
  return policies.flatMap((policy) => {
    const [label] = listeners.flatMap((listener) => openLabels(policy.targetRef, listener, zone));
    return label === undefined ? [] : [{ policy, label }];
  });
}

function unique(lists: readonly (readonly MeshTrafficPermission[])[]): readonly (readonly MeshTrafficPermission[])[] {
  return [...new Map(lists.map((list) => [JSON.stringify(list.map(({ meta }) => meta.name)), list])).values()];
}

function permissionOf(
  policies: readonly MeshTrafficPermission[],
  of: { readonly sni: string; readonly destination: string; readonly by: string },
): Permission {
  for (const policy of policies) {
    if (policy.notUnderstood !== null) return { kind: 'unsupported', by: meshPermissionName(policy), why: policy.notUnderstood };
  }
  const rules = (list: 'deny' | 'allowWithShadowDeny' | 'allow', action: PermissionRule['action']): readonly PermissionRule[] =>
    policies.flatMap((policy) => {
      const principals = policy.rules.flatMap((rule) => rule[list].flatMap((match) => principalOf(match, of.sni) ?? []));
      return principals.length === 0 ? [] : [{ action, by: meshPermissionName(policy), principal: anyOf(principals) }];
    });
  const all = [...rules('deny', 'deny'), ...rules('allowWithShadowDeny', 'shadow-deny'), ...rules('allow', 'allow')];
  const last = all.findIndex(({ principal }) => principal.kind === 'any');
  const reached = last < 0 ? all : all.slice(0, last + 1);
  const [first] = reached;
  if (first === undefined) return { kind: 'deny-all', by: `no MeshTrafficPermission for ${of.destination}` };
  if (first.action === 'deny' && first.principal.kind === 'any') return { kind: 'deny-all', by: first.by };
  if (first.action === 'allow' && first.principal.kind === 'any') return { kind: 'allow-all', by: first.by };
  return { kind: 'rules', by: of.by, rules: reached };
}

/** Returns null where the match is about another server name. */
function principalOf(match: RuleMatch, name: string): Principal | null {
  if (!coversServerName(match, name)) return null;
  const { spiffeId } = match;
  return spiffeId === null ? { kind: 'any' } : { kind: 'uri-list', match: spiffeId.type, value: spiffeId.value };
}

function anyOf(principals: readonly Principal[]): Principal {
  const [first] = principals;
  if (principals.some(({ kind }) => kind === 'any')) return { kind: 'any' };
  return first !== undefined && principals.length === 1 ? first : { kind: 'or', any: principals };
}
