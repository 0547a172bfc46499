import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { checkSelector, readSelectors } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { olderPolicyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

/**
 * Reads only the destinations of a route: clients put the tags of a destination into the SNI. Load
 * balancing and HTTP (`loadBalancer`, `match`, `modify`) are done by the client, so these fields
 * are skipped.
 */
export interface RouteResource {
  readonly meta: Meta;
  readonly kind: 'TrafficRoute' | 'MeshHTTPRoute' | 'MeshTCPRoute' | 'MeshGateway' | 'MeshGatewayRoute';
  /** Each has `kuma.io/service`, which may be `*`. */
  readonly destinations: readonly Tags[];
}

const CONF = ['split', 'loadBalancer', 'destination', 'http'];

function readTrafficRoute(document: Document, findings: Findings): RouteResource {
  const spec = document.spec(['sources', 'destinations', 'conf'], { load_balancer: 'loadBalancer' });
  readSelectors(spec, 'sources', { atLeastOne: true, service: true }, findings);
  readSelectors(spec, 'destinations', { service: true, onlyService: true }, findings);
  const conf = spec.object('conf', CONF);
  if (!spec.has('conf')) findings.error(spec.at, 'conf', 'cannot be empty');
  const destinations: Tags[] = [];
  if (conf !== undefined) {
    destinations.push(...readDestinations(conf, findings));
    for (const http of conf.objects('http', ['match', 'modify', 'split', 'destination']) ?? []) {
      destinations.push(...readDestinations(http, findings));
    }
  }
  return { meta: document.meta, kind: 'TrafficRoute', destinations };
}

function readDestinations(at: Fields, findings: Findings): readonly Tags[] {
  const split = at.objects('split', ['weight', 'destination']);
  const destination = at.tags('destination');
  if (!at.has('split') && !at.has('destination')) findings.error(at.at, at.path, 'requires either "destination" or "split"');
  if (at.has('split') && at.has('destination')) {
    findings.error(at.at, at.path, '"split" cannot be defined at the same time as "destination"');
  }
  const rules = { atLeastOne: true, service: true };
  const found: Tags[] = [];
  if (split !== undefined) {
    let total = 0;
    for (const item of split) {
      if (!item.has('weight')) item.error('weight', 'needs to be defined');
      total += item.count('weight') ?? 0;
      const tags = item.tags('destination');
      checkSelector(
        tags ?? { path: item.pathOf('destination'), at: item.at, tags: new Map(), place: () => item.at },
        rules,
        findings,
      );
      if (tags !== undefined) found.push(tags.tags);
    }
    if (split.length === 0) at.error('split', 'must have at least one element');
    else if (total === 0) at.error('split', 'there must be at least one split entry with weight above 0');
  }
  if (destination !== undefined) {
    checkSelector(destination, rules, findings);
    found.push(destination.tags);
  }
  return found;
}

export const trafficRoute: PolicyKind<RouteResource, 'routes'> = olderPolicyKind('routes', readTrafficRoute);
