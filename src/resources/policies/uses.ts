import type { Meta } from '../document.ts';
import type { Findings } from '../findings.ts';
import { NEEDS_HTTP } from './not-yet.ts';
import type { Feature } from './not-yet.ts';

/** What became of each policy, for one warning about those of which nothing or not all came. */
export interface Uses {
  used(policy: Meta, service: string, features: readonly Feature[]): void;
  tell(kind: string, policy: Meta, isShadow: boolean, why: string, findings: Findings): void;
}

interface Use {
  readonly features: Map<Feature, string[]>;
}

const NAMED = 3;

export function createUses(): Uses {
  const uses = new Map<Meta, Use>();
  return {
    used(policy, service, features) {
      const use = uses.get(policy) ?? { features: new Map<Feature, string[]>() };
      uses.set(policy, use);
      for (const feature of features) {
        const services = use.features.get(feature) ?? [];
        use.features.set(feature, services);
        if (services.at(-1) !== service) services.push(service);
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
        return NEEDS_HTTP.has(feature) ? [`${feature}, which need HTTP (${some(services)})`] : [];
      });
      if (parts.length > 0) warn(`not supported by this egress yet: ${parts.join('; ')}`);
    },
  };
}

function some(services: readonly string[]): string {
  const more = services.length - NAMED;
  return `${services.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
