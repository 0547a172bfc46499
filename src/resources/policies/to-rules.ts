import type { Meta } from '../document.ts';
import type { Policy, PolicyItem } from '../kinds/policy.ts';
import { TARGET_KINDS } from '../kinds/target-ref.ts';
import type { TargetRef } from '../kinds/target-ref.ts';
import { pushed } from '../permissions.ts';
import { mergeConfs } from './merge.ts';
import { byNameFirstLast, byPolicy } from './order.ts';

/**
 * The `to` items of a mesh's policies of one kind for its MeshExternalServices. Top-level targets
 * only order them, as in Kuma.
 */
export interface ToRules<Conf> {
  of(service: Meta): Ruled<Conf> | null;
}

export interface Ruled<Conf> {
  readonly conf: Conf;
  /** The parts that were merged, in this order. */
  readonly parts: readonly Part<Conf>[];
}

export interface Part<Conf> {
  readonly policy: Policy<Conf>;
  readonly conf: Conf;
}

/** A part with the clients that it is about. */
export interface RuledPart<Conf> extends Part<Conf> {
  readonly item: TargetRef;
}

interface Entry<Conf> {
  readonly policy: Policy<Conf>;
  readonly item: PolicyItem<Conf>;
  readonly order: number;
}

export function toRules<Conf extends object>(policies: readonly Policy<Conf>[]): ToRules<Conf> {
  const entries = policies
    .filter(({ isShadow }) => !isShadow)
    .flatMap((policy) => policy.to.map((item) => ({ policy, item })))
    .sort((a, b) => byPolicy(a.policy, b.policy) || toKind(a.item) - toKind(b.item) || byNameFirstLast(a.policy, b.policy))
    .map((entry, order): Entry<Conf> => ({ ...entry, order }));
  const meshwide = entries.filter(({ item }) => item.targetRef.kind === 'Mesh');
  const named = new Map<string, Entry<Conf>[]>();
  /** Keyed by the first of their labels: a service looks only at those of its own labels. */
  const labelled = new Map<string, Entry<Conf>[]>();
  for (const entry of entries) {
    const { targetRef } = entry.item;
    if (targetRef.kind !== 'MeshExternalService') continue;
    const [first] = targetRef.labels;
    if (first !== undefined) {
      const key = JSON.stringify(first);
      labelled.set(key, pushed(labelled.get(key), entry));
    } else {
      const { labels, namespace } = entry.policy.meta;
      const inNamespace = targetRef.namespace === '' ? (labels.get(NAMESPACE) ?? namespace) : targetRef.namespace;
      const key = keyOf(labels.get(ZONE) ?? '', inNamespace, targetRef.name);
      named.set(key, pushed(named.get(key), entry));
    }
  }
  const everywhere = ruled(meshwide);
  return {
    of(service) {
      const { labels, namespace, displayName } = service;
      const key = keyOf(labels.get(ZONE) ?? '', labels.get(NAMESPACE) ?? namespace, displayName);
      const own = [...(named.get(key) ?? []), ...(labelled.size === 0 ? [] : selecting(labelled, service))];
      if (own.length === 0) return everywhere;
      return ruled([...meshwide, ...own].sort((a, b) => a.order - b.order));
    },
  };
}

/** Selects by labels: a control plane adds some, which files seldom have. */
function selecting<Conf>(
  byFirst: ReadonlyMap<string, readonly Entry<Conf>[]>,
  { labels, displayName, mesh, namespace }: Meta,
): readonly Entry<Conf>[] {
  const all = new Map<string, string>([
    ['kuma.io/display-name', displayName],
    ['kuma.io/mesh', mesh],
  ]);
  if (namespace !== '') all.set(NAMESPACE, namespace);
  for (const [label, value] of labels) all.set(label, value);
  return [...all]
    .flatMap((own) => byFirst.get(JSON.stringify(own)) ?? [])
    .filter(({ item }) => [...item.targetRef.labels].every(([label, value]) => all.get(label) === value));
}

function ruled<Conf extends object>(entries: readonly Entry<Conf>[]): Ruled<Conf> | null {
  const parts = entries.map(({ policy, item }) => ({ policy, conf: item.conf }));
  const conf = mergeConfs(parts.map((part) => part.conf));
  return conf === null ? null : { conf, parts };
}

function toKind({ targetRef }: PolicyItem<unknown>): number {
  return TARGET_KINDS.indexOf(targetRef.kind);
}

const ZONE = 'kuma.io/zone';
const NAMESPACE = 'k8s.kuma.io/namespace';

function keyOf(zone: string, namespace: string, name: string): string {
  return JSON.stringify([zone, namespace, name]);
}
