/** Lists the endpoints that a route may use now, and the field that rules each other one out. */
import type { Cluster, Endpoint } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { Route } from '../model/route.ts';
import { examine } from '../routing/candidates.ts';
import type { Examined, Target } from '../routing/candidates.ts';
import { endpointName } from './other-endpoints.ts';
import { ASSUMED_ADDRESS } from './assumed-view.ts';
import { filePlaceOf } from './trace.ts';
import type { Candidate, Sources } from './trace.ts';

/** `tried`: the chosen endpoints in the order to try; a session goes to the first. */
export function endpointCandidates(
  route: Route,
  cluster: Cluster,
  from: { readonly view: EndpointView; readonly tried: readonly Target[]; readonly sources: Sources },
): readonly Candidate[] {
  const place = filePlaceOf(from.sources, `cluster:${cluster.name}`);
  return cluster.endpoints.flatMap((endpoint) =>
    examine(route, endpoint, from.view).map((examined) => ({ ...candidateOf(endpoint, examined, from.tried), place })),
  );
}

function candidateOf(endpoint: Endpoint, examined: Examined, tried: readonly Target[]): Omit<Candidate, 'place'> {
  const name = endpointName(endpoint);
  switch (examined.kind) {
    case 'left-out': {
      const { field, wanted, found } = examined;
      return { name, outcome: 'rejected', field, wanted, found };
    }
    case 'refusal':
      return { name, outcome: 'rejected', field: 'address', wanted: '', found: examined.detail };
    case 'target': {
      const { target, health } = examined;
      const isTried = tried.some(({ endpoint: other, ip }) => other === endpoint && ip === target.ip);
      if (isTried) return { name: targetName(target), outcome: 'matched', field: '', wanted: '', found: '' };
      const found = health === 'healthy' ? 'another priority or locality is picked' : health;
      return { name: targetName(target), outcome: 'rejected', field: 'health', wanted: 'healthy', found };
    }
    default:
      return examined satisfies never;
  }
}

/** Names the target, with the address of its name where that is known. */
export function targetName({ endpoint, ip }: Target): string {
  const { address, port } = endpoint;
  if (address.kind === 'ip') return addressKey(ip, port);
  return ip === ASSUMED_ADDRESS ? `${address.name}:${port}` : `${address.name}:${port} at ${ip}`;
}
