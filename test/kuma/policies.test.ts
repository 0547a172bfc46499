/**
 * Golden files of Kuma that come without the resources that produced them. Each has the part that
 * its test is about and little else, so only that part is compared, with the result of a zone that
 * must produce it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import { KUMA, withKuma } from '../data.ts';
import { readGolden } from './from-envoy.ts';
import type { EnvoyRouting } from './from-envoy.ts';
import type { ClusterModel, RouteModel } from './model.ts';
import { compiledZone, holdPair, newTally, tell } from './pair.ts';
import type { Own } from './pair.ts';
import { BREAKERS, FAULTS, HEALTH_CHECKS, PERMISSIONS, PRIORITIES, RATE_LIMITS } from './policy-zones.ts';

const tally = newTally();
const seen = new Set<string>();

function golden(path: string): EnvoyRouting {
  seen.add(path);
  return readGolden(readFileSync(new URL(path, KUMA), 'utf8'));
}

const zone = (t: Test, text: string): Own => compiledZone(t, 'zone', [{ path: 'zone.yaml', text }]);

/** Takes these fields of each of these. */
function part<Model extends object, Field extends keyof Model>(
  models: Readonly<Record<string, Model>>,
  names: readonly string[],
  ...fields: readonly Field[]
): Readonly<Record<string, object>> {
  const pick = (model: Model | undefined): object =>
    model === undefined ? {} : Object.fromEntries(fields.map((field) => [field, model[field]]));
  return Object.fromEntries(names.map((name) => [name, pick(models[name])]));
}

t.test('who may reach an external service, by MeshTrafficPermissions of two meshes', withKuma, async (t) => {
  const { routes } = golden('policies/meshtrafficpermission-egress.yaml');
  // The chain of external-service-2 has no ExternalService, which only a unit test can have.
  const names = Object.keys(routes).filter((name) => !name.startsWith('external-service-2'));
  t.equal(names.length, 3);
  const fields = ['allowed', 'shadowDenied'] as const;
  const own = zone(t, PERMISSIONS).routes;
  holdPair(t, tally, 'permissions', part(routes, names, ...fields), part(own, names, ...fields), 'routes');
});

/** Keyed by the name of the golden's resource, which distinguishes the meshes. */
function ofMeshes(clusters: Readonly<Record<string, ClusterModel>>): Readonly<Record<string, ClusterModel>> {
  const named = (mesh: string): ClusterModel | undefined => clusters[`${mesh}_external___extsvc_9000`];
  const [first, second] = [named('default'), named('mesh2')];
  if (first === undefined || second === undefined) throw new Error(`clusters ${Object.keys(clusters).join()}`);
  return { 'external-default': first, 'external-mesh2': second };
}

const BOTH = ['external-default', 'external-mesh2'];

t.test('circuit breakers and outlier detection of a MeshExternalService', withKuma, async (t) => {
  const { clusters } = golden('policies/meshcircuitbreaker-mes-egress-cluster.yaml');
  const fields = ['breakers', 'outlier', 'panicThresholdPercent'] as const;
  const own = ofMeshes(zone(t, BREAKERS).clusters);
  holdPair(t, tally, 'circuit breakers', part(clusters, BOTH, ...fields), part(own, BOTH, ...fields), 'clusters');
});

t.test('health checks of a MeshExternalService', withKuma, async (t) => {
  const { clusters } = golden('policies/meshhealthcheck-mes-egress-cluster.yaml');
  const own = ofMeshes(zone(t, HEALTH_CHECKS).clusters);
  holdPair(t, tally, 'health checks', part(clusters, BOTH, 'healthChecks'), part(own, BOTH, 'healthChecks'), 'clusters');
});

