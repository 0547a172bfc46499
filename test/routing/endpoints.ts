import type { Cluster, Endpoint } from '../../src/model/cluster.ts';
import type { EndpointView } from '../../src/model/endpoint-view.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import type { PassthroughRoute } from '../../src/model/route.ts';

/** A plain endpoint at an address; tests change the fields that they are about. */
export function endpoint(change: Partial<Endpoint> & { readonly ip?: string; readonly name?: string }): Endpoint {
  const { ip = '10.0.0.1', name, ...rest } = change;
  const address = name === undefined ? ({ kind: 'ip', ip } as const) : ({ kind: 'name', name, family: 'v4' } as const);
  return { address, port: 80, weight: 1, priority: 0, zone: '', tags: {}, tls: null, ...rest };
}

export function cluster(endpoints: readonly Endpoint[], change: Partial<Cluster> = {}): Cluster {
  return { name: 'default:api', endpoints, connectTimeoutMs: 5_000, ...change };
}

export function passthrough(subset: Readonly<Record<string, string>> = {}): PassthroughRoute {
  return {
    kind: 'passthrough',
    serverName: serverName('api{mesh=default}'),
    mesh: meshName('default'),
    destination: 'api',
    cluster: 'default:api',
    subset,
  };
}

export function view(change: Partial<EndpointView> = {}): EndpointView {
  return { turn: 0, names: new Map(), ownListeners: [], localAddresses: new Set(), allowedResolved: [], ...change };
}
