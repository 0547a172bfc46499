// An egress that has joined a control plane of 3.0 as the Dataplane of one mesh, with recorded
// messages and certificates of the test.
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { ControlPlaneOptions, Egress, EgressOptions, SessionRecord } from '../../src/egress.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { FakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { readRecording } from '../../src/testing/control-plane/recording.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { createAdsClient } from '../../src/xds/stream/ads-client.ts';
import type { AdsEvent } from '../../src/xds/stream/ads-client.ts';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { DeltaDiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { DEV } from '../data.ts';
import { acceptAll } from '../xds/accept-all.ts';
import { joining } from './controlled-zone.ts';
import { decidedAlike } from './decided-alike.ts';
import { until } from './until.ts';
import { ask, gone } from './zone.ts';
import type { Certificate } from './zone.ts';

const ZONE_1 = 'mesh-b.zone-1.mesh.local';
const ZONE_2 = 'mesh-b.zone-2.mesh.local';
const DATAPLANE = {
  type: 'Dataplane',
  mesh: 'mesh-b',
  name: 'egress-b',
  labels: { 'kuma.io/workload': 'egress-b' },
  networking: { address: '127.0.0.1', listeners: [{ type: 'ZoneEgress', address: '127.0.0.1', port: 10_002 }] },
};

interface Resources {
  clusters: JsonObject[];
  listeners: JsonObject[];
  secrets: JsonObject[];
}

/** Returns the recorded clusters and the listener for clients; all endpoints have `port`. */
async function recorded(port: number): Promise<Pick<Resources, 'clusters' | 'listeners'>> {
  const [stream] = await readRecording(fileURLToPath(new URL('ads/changes/', DEV)), { until: 9 });
  const [clusters = [], listeners = []] = (['cluster', 'listener'] as const).map((type) =>
    stream!.events.flatMap((event) => {
      if (event.kind !== 'response' || event.type !== type) return [];
      const { resources } = toJson(DeltaDiscoveryResponseSchema, fromBinary(DeltaDiscoveryResponseSchema, event.bytes), {
        registry: ANY_TYPES,
      }) as { resources: { resource: JsonObject }[] };
      return resources
        .map(({ resource }) => resource)
        .filter(({ name }) => typeof name === 'string' && !name.startsWith('system_'));
    }),
  );
  const text = JSON.stringify({ clusters, listeners })
    .replaceAll('127.0.0.8', '127.0.0.1')
    .replace(/"portValue":180\d\d/g, `"portValue":${port}`);
  return JSON.parse(text) as Resources;
}

function secretsOf(identity: Certificate, bundles: Readonly<Record<string, string>>): JsonObject[] {
  const inline = (inlineString: string): JsonObject => ({ inlineString });
  const trustDomains = Object.entries(bundles).map(([name, pem]) => ({ name, trustBundle: inline(pem) }));
  const typedConfig = {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig',
    trustDomains,
  };
  return [
    {
      name: 'kri_mid_mesh-b___identity_',
      tlsCertificate: { certificateChain: inline(identity.cert), privateKey: inline(identity.key) },
    },
    {
      name: 'system_trust_bundle',
      validationContext: { customValidatorConfig: { name: 'envoy.tls.cert_validator.spiffe', typedConfig } },
    },
  ];
}

interface Joined extends AsyncDisposable {
  readonly egress: Egress;
  readonly controlPlane: FakeControlPlane;
  readonly zone1: TestMesh;
  readonly zone2: TestMesh;
  readonly records: readonly SessionRecord[];
  readonly log: readonly Record<string, unknown>[];
  readonly resources: Resources;
  connect(sni: string, client: Certificate): Promise<TLSSocket>;
}

interface StartOptions extends Partial<ControlPlaneOptions> {
  readonly traffic?: EgressOptions['traffic'];
}

async function start(t: Test, { traffic, ...given }: StartOptions = {}): Promise<Joined> {
  const [zone1, zone2] = await Promise.all([ZONE_1, ZONE_2].map((name) => createTestMesh(name, { keyType: 'ec' })));
  const tcp = await createFakeExternalService();
  const identity = zone1!.issue({ uris: [`spiffe://${ZONE_1}/workload/egress-b`] });
  const bundles = { [ZONE_1]: zone1!.ca.cert, [ZONE_2]: zone2!.ca.cert };
  const resources = { ...(await recorded(tcp.port)), secrets: secretsOf(identity, bundles) };
  const controlPlane = await createFakeControlPlane({ version: '3.0', authentication: 'none', resources });
  const log: Record<string, unknown>[] = [];
  const options = joining(controlPlane, controlPlane.tokens.issue(), {
    mesh: 'mesh-b',
    name: 'egress-b',
    resource: JSON.stringify(DATAPLANE),
    ...given,
  });
  const egress = await startEgress({
    port: 0,
    admin: false,
    logDestination: { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    logLevel: 'info',
    controlPlane: options,
    ...(traffic === undefined ? {} : { traffic }),
  });
  const records: SessionRecord[] = [];
  egress.onRecord((record) => void records.push(record));
  const sockets = new Set<TLSSocket>();
  return {
    egress,
    controlPlane,
    zone1: zone1!,
    zone2: zone2!,
    records,
    log,
    resources,
    async connect(sni, client) {
      const socket = connectTls({
        port: egress.port,
        host: '127.0.0.1',
        servername: sni,
        cert: client.cert,
        key: client.key,
        rejectUnauthorized: false,
        allowHalfOpen: true,
        ALPNProtocols: ['kuma'],
        maxVersion: 'TLSv1.2',
      } as ConnectionOptions);
      sockets.add(socket);
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      return socket;
    },
    async [Symbol.asyncDispose]() {
      for (const record of records) t.equal(decidedAlike(egress.snapshot(), record), null);
      for (const socket of sockets) socket.destroy();
      await egress.close();
      await controlPlane.close();
      await tcp.close();
    },
  };
}

const workload = (mesh: TestMesh, domain: string, name: string): Certificate =>
  mesh.issue({ uris: [`spiffe://${domain}/workload/${name}`] });

t.test('it joins as a Dataplane over delta, and serves the MeshExternalServices of its mesh', async (t) => {
  await using zone = await start(t);
  const [{ request } = { request: { body: '{}' } }] = zone.controlPlane.bootstraps;
  t.match(JSON.parse(request.body), { mesh: 'mesh-b', name: 'egress-b', proxyType: 'dataplane' });
  t.match(zone.controlPlane.requests[0], { type: 'cluster', nodeId: 'mesh-b.egress-b' });
  t.equal(zone.egress.snapshot().routes.size, 17);
  const frontend = workload(zone.zone1, ZONE_1, 'frontend');
  for (const sni of ['sni.extsvc.mesh-b.b-tcp.9000', 'sni.extsvc.mesh-b.zone-1.b-zone1.9000'])
    t.equal(await ask(await zone.connect(sni, frontend), 'ping'), 'ping', sni);
  for (const sni of ['sni.extsvc.mesh-b.b-denied.9001', 'sni.extsvc.mesh-b.b-none.9002'])
    await gone(await zone.connect(sni, frontend));
  await gone(await zone.connect('sni.extsvc.mesh-b.b-tcp.9000', workload(zone.zone1, ZONE_1, 'other')));
  await until('three refusals', () => zone.records.filter(({ reason }) => reason === 'denied').length === 3);
  t.equal(await ask(await zone.connect('sni.extsvc.mesh-b.b-shadow.9003', frontend), 'ping'), 'ping');
});

t.test('clients of each trust domain are verified by the bundle of that domain alone', async (t) => {
  await using zone = await start(t);
  const { zone1, zone2 } = zone;
  const sni = 'sni.extsvc.mesh-b.b-lb.9101';
  t.equal(await ask(await zone.connect(sni, workload(zone1, ZONE_1, 'frontend')), 'ping'), 'ping');
  t.equal(await ask(await zone.connect(sni, workload(zone2, ZONE_2, 'frontend')), 'ping'), 'ping', 'of the other zone');
  const strangers: readonly (readonly [what: string, client: Certificate, reason: string])[] = [
    ['an id of zone 2, signed by zone 1', workload(zone1, ZONE_2, 'frontend'), 'client-not-trusted'],
    ['an id of zone 1, signed by zone 2', workload(zone2, ZONE_1, 'frontend'), 'client-not-trusted'],
    ['a trust domain that nobody trusts', workload(zone1, 'mesh-b.zone-3.mesh.local', 'frontend'), 'wrong-mesh'],
    ['the mesh is no trust domain', workload(zone1, 'mesh-b', 'frontend'), 'wrong-mesh'],
    ['ids of two trust domains', zone1.issue({ uris: [`spiffe://${ZONE_1}/a`, `spiffe://${ZONE_2}/a`] }), 'wrong-mesh'],
  ];
  for (const [what, client, reason] of strangers) {
    const before = zone.records.length;
    await gone(
      await zone
        .connect(sni, client)
        .catch(() => connectTls({ port: zone.egress.port, host: '127.0.0.1' }).on('error', () => undefined)),
    );
    await until(`${what}: a record`, () => zone.records.slice(before).some((record) => record.reason === reason));
    t.ok(
      zone.records.slice(before).some((record) => record.reason === reason),
      what,
    );
  }
});

t.test('a trust domain that comes and goes is known at once, and costs no session', async (t) => {
  await using zone = await start(t);
  const { zone1, zone2 } = zone;
  const sni = 'sni.extsvc.mesh-b.b-lb.9101';
  const running = await zone.connect(sni, workload(zone1, ZONE_1, 'frontend'));
  t.equal(await ask(running, 'ping'), 'ping');
  const identity = zone1.issue({ uris: [`spiffe://${ZONE_1}/workload/egress-b`] });
  const { version } = zone.egress.snapshot();
  zone.controlPlane.set({ secrets: secretsOf(identity, { [ZONE_1]: zone1.ca.cert }) });
  await until('it is live', () => zone.egress.snapshot().version !== version);
  const before = zone.records.length;
  await zone.connect(sni, workload(zone2, ZONE_2, 'frontend')).then(gone, () => undefined);
  await until('it is refused', () => zone.records.slice(before).some(({ reason }) => reason === 'wrong-mesh'));
  t.equal(await ask(await zone.connect(sni, workload(zone1, ZONE_1, 'frontend')), 'ping'), 'ping');
});

t.test('without a MeshIdentity there is no listener, and the reason is reported', async (t) => {
  await using zone = await start(t);
  zone.controlPlane.set({ clusters: [], listeners: [] });
  await until('it is said', () => JSON.stringify(zone.log).includes('no MeshIdentity selects this Dataplane'));
  t.equal(zone.egress.snapshot().routes.size, 0);
});

t.test('a ZoneEgress is refused by 3.0 with what to do', async (t) => {
  await using controlPlane = await createFakeControlPlane({ version: '3.0', authentication: 'none' });
  const options = joining(controlPlane, controlPlane.tokens.issue(), { retryMaxMs: 100 });
  await t.rejects(startEgress({ port: 0, admin: false, controlPlane: options }), {
    message: /refused the bootstrap \(500\): .*with Kuma 3\.0 every ZoneEgress.*--proxy-type=dataplane/,
  });
});

t.test('a control plane that became 3.0 and is silent now is asked over delta, and what it says then is passed on', async (t) => {
  await using controlPlane = await createFakeControlPlane({ version: '3.0', authentication: 'none' });
  const clock = new FakeClock();
  const events: AdsEvent[] = [];
  const client = createAdsClient({
    clock,
    protocol: 'sotw',
    target: { host: '127.0.0.1', port: controlPlane.port },
    node: create(NodeSchema, {
      id: '.egress-1',
      cluster: 'egress',
      metadata: { 'dataplane.proxyType': 'egress', 'dataplane.readinessReporter.port': '9902' },
    }),
    token: async () => controlPlane.tokens.issue(),
    tls: { kind: 'tls', ca: controlPlane.caCert, verify: true, serverName: null },
    accept: acceptAll(),
    onState: () => undefined,
    onEvent: (event) => void events.push(event),
  });
  t.teardown(() => client.close());
  await controlPlane.waitFor(({ stream }) => stream === 1);
  await until('the connection stands', () => client.status().phase === 'waiting');
  clock.advance(15_000);
  await until('it is told', () => events.length === 2);
  t.match(events, [
    { kind: 'silent', message: /Kuma 3\.0/ },
    {
      kind: 'disconnected',
      reason: 'mesh-scoped-only',
      message: /unsupported proxy type "egress"/,
      advice: /--proxy-type=dataplane/,
    },
  ]);
});

/** Returns the listeners with this idle timeout in the tcp_proxy of the chain of a server name. */
function withIdleTimeout(listeners: readonly JsonObject[], sni: string, idleTimeout: string): JsonObject[] {
  const isProxy = (type: unknown): boolean => String(type).endsWith('.TcpProxy');
  return listeners.map((listener) => ({
    ...listener,
    filterChains: (listener['filterChains'] as JsonObject[]).map((chain) => {
      const { serverNames = [] } = chain['filterChainMatch'] as { readonly serverNames?: readonly string[] };
      if (!serverNames.includes(sni)) return chain;
      const filters = (chain['filters'] as { readonly typedConfig: JsonObject }[]).map((filter) =>
        isProxy(filter.typedConfig['@type']) ? { ...filter, typedConfig: { ...filter.typedConfig, idleTimeout } } : filter,
      );
      return { ...chain, filters };
    }),
  }));
}

t.test('the idle timeout of a chain of TCP counts for its sessions, in place of that of the egress', async (t) => {
  await using zone = await start(t, { traffic: { idleTimeoutMs: 1_000 } });
  const [own, longer, never] = [
    'sni.extsvc.mesh-b.zone-1.b-zone1.9000',
    'sni.extsvc.mesh-b.b-tcp.9000',
    'sni.extsvc.mesh-b.b-shadow.9003',
  ];
  const { version } = zone.egress.snapshot();
  const listeners = withIdleTimeout(withIdleTimeout(zone.resources.listeners, longer, '2s'), never, '0s');
  zone.controlPlane.set({ ...zone.resources, listeners });
  await until('the timeouts are live', () => zone.egress.snapshot().version !== version);
  const frontend = workload(zone.zone1, ZONE_1, 'frontend');
  const connected = async (sni: string): Promise<TLSSocket> => {
    const socket = await zone.connect(sni, frontend);
    t.equal(await ask(socket, 'ping'), 'ping', sni);
    return socket;
  };
  const open = await connected(never);
  const [first, second] = [await connected(own), await connected(longer)];
  await Promise.all([gone(first), gone(second)]);
  await until('both are recorded', () => zone.records.filter(({ reason }) => reason === 'idle-timeout').length === 2);
  const of = (sni: string): SessionRecord | undefined => zone.records.find((record) => record.sni === sni);
  t.match(of(own), { detail: 'no byte in either direction for 1000 ms' });
  t.match(of(longer), { detail: 'no byte in either direction for 2000 ms' });
  t.ok((of(longer)?.totalMs ?? 0) >= 2_000, 'not before');
  t.equal(await ask(open, 'more'), 'more', 'a chain with 0s is never ended');
  t.notMatch(JSON.stringify(zone.log), /idle timeout of/, 'nothing says that it has no effect');
});

t.test(
  'the access log of a control plane is written for the server name of its filter, in the format that it sent',
  async (t) => {
    await using zone = await start(t);
    const file = `${t.testdir({})}/log`;
    const { version } = zone.egress.snapshot();
    const listeners = JSON.parse(JSON.stringify(zone.resources.listeners).replaceAll('/dev/null', file)) as JsonObject[];
    zone.controlPlane.set({ ...zone.resources, listeners });
    await until('it is live', () => zone.egress.snapshot().version !== version);
    const frontend = workload(zone.zone1, ZONE_1, 'frontend');
    for (const sni of ['sni.extsvc.mesh-b.b-shadow.9003', 'sni.extsvc.mesh-b.b-tcp.9000']) {
      const socket = await zone.connect(sni, frontend);
      t.equal(await ask(socket, 'ping'), 'ping', sni);
      socket.end();
    }
    const lines = (): readonly string[] => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []);
    await until('two lines', () => lines().length === 2);
    const line = (bytes: number): string => `sni.extsvc.mesh-b.b-tcp.9000 spiffe://${ZONE_1}/workload/frontend ${bytes}`;
    t.same(lines(), [line(0), line(4)], 'when it was connected, and at its end');
  },
);