t.test('priorities of other zones, by a MeshLoadBalancingStrategy', withKuma, async (t) => {
  const text = (file: string): string => {
    seen.add(`policies/${file}`);
    return readFileSync(new URL(`policies/${file}`, KUMA), 'utf8');
  };
  const { clusters, unread } = readGolden(
    text('meshloadbalancingstrategy-egress.clusters.yaml') +
      text('meshloadbalancingstrategy-egress.endpoints.yaml').replace('resources:\n', ''),
  );
  t.same(unread, []);
  const name = 'mesh-1:eds-cluster';
  const priorities = (cluster: ClusterModel | undefined): object => ({
    overprovisioningFactor: cluster?.overprovisioningFactor,
    endpoints: (cluster?.endpoints ?? [])
      .filter((endpoint) => endpoint.zone !== 'zone-1')
      .map(({ address, zone, priority }) => ({ address, zone, priority })),
  });
  const own = zone(t, PRIORITIES).clusters[name];
  holdPair(t, tally, 'priorities', { [name]: priorities(clusters[name]) }, { [name]: priorities(own) }, 'clusters');
});

t.test('limits of connections, limits of requests and faults', withKuma, async (t) => {
  for (const [file, text] of [
    ['meshratelimit-egress.yaml', RATE_LIMITS],
    ['meshfaultinjection-egress.yaml', FAULTS],
  ] as const) {
    const { routes } = golden(`policies/${file}`);
    const names = Object.keys(routes);
    const ofHttp = (all: Readonly<Record<string, RouteModel>>): Readonly<Record<string, object>> =>
      Object.fromEntries(
        names.map((name) => [
          name,
          {
            limits: all[name]?.requests.limits,
            faults: all[name]?.requests.faults,
            filters: all[name]?.filters,
            rateLimit: all[name]?.rateLimit,
          },
        ]),
      );
    const acting = names.filter((name) => routes[name]?.requests.limits.length || routes[name]?.requests.faults.length);
    t.equal(acting.length, 2, `${file}: two chains do something to requests`);
    holdPair(t, tally, file, ofHttp(routes), ofHttp(zone(t, text).routes), 'routes');
  }
});

t.test('an egress that belongs to one mesh is read as what it is', withKuma, async (t) => {
  const allowed = (path: string): Readonly<Record<string, readonly string[]>> =>
    Object.fromEntries(Object.entries(golden(path).routes).map(([sni, route]: [string, RouteModel]) => [sni, route.allowed]));
  t.same(allowed('policies/meshtrafficpermission-apply-ze-listener-no-mtp.yaml'), {
    'sni.mes-1.default.zone-1.aws.8443': ['deny anybody'],
    'sni.mes-2.default.zone-1.aws.8444': ['deny anybody'],
  });
  t.same(allowed('policies/meshtrafficpermission-apply-ze-listener-with-mtp.yaml'), {
    'sni.mes-1.default.zone-1.aws.8443': ['allow anybody'],
    'sni.mes-2.default.zone-1.aws.8444': ['deny anybody'],
  });
  const { routes, unread } = golden('zone-proxy-listener/egress-meshexternalservice.yaml');
  t.same(unread, []);
  const route = routes['sni.extsvc.default.example.9000'];
  t.match(route, {
    mode: 'terminate',
    clients: { certificateRequired: true, uriPrefix: '', trust: 'system_trust_bundle', identity: 'my-identity-secret' },
    http: '1',
    cluster: { endpoints: [{ address: '192.168.0.1', port: 27017, tls: null }] },
  });
  for (const file of ['egress-empty-endpoints.yaml', 'egress-no-identity.yaml']) {
    t.same(golden(`zone-proxy-listener/${file}`).routes, {}, `${file}: nothing is served`);
  }
  const reason = 'an egress that belongs to one mesh: MeshIdentity, and listeners of a Dataplane';
  t.comment(`not built, 5 golden files: ${reason}`);
  tally.pairs += 5;
});

/**
 * It contains nothing to compare: only consistent hashing of HTTP requests would be, and the policy
 * of the test has none.
 */
const NOTHING_IN_IT = 'policies/meshloadbalancingstrategy-egress.listeners.yaml';

t.test('no golden file is left out', withKuma, async (t) => {
  const files = ['policies', 'zone-proxy-listener'].flatMap((folder) =>
    readdirSync(new URL(`${folder}/`, KUMA)).map((file) => `${folder}/${file}`),
  );
  t.same(
    files.filter((file) => !seen.has(file)),
    [NOTHING_IN_IT],
  );
  tell(t, tally);
});
