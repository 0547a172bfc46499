import type { RouteResource } from './kinds/traffic-route.ts';
import { virtualTags } from './kinds/virtual-outbound.ts';
import type { VirtualOutbound } from './kinds/virtual-outbound.ts';
import type { RemoteService } from './passthrough.ts';
import { MATCH_ALL, SERVICE_TAG } from './tags.ts';
import type { Tags } from './tags.ts';

/**
 * The tag sets that clients of a mesh put into SNIs. They come from all route destinations (the
 * selectors of the routes do not matter), and from VirtualOutbounds, which make them of the
 * services of other zones. In a mesh without a TrafficRoute every service has the SNI without tags.
 */
export interface Destinations {
  /** Without `kuma.io/service`; each set once. */
  of(service: string): readonly Tags[];
}

export function destinationsOf(
  routes: readonly RouteResource[],
  outbounds: readonly VirtualOutbound[],
  offered: ReadonlyMap<string, RemoteService>,
): Destinations {
  const byService = new Map<string, Tags[]>();
  const add = (service: string, tags: Tags): void => {
    const sets = byService.get(service);
    if (sets === undefined) byService.set(service, [tags]);
    else sets.push(tags);
  };
  for (const { destinations } of routes) {
    for (const tags of destinations) {
      add(tags.get(SERVICE_TAG) ?? '', withoutService(tags));
    }
  }
  for (const [service, { offers }] of outbounds.length === 0 ? [] : offered) {
    for (const offer of offers) {
      for (const tags of virtualTags(outbounds, offer.service.tags)) add(service, withoutService(tags));
    }
  }
  if (!routes.some(({ kind }) => kind === 'TrafficRoute')) add(MATCH_ALL, new Map());
  return {
    of(service) {
      const distinct = new Map<string, Tags>();
      for (const tags of [...(byService.get(service) ?? []), ...(byService.get(MATCH_ALL) ?? [])]) {
        distinct.set(JSON.stringify([...tags].sort()), tags);
      }
      return [...distinct.values()];
    },
  };
}

function withoutService(tags: Tags): Tags {
  return new Map([...tags].filter(([tag]) => tag !== SERVICE_TAG));
}
