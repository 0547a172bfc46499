import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import type { ReadKind } from '../known-kinds.ts';
import { readMatches } from './rule-match.ts';
import type { RuleMatch } from './rule-match.ts';
import { readTargetRef } from './target-ref.ts';
import type { TargetKind, TargetRef } from './target-ref.ts';

/** A policy with a target and lists of items; `Conf` is the configuration of an item. */
export interface Policy<Conf> {
  readonly kind: ReadKind;
  readonly meta: Meta;
  /** Null for the whole mesh. */
  readonly targetRef: TargetRef | null;
  readonly to: readonly PolicyItem<Conf>[];
  readonly from: readonly PolicyItem<Conf>[];
  /** The `rules` form, which only an egress of one mesh uses. */
  readonly rules: readonly PolicyRule<Conf>[];
  /** True for the label `kuma.io/effect: shadow`: Kuma only simulates the policy. */
  readonly isShadow: boolean;
}

export interface PolicyItem<Conf> {
  readonly targetRef: TargetRef;
  readonly conf: Conf;
}

export interface PolicyRule<Conf> {
  /** Empty matches everything. */
  readonly matches: readonly RuleMatch[];
  readonly conf: Conf;
}

export interface PolicyShape<Conf> {
  readonly top: readonly TargetKind[];
  /** Depends on the target of the policy, where that matters. */
  readonly to?: readonly TargetKind[] | ((top: TargetRef | null) => readonly TargetKind[]);
  readonly from?: readonly TargetKind[];
  readonly hasRules?: boolean;
  /** Reads `default` of an item, which may be absent; `matches` are those of a rule. */
  conf(item: Fields, matches: readonly RuleMatch[]): Conf;
}

export interface ReadPolicy<Conf> {
  readonly policy: Policy<Conf>;
  readonly spec: Fields;
}

/** Reads the parts that all policies share; the kind checks how they fit together. */
export function readPolicy<Conf>(document: Document, shape: PolicyShape<Conf>, findings: Findings): ReadPolicy<Conf> {
  const lists = [shape.to && 'to', shape.from && 'from', shape.hasRules === true ? 'rules' : undefined];
  const spec = document.spec(['targetRef', ...lists.filter((list) => list !== undefined)]);
  const targetRef = readTargetRef(spec, 'targetRef', shape.top, findings) ?? null;
  const items = (name: 'to' | 'from'): readonly PolicyItem<Conf>[] => {
    const given = shape[name];
    const kinds = typeof given === 'function' ? given(targetRef) : given;
    if (kinds === undefined) return [];
    return (spec.objects(name, ['targetRef', 'default']) ?? []).flatMap((item) => {
      const ref = readTargetRef(item, 'targetRef', kinds, findings);
      if (ref === undefined) item.errorAt(item.at, `${item.path}.targetRef.kind`, 'must be defined');
      const conf = shape.conf(item, []);
      return ref === undefined || ref === null ? [] : [{ targetRef: ref, conf }];
    });
  };
  const rules = (shape.hasRules === true ? (spec.objects('rules', ['matches', 'default']) ?? []) : []).flatMap((rule) => {
    const matches = readMatches(rule, 'matches');
    const conf = shape.conf(rule, matches);
    // A rule without any usable match must not become a rule about everything.
    return matches.length === 0 && rule.has('matches') && !rule.isEmpty('matches') ? [] : [{ matches, conf }];
  });
  const policy: Policy<Conf> = {
    kind: document.kind,
    meta: document.meta,
    targetRef,
    to: items('to'),
    from: items('from'),
    rules,
    isShadow: document.meta.labels.get('kuma.io/effect') === 'shadow',
  };
  return { policy, spec };
}

/** Opens `default` of an item; its path is right even where it is absent. */
export function confOf(item: Fields, known: readonly string[]): { readonly conf: Fields | undefined; readonly path: string } {
  return { conf: item.object('default', known), path: `${item.path}.default` };
}

/** Reports, with Kuma's message, a list that is not allowed with gateways. */
export function checkGatewayLists<Conf>({ policy, spec }: ReadPolicy<Conf>): void {
  const { targetRef, to, from } = policy;
  const gateways = targetRef === null || targetRef.includesGateways;
  if (from.length > 0 && targetRef?.kind === 'MeshHTTPRoute') {
    spec.error('from', 'must not be defined when spec.kind is MeshHTTPRoute');
  } else if (from.length > 0 && gateways) {
    const message =
      'must not be defined when the scope includes a Gateway, select only proxyType Sidecar or select only gateways and use spec.to';
    spec.error('from', message);
  }
  if (to.length > 0 && !gateways) spec.error('to', 'must not be defined');
}
