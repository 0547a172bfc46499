/**
 * The result of `fakeConfiguration` is what Kuma sends: every resource that both have is compared,
 * message by message.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createRegistry, fromBinary, fromJson, toJson } from '@bufbuild/protobuf';
import type { DescMessage, JsonObject, JsonValue, Message, Registry } from '@bufbuild/protobuf';
import { createAdminClient } from '../../src/testing/control-plane/admin-client.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import type { FakeConfiguration, FakeConfigurationOptions } from '../../src/testing/control-plane/fake-configuration.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { everyMessage } from '../xds/registry.ts';
import { LIVE } from '../data.ts';
import { AdsClient, nodeOf } from './ads-client.ts';
import t from 'tap';

const FOLDER = fileURLToPath(LIVE);

async function meshes(...names: readonly string[]): Promise<readonly TestMesh[]> {
  return Promise.all(names.map((name) => createTestMesh(name)));
}

/** The recorded zone, as far as its resources are plain. */
async function recordedZone(): Promise<FakeConfigurationOptions> {
  const address = 'localhost';
  const everybody = { policy: 'allow-all-default-4cddx424d4b7x82f' };
  const admin = await createAdminClient({ nowMs: Date.now() });
  const tls = { caCert: readFileSync(`${FOLDER}resources/pki/ext-ca.crt`, 'utf8'), serverName: 'tls.ext.test' };
  const zone2 = { zone: 'zone-2', address: '127.0.0.3', port: 20001 };
  const mesh2 = { mesh: 'mesh-2', by: 'MeshTrafficPermission', address: '127.0.0.1' } as const;
  return {
    address: '127.0.0.2',
    port: 10002,
    meshes: await meshes('default', 'mesh-2', 'mesh-3'),
    passthrough: {
      backend: {
        remotes: [
          { ...zone2, priority: 1, tags: { version: 'v1' } },
          { ...zone2, priority: 1, tags: { version: 'v2' } },
          { zone: 'zone-3', address: '127.0.0.5', port: 10001, priority: 1, tags: { version: 'v1' } },
        ],
      },
      'es-zone2': { remotes: [{ ...zone2, priority: 1 }] },
    },
    external: {
      'es-tcp': { address, port: 18081, protocol: 'tcp', ...everybody },
      'es-tcp-ip': { address: '127.0.0.1', port: 18081, ...everybody },
      'es-http': { address, port: 18080, protocol: 'http', ...everybody },
      'es-http-ip': { address: '127.0.0.1', port: 18080, protocol: 'http', ...everybody },
      'es-denied-tcp': {
        address: '127.0.0.1',
        port: 18081,
        protocol: 'tcp',
        allow: ['nobody'],
        policy: 'tp-denied-tcp-5vd6x4zfb75769wx',
      },
      'es-team': {
        address: '127.0.0.1',
        port: 18081,
        protocol: 'tcp',
        allow: [['kuma://team/red', 'frontend'], 'kuma://team/blue'],
        policy: 'tp-team-dvvc7985cc587vdx',
      },
      'es-tls': {
        address,
        port: 18443,
        protocol: 'tcp',
        tls,
        tags: { 'kuma.io/external-service-name': 'es-tls-zbf5c92f8xb64872' },
        ...everybody,
      },
      'es-tls-noca': {
        address,
        port: 18443,
        protocol: 'tcp',
        tls: {},
        tags: { 'kuma.io/external-service-name': 'es-tls-noca-c7928x5cw4cvcbc6' },
        ...everybody,
      },
      'es-mtp-tcp': { ...mesh2, port: 18081, protocol: 'tcp', allow: ['client-ok'] },
      'es-mtp-http': { ...mesh2, port: 18080, protocol: 'http', allow: ['kuma://team/red'] },
      'es-none-tcp': { ...mesh2, port: 18081, protocol: 'tcp', allow: [] },
      'es-none-http': { mesh: 'mesh-2', address: '127.0.0.1', port: 18080, protocol: 'http', allow: [] },
    },
    meshExternal: {
      'mes-tcp': { port: 9000, endpoints: [{ address: '127.0.0.1', port: 18081 }] },
      'mes-http': { port: 80, protocol: 'http', endpoints: [{ address, port: 18080 }] },
      'mes-tls-skipall': { port: 9444, endpoints: [{ address, port: 18443 }], tls: {} },
      'mes3-denied': {
        mesh: 'mesh-3',
        port: 9000,
        endpoints: [{ address: '127.0.0.1', port: 18081 }],
        allowed: false,
        breaker: false,
      },
      'mes3-denied-http': {
        mesh: 'mesh-3',
        port: 80,
        protocol: 'http',
        endpoints: [{ address: '127.0.0.1', port: 18080 }],
        allowed: false,
        breaker: false,
      },
    },
    admin: {
      port: 9901,
      caCert: admin.caCert,
      server: await admin.issueServer('127.0.0.2'),
      socketPath: '/run/kuma-dp/egress-1/kuma-envoy-admin.sock',
    },
  };
}

