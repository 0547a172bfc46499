/**
 * Any message of a control plane, and any change of it on the way, makes a snapshot that may be
 * served: an impossible part becomes a refusing route.
 */
import fc from 'fast-check';
import t from 'tap';
import { MAY_COME_LATER } from '../../src/routing/invariants.ts';
import { acceptAssignment, acceptCluster } from '../../src/xds/accept/accept-cluster.ts';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import { acceptSecret } from '../../src/xds/accept/accept-secret.ts';
import type { Acceptance, AdsState, Held } from '../../src/xds/messages/ads-state.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { createTranslator } from '../../src/xds/translate/translate.ts';
import { adsResources, readSecrets } from '../kuma/ads-state.ts';
import { violationsOf } from '../routing/violations.ts';
import { LIVE } from '../data.ts';
import { anyOf, held, recordedState } from './recorded-state.ts';

const SOTW = new URL('ads/sotw/', LIVE);
const CONTEXT = { name: 'egress', zone: 'zone-1', adminPort: 9901 };

t.test('after each message of a recorded conversation nothing is violated but what is still to come', async (t) => {
  const translate = createTranslator();
  let routes = 0;
  for (let until = 1; until <= 90; until++) {
    const { snapshot, secrets } = translate(recordedState(SOTW, until), CONTEXT);
    routes = Math.max(routes, snapshot.routes.size);
    const found = violationsOf(snapshot, secrets).filter(({ invariant }) => !MAY_COME_LATER.has(invariant));
    if (found.length > 0) t.same(found, [], `message ${until}`);
  }
  t.ok(routes >= 46, `${routes} routes`);
});

/** Changes one leaf of plain JSON; both the leaf and the value are drawn. */
function changed(root: unknown, pick: (most: number) => number): unknown {
  if (Array.isArray(root)) {
    const list = root as readonly unknown[];
    if (list.length === 0) return root;
    const i = pick(list.length);
    const what = pick(8);
    if (what === 0) return list.filter((_, index) => index !== i);
    if (what === 1) return [...list, list[i]];
    return list.map((each, index) => (index === i ? changed(each, pick) : each));
  }
  if (typeof root === 'object' && root !== null) {
    const entries = Object.entries(root).filter(([key]) => key !== '@type');
    const [key] = entries[pick(Math.max(1, entries.length))] ?? [];
    if (key === undefined) return root;
    const fields = root as Readonly<Record<string, unknown>>;
    if (pick(10) === 0) return Object.fromEntries(Object.entries(fields).filter(([name]) => name !== key));
    return { ...fields, [key]: changed(fields[key], pick) };
  }
  if (typeof root === 'boolean') return !root;
  if (typeof root === 'number') return [0, root + 1, 70_000, -1][pick(4)];
  if (typeof root === 'string') return ['', `${root}x`, root.toUpperCase(), root.replace('default', 'mesh-2')][pick(4)];
  return root;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Returns the state with changed resources: those that are refused, or are no message any more, are
 * left out.
 */
function stateOf(resources: readonly Json[]): AdsState {
  const state = {
    clusters: new Map<string, Held<Cluster>>(),
    endpoints: new Map<string, Held<ClusterLoadAssignment>>(),
    listeners: new Map<string, Held<Listener>>(),
    secrets: new Map<string, Held<Secret>>(),
  };
  function hold<Resource>(map: Map<string, Held<Resource>>, make: () => Held<Resource>): void {
    try {
      const one = make();
      map.set(one.name, one);
    } catch {
      // The resource is refused.
    }
  }
  const of = <Resource>(accept: (any: ReturnType<typeof anyOf>) => Acceptance<Resource>, any: ReturnType<typeof anyOf>) =>
    held(accept(any), any);
  for (const resource of resources) {
    const type = String(resource['@type']);
    if (type.endsWith('.Cluster')) hold(state.clusters, () => of(acceptCluster, anyOf(ClusterSchema, resource)));
    else if (type.endsWith('.ClusterLoadAssignment'))
      hold(state.endpoints, () => of(acceptAssignment, anyOf(ClusterLoadAssignmentSchema, resource)));
    else if (type.endsWith('.Secret')) hold(state.secrets, () => of(acceptSecret, anyOf(SecretSchema, resource)));
    else hold(state.listeners, () => of((any) => acceptListener(any, new Map()), anyOf(ListenerSchema, resource)));
  }
  return { ...state, versions: { cluster: '1', endpoint: '1', listener: '1', secret: '1' } };
}

t.test('what is changed in it, at a place and into a value that are drawn, violates nothing either', async (t) => {
  const all = [...adsResources(SOTW, 12), ...readSecrets(SOTW, 12)].map(({ resource }) => resource as Json);
  let routes = 0;
  let snapshots = 0;
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(997), { minLength: 12, maxLength: 40 }), { minLength: 1, maxLength: 5 }), (draws) => {
      const resources = [...all];
      for (const draw of draws) {
        let next = 0;
        const pick = (most: number): number => (draw[next++ % draw.length] ?? 0) % most;
        // Half of the changes go to the listener, which has the most to get wrong.
        const at = pick(2) === 0 ? resources.findIndex(({ filterChains }) => filterChains !== undefined) : pick(resources.length);
        resources[at] = changed(resources[at], pick) as Json;
      }
      const { snapshot, secrets } = createTranslator()(stateOf(resources), CONTEXT);
      snapshots++;
      routes += snapshot.routes.size;
      const violation = violationsOf(snapshot, secrets).find(({ invariant }) => !MAY_COME_LATER.has(invariant));
      if (violation !== undefined) throw new Error(JSON.stringify(violation));
      return true;
    }),
    { numRuns: 60 },
  );
  t.ok(routes > 20 * snapshots, `${snapshots} snapshots with ${routes} routes`);
});
