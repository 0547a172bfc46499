// A zone whose egress has joined a control plane on loopback. At the end of the test it closes
// everything, and fails the test when something was left behind.
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { ControlPlaneOptions, Egress, EgressOptions, SessionRecord } from '../../src/egress.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import type { FakeConfigurationOptions } from '../../src/testing/control-plane/fake-configuration.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { FakeControlPlane, FakeControlPlaneOptions } from '../../src/testing/control-plane/fake-control-plane.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import type { FakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createFakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import type { FakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { decidedAlike } from './decided-alike.ts';
import { until } from './until.ts';
import { activeResources, leftovers } from './zone.ts';
import type { Certificate } from './zone.ts';

export interface ControlledZone extends AsyncDisposable {
  readonly egress: Egress;
  readonly controlPlane: FakeControlPlane;
  readonly mesh: TestMesh;
  readonly otherMesh: TestMesh;
  readonly ingress: FakeZoneIngress;
  readonly tcp: FakeExternalService;
  readonly records: readonly SessionRecord[];
  /** Log lines, parsed. */
  readonly log: readonly Record<string, unknown>[];
  connect(sni: string, client: Certificate, options?: ConnectionOptions): Promise<TLSSocket>;
  /**
   * Replaces the sent resources; resolves when they are live, at once where the routing stays the
   * same.
   */
  send(
    change: { [Name in keyof FakeConfigurationOptions]?: FakeConfigurationOptions[Name] | undefined },
    options?: { readonly isSame?: boolean },
  ): Promise<void>;
}

export interface ControlledZoneOptions {
  readonly fake?: FakeControlPlaneOptions;
  readonly egress?: Partial<Omit<EgressOptions, 'resources' | 'controlPlane'>>;
  readonly joining?: Partial<ControlPlaneOptions>;
  readonly configuration?: Partial<FakeConfigurationOptions>;
  /** The control plane starts with clusters, and without a listener. */
  readonly empty?: boolean;
  /** Runs beside the start of the egress; `send` does not wait. */
  readonly onControlPlane?: (
    controlPlane: FakeControlPlane,
    send: (change: Partial<FakeConfigurationOptions>) => void,
  ) => Promise<void>;
}

/** The address of the egress in the messages; the sockets use a free port. */
const SAID = { address: '127.0.0.1', port: 10_002 };

export async function startControlledZone(t: Test, options: ControlledZoneOptions = {}): Promise<ControlledZone> {
  const [mesh, otherMesh] = await Promise.all([
    createTestMesh('default', { keyType: 'ec' }),
    createTestMesh('other', { keyType: 'ec' }),
  ]);
  const before = activeResources();
  const ingress = await createFakeZoneIngress({ ...mesh.client('backend'), trust: mesh.ca.cert });
  const tcp = await createFakeExternalService();
  let configuration: FakeConfigurationOptions = {
    ...SAID,
    meshes: [mesh, otherMesh],
    external: { legacy: { address: '127.0.0.1', port: tcp.port, allow: ['frontend'] } },
    passthrough: { backend: { remotes: [{ zone: 'zone-2', address: '127.0.0.1', port: ingress.port }] } },
    ...options.configuration,
  };
  // A port that stays its own while it is stopped.
  const kept = { port: await freePort(), nackBackoffMs: 50, deregistrationDelayMs: 200 };
  const controlPlane = await createFakeControlPlane({ ...kept, ...options.fake });
  const all = fakeConfiguration(configuration);
  controlPlane.set(options.empty === true ? { clusters: all.clusters, endpoints: all.endpoints } : all);
  const log: Record<string, unknown>[] = [];
  const token = controlPlane.tokens.issue();
  const beside = options.onControlPlane?.(controlPlane, (change) => {
    configuration = { ...configuration, ...change };
    controlPlane.set(fakeConfiguration(configuration));
  });
  const egress = await startEgress({
    port: 0,
    admin: false,
    logLevel: 'debug',
    logDestination: { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    ...options.egress,
    controlPlane: joining(controlPlane, token, options.joining),
  });
  await beside;
  const records: SessionRecord[] = [];
  egress.onRecord((record) => void records.push(record));
  const sockets = new Set<TLSSocket>();

  async function close(): Promise<void> {
    for (const record of records) {
      const problem = decidedAlike(egress.snapshot(), record);
      if (problem !== null) t.fail(problem, { record });
    }
    for (const socket of sockets) socket.destroy();
    await egress.close();
    await controlPlane.close();
    await Promise.all([ingress.close(), tcp.close()]);
    t.strictSame(await leftovers(before), [], 'nothing leaked: no socket, listener, timer or thread is left');
    t.notMatch(JSON.stringify(log), new RegExp(token.split('.')[2]!.replace(/[-_]/g, '.')), 'the token is in no line of the log');
  }

  return {
    egress,
    controlPlane,
    mesh,
    otherMesh,
    ingress,
    tcp,
    records,
    log,
    [Symbol.asyncDispose]: close,
    async connect(sni, client, connection = {}) {
      const socket = connectTls({
        port: egress.port,
        host: '127.0.0.1',
        servername: sni,
        ...client,
        rejectUnauthorized: false,
        allowHalfOpen: true,
        ALPNProtocols: ['kuma'],
        ...connection,
      } as ConnectionOptions);
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
      await once(socket, 'secureConnect');
      return socket;
    },
    async send(change, { isSame = false } = {}) {
      const { version } = egress.snapshot();
      const next = Object.entries({ ...configuration, ...change }).filter(([, value]) => value !== undefined);
      configuration = Object.fromEntries(next) as unknown as FakeConfigurationOptions;
      controlPlane.set(fakeConfiguration(configuration));
      if (isSame) return;
      await until('it is live', () => egress.snapshot().version !== version);
    },
  };
}

export function joining(
  controlPlane: FakeControlPlane,
  token: string,
  given: Partial<ControlPlaneOptions> = {},
): ControlPlaneOptions {
  return {
    url: controlPlane.url,
    caCert: controlPlane.caCert,
    systemTrust: null,
    skipVerify: false,
    token: () => Promise.resolve(token),
    name: 'egress-1',
    resource: JSON.stringify({ type: 'ZoneEgress', name: 'egress-1', zone: 'zone-1', networking: SAID }),
    retryBackoffMs: 20,
    retryMaxMs: 5_000,
    readinessPort: 9_902,
    drainTimeMs: 1_000,
    systemCaPath: '',
    ipv6Enabled: false,
    maxHeapSizeBytes: 0,
    dynamicMetadata: {},
    warnings: [],
    ...given,
  };
}