/** Converts recorded JSON through the messages, so that both sides have one form. */
function recorded(file: string, schema: DescMessage, registry: Registry): Map<string, JsonObject> {
  const { resources } = JSON.parse(readFileSync(`${FOLDER}${file}`, 'utf8')) as { resources: readonly JsonObject[] };
  return byName(
    resources.map(({ '@type': _, ...resource }) => fromJson(schema, resource, { registry })),
    schema,
    registry,
  );
}

function byName(messages: readonly Message[], schema: DescMessage, registry: Registry): Map<string, JsonObject> {
  const objects = messages.map((message) => toJson(schema, message, { registry }) as JsonObject);
  return new Map(objects.map((object) => [(object['name'] ?? object['clusterName']) as string, object]));
}

/**
 * The material of an admin listener and of secrets differs; a MeshLoadBalancingStrategy of the
 * recorded zone sets the balancer.
 */
function neutral(value: JsonValue | undefined, keepMaterial = false): JsonValue {
  return JSON.parse(
    JSON.stringify(value ?? null, (key, part: unknown) => {
      if (key === 'lbPolicy' || key === 'leastRequestLbConfig') return undefined;
      return key === 'inlineBytes' && !keepMaterial ? 'material' : part;
    }),
  ) as JsonValue;
}

function chainsOf(listener: JsonObject | undefined): Map<string, JsonObject> {
  const chains = (listener?.['filterChains'] ?? []) as readonly JsonObject[];
  return new Map(chains.map((chain) => [JSON.stringify(chain['filterChainMatch'] ?? null), chain]));
}

t.test('clusters, endpoints and chains of 2.14.3, 2.12.14 and 2.9.19 are the recorded ones', async (t) => {
  const registry = createRegistry(await everyMessage());
  const zone = await recordedZone();
  const { socketPath: _, ...tcpAdmin } = zone.admin!;
  const RECORDED = [
    { version: '2.14', folder: 'ads/sotw', eds: '005-response-eds.json', options: zone },
    {
      version: '2.12',
      folder: 'versions/2.12.14/ads/initial',
      eds: '006-response-eds.json',
      options: { ...zone, admin: tcpAdmin },
    },
    {
      version: '2.9',
      folder: 'versions/2.9.19/ads/initial',
      eds: '006-response-eds.json',
      options: { ...zone, admin: tcpAdmin },
    },
  ] as const;
  for (const { version, folder, eds, options } of RECORDED) {
    const made = fakeConfiguration({ ...options, version });
    const clusters = recorded(`${folder}/002-response-cds.json`, ClusterSchema, registry);
    for (const [name, cluster] of byName(made.clusters, ClusterSchema, registry)) {
      t.same(neutral(cluster, true), neutral(clusters.get(name), true), `${version} cluster ${name}`);
    }
    if (version === '2.14') {
      const endpoints = recorded(`${folder}/${eds}`, ClusterLoadAssignmentSchema, registry);
      for (const [name, assignment] of byName(made.endpoints, ClusterLoadAssignmentSchema, registry)) {
        t.same(assignment, endpoints.get(name), `${version} endpoints ${name}`);
      }
    }
    const listeners = recorded(`${folder}/008-response-lds.json`, ListenerSchema, registry);
    for (const [name, listener] of byName(made.listeners, ListenerSchema, registry)) {
      const other = listeners.get(name);
      t.same({ ...listener, filterChains: [] }, { ...other, filterChains: [] }, `${version} listener ${name}`);
      const chains = chainsOf(other);
      for (const [match, chain] of chainsOf(listener))
        t.same(neutral(chain), neutral(chains.get(match)), `${version} chain ${match}`);
    }
  }
});

t.test('secrets are those that the chains ask for, and stay the same while the mesh does', async (t) => {
  const [mesh, other] = await meshes('default', 'mesh-2');
  const options: FakeConfigurationOptions = {
    address: '127.0.0.1',
    port: 10002,
    meshes: [mesh!, other!],
    external: { httpbin: { address: '127.0.0.1', port: 80 } },
  };
  const names = ({ secrets }: FakeConfiguration): readonly string[] => secrets.map(({ name }) => name);
  const first = fakeConfiguration(options);
  t.same(names(first), ['identity_cert:secret:default', 'mesh_ca:secret:default']);
  t.same(fakeConfiguration(options).secrets, first.secrets);
  const identity = mesh!.client('zone-egress');
  t.not(fakeConfiguration({ ...options, identities: { default: identity } }).secrets[0], first.secrets[0]);
  t.throws(() => fakeConfiguration({ ...options, external: { x: { address: 'x', port: 1, mesh: 'mesh-9' } } }), {
    message: 'configure x: no mesh mesh-9',
  });
});

t.test('a control plane serves it as it is', async (t) => {
  const [mesh] = await meshes('default');
  const resources = fakeConfiguration({
    address: '127.0.0.1',
    port: 10002,
    meshes: [mesh!],
    external: { httpbin: { address: '127.0.0.1', port: 80, allow: ['frontend'] } },
  });
  await using controlPlane = await createFakeControlPlane({ resources });
  using client = new AdsClient(controlPlane, controlPlane.tokens.issue());
  client.send('cluster', { node: nodeOf('egress-1') });
  const { resources: sent } = await client.take('cluster');
  t.same(fromBinary(ClusterSchema, sent[0]!.value), resources.clusters[0]);
});
