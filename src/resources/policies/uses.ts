import type { Meta } from '../document.ts';
import type { Findings } from '../findings.ts';
import { NO_EFFECT, NOT_YET } from './not-yet.ts';
import type { Feature } from './not-yet.ts';
import type { PolicyOutcome, Overridden } from './overridden.ts';

/**
 * Records the effect of each policy, for one warning about each that has no effect or only a part
 * of it.
 */
export interface Uses {
  /**
   * `inert` says why the policy has no effect on this service although it selects it. It is
   * reported where the policy has no effect on any service.
   */
  used(policy: Meta, service: string, features: readonly Feature[], inert?: string): void;
  /** Records that other policies set the same fields. */
  overridden(outcome: PolicyOutcome, service: string): void;
  tell(kind: string, policy: Meta, isShadow: boolean, why: string, findings: Findings): void;
}

interface Use {
  readonly features: Map<Feature, string[]>;
  readonly inert: Map<string, string[]>;
  /** Keyed by field and the policy that counts. */
  readonly lost: Map<string, Overridden & { readonly services: string[] }>;
  hasEffect: boolean;
  keepsAny: boolean;
}

const NAMED = 3;

/**
 * `isOfKuma` finds a policy that is not among the resources, so that an operator would not see
 * which policy counts.
 */
export function createUses(isOfKuma: (policy: Meta) => boolean): Uses {
  const uses = new Map<Meta, Use>();
  const useOf = (policy: Meta): Use => {
    const known = uses.get(policy);
    if (known !== undefined) return known;
    const use: Use = { features: new Map(), inert: new Map(), lost: new Map(), hasEffect: false, keepsAny: false };
    uses.set(policy, use);
    return use;
  };
  return {
    used(policy, service, features, inert = '') {
      const use = useOf(policy);
      for (const feature of features) listed(use.features, feature, service);
      if (inert === '') use.hasEffect = true;
      else listed(use.inert, inert, service);
    },
    overridden({ policy, lost, keepsAny }, service) {
      const use = useOf(policy);
      use.keepsAny ||= keepsAny;
      for (const { field, by } of lost) {
        const key = JSON.stringify([field, by.name]);
        const found = use.lost.get(key) ?? { field, by, services: [] };
        use.lost.set(key, found);
        if (found.services.at(-1) !== service) found.services.push(service);
      }
    },
    tell(kind, policy, isShadow, why, findings) {
      const warn = (message: string): void => findings.warn(policy.at, '', `${kind} ${policy.name}: ${message}`);
      if (isShadow) {
        findings.warn(policy.at, 'labels["kuma.io/effect"]', 'is shadow: this policy is not applied');
        return;
      }
      const use = uses.get(policy);
      if (use === undefined) {
        warn(`selects nothing on this egress: ${why}`);
        return;
      }
      const parts = [...use.features].flatMap(([feature, services]) => {
        return NOT_YET.has(feature) ? [`${feature} (${some(services)})`] : [];
      });
      if (parts.length > 0) warn(`not supported by this egress yet: ${parts.join('; ')}`);
      for (const [feature, services] of use.features) {
        const words = NO_EFFECT.get(feature);
        if (words !== undefined) warn(`${words} (${some(services)})`);
      }
      if (!use.hasEffect) for (const [words, services] of use.inert) warn(`has no effect here: ${words} (${some(services)})`);
      for (const { field, by, services } of use.lost.values()) {
        // A more specific policy is meant to win, so this is not reported. Kuma's default policy is
        // reported: it is invisible, and so is that its name sorts first.
        if (isOfKuma(by))
          warn(`its ${field} does not count: ${by.name}, which Kuma makes with the mesh, sets it too (${some(services)})`);
      }
      const others = new Set([...use.lost.values()].map(({ by }) => by.name));
      const isTold = [...use.lost.values()].some(({ by }) => isOfKuma(by));
      if (others.size > 0 && !use.keepsAny && !isTold) warn(`nothing of it counts: ${some([...others])} says otherwise`);
    },
  };
}

function listed<Key>(map: Map<Key, string[]>, key: Key, service: string): void {
  const services = map.get(key) ?? [];
  map.set(key, services);
  if (services.at(-1) !== service) services.push(service);
}

function some(services: readonly string[]): string {
  const more = services.length - NAMED;
  return `${services.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
