import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { MATCH_ALL } from '../tags.ts';
import { readMatches } from './rule-match.ts';
import type { RuleMatch } from './rule-match.ts';
import { readTargetRef } from './target-ref.ts';
import type { TargetRef } from './target-ref.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

export interface MeshTrafficPermission {
  readonly meta: Meta;
  /** Null for the whole mesh. */
  readonly targetRef: TargetRef | null;
  /** Empty where the policy has the `rules` form. */
  readonly from: readonly FromItem[];
  /** The `rules` form, which an egress of one mesh uses. */
  readonly rules: readonly RuleLists[];
  /** True for the label `kuma.io/effect: shadow`: Kuma only simulates the policy. */
  readonly isShadow: boolean;
  /**
   * Why the part of this policy that was understood must not be applied alone; null where all of it
   * was understood.
   */
  readonly notUnderstood: string | null;
}

export interface FromItem {
  readonly targetRef: TargetRef;
  readonly action: 'allow' | 'deny' | 'shadow-deny';
}

const TOP_KINDS = ['Mesh', 'MeshSubset', 'MeshService', 'MeshServiceSubset', 'Dataplane'] as const;
const FROM_KINDS = ['Mesh', 'MeshSubset', 'MeshService', 'MeshServiceSubset'] as const;
const ACTIONS: ReadonlyMap<string, FromItem['action']> = new Map([
  ['Allow', 'allow'],
  ['Deny', 'deny'],
  ['AllowWithShadowDeny', 'shadow-deny'],
]);

function readMeshTrafficPermission(document: Document, findings: Findings): MeshTrafficPermission {
  const before = findings.unknowns();
  const spec = document.spec(['targetRef', 'from', 'rules']);
  const targetRef = readTargetRef(spec, 'targetRef', TOP_KINDS, findings) ?? null;
  const from = spec.objects('from', ['targetRef', 'default']) ?? [];
  const rules = spec.objects('rules', ['default']) ?? [];
  const path = 'spec';
  if (from.length > 0 && rules.length > 0) findings.error(spec.at, path, "field 'from' must be empty when 'rules' is defined");
  if (from.length === 0 && rules.length === 0) {
    findings.error(spec.at, path, "at least one of 'from' or 'rules' has to be defined");
  }
  const read = rules.map(readRule);
  const items = from.flatMap((item) => readFrom(item, findings) ?? []);
  return {
    meta: document.meta,
    targetRef,
    from: items,
    rules: read,
    isShadow: document.meta.labels.get('kuma.io/effect') === 'shadow',
    notUnderstood: findings.unknowns() > before ? 'it has fields that are not known' : obscure(items),
  };
}

function readFrom(item: Fields, findings: Findings): FromItem | null {
  const targetRef = readTargetRef(item, 'targetRef', FROM_KINDS, findings);
  if (targetRef === undefined) item.errorAt(item.at, `${item.path}.targetRef.kind`, 'must be defined');
  const conf = item.object('default', ['action']);
  const text = conf?.text('action') ?? '';
  const action = ACTIONS.get(text);
  if (text === '') item.errorAt(conf?.place('action') ?? item.at, `${item.path}.default.action`, 'must be defined');
  else if (action === undefined) conf?.error('action', 'must be one of ["Allow", "Deny", "AllowWithShadowDeny"]');
  return targetRef === undefined || targetRef === null || action === undefined ? null : { targetRef, action };
}

/**
 * Finds forms that Kuma accepts but never matches: an Allow would admit no client, and a Deny would
 * refuse none.
 */
function obscure(items: readonly FromItem[]): string | null {
  for (const { targetRef } of items) {
    if (targetRef.byLabels) return `${targetRef.path} selects clients by labels`;
    if ([...targetRef.tags.values()].includes(MATCH_ALL)) return `${targetRef.path} selects clients by a tag with the value "*"`;
  }
  return null;
}

const LISTS = ['allow', 'allowWithShadowDeny', 'deny'] as const;

export interface RuleLists {
  readonly allow: readonly RuleMatch[];
  readonly allowWithShadowDeny: readonly RuleMatch[];
  readonly deny: readonly RuleMatch[];
}

function readRule(rule: Fields): RuleLists {
  const conf = rule.object('default', LISTS);
  const read = (list: (typeof LISTS)[number]): readonly RuleMatch[] => readMatches(conf, list, rule.path);
  if (LISTS.every((list) => conf?.has(list) !== true || conf.isEmpty(list))) {
    rule.errorAt(rule.at, rule.path, "at least one of 'allow', 'allowWithShadowDeny', 'deny' has to be defined");
  }
  return { allow: read('allow'), allowWithShadowDeny: read('allowWithShadowDeny'), deny: read('deny') };
}

export const meshTrafficPermission: PolicyKind<MeshTrafficPermission, 'meshPermissions'> = policyKind(
  'meshPermissions',
  readMeshTrafficPermission,
);
