import type { Policy } from '../kinds/policy.ts';
import { selectsService } from '../selects-service.ts';
import { mergeConfs } from './merge.ts';
import { byNameFirstLast, byPolicy } from './order.ts';
import type { Ruled, RuledPart } from './to-rules.ts';

/**
 * The policies of one kind for a `kuma.io/service`. Kuma's egress knows no other tag of it, so a
 * subset with another tag selects nothing.
 */
export interface ServiceRules<Conf> {
  of(service: string): Ruled<Conf> | null;
  /** Returns the parts that are merged, each with its clients; the later part counts. */
  partsOf(service: string): readonly RuledPart<Conf>[];
}

/** Collects the `from` items of the policies that select the service. */
export function fromRules<Conf extends object>(policies: readonly Policy<Conf>[]): ServiceRules<Conf> {
  const sorted = sort(policies.filter(({ from }) => from.length > 0));
  return rulesOf((service) =>
    sorted
      .filter(({ targetRef }) => selectsService(targetRef, service))
      .flatMap((policy) => policy.from.map(({ conf, targetRef }) => ({ policy, conf, item: targetRef }))),
  );
}

/**
 * Collects the `to` items about the service. The egress serves all clients alike: only policies for
 * the whole mesh count.
 */
export function meshwideToRules<Conf extends object>(policies: readonly Policy<Conf>[]): ServiceRules<Conf> {
  const sorted = sort(policies.filter(({ targetRef }) => targetRef === null || targetRef.kind === 'Mesh'));
  return rulesOf((service) =>
    sorted.flatMap((policy) =>
      policy.to
        .filter(({ targetRef }) => selectsService(targetRef, service))
        .map(({ conf, targetRef }) => ({ policy, conf, item: targetRef })),
    ),
  );
}

function rulesOf<Conf extends object>(partsOf: ServiceRules<Conf>['partsOf']): ServiceRules<Conf> {
  return {
    partsOf,
    of(service) {
      const parts = partsOf(service);
      const conf = mergeConfs(parts.map((part) => part.conf));
      return conf === null ? null : { conf, parts };
    },
  };
}

function sort<Conf>(policies: readonly Policy<Conf>[]): readonly Policy<Conf>[] {
  return policies.filter(({ isShadow }) => !isShadow).toSorted((a, b) => byPolicy(a, b) || byNameFirstLast(a, b));
}
