/**
 * An egress that has joined a fake control plane of 3.0 as the Dataplanes of several meshes, with
 * recorded messages, and with certificates and a service for each mesh. Closes everything at the
 * end.
 */
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { fromBinary, toJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { ControlPlaneOptions, Egress, EgressOptions, ProxyRoster, SessionRecord } from '../../src/egress.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { FakeControlPlane, FakeControlPlaneOptions } from '../../src/testing/control-plane/fake-control-plane.ts';
import { readRecording } from '../../src/testing/control-plane/recording.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import type { FakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { serverName } from '../../src/model/names.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { DeltaDiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { DEV } from '../data.ts';
import { joining } from './controlled-zone.ts';
import { decidedAlike } from './decided-alike.ts';
import { until } from './until.ts';
import type { Certificate } from './zone.ts';

export interface JoinedMesh {
  readonly name: string;
  readonly domain: string;
  readonly ca: TestMesh;
  readonly service: FakeExternalService;
  /** The server name of a service of tcp that only the workload `frontend` may reach. */
  readonly sni: string;
  client(workload: string): Certificate;
  /** Makes what a control plane sends its Dataplane; clients come to `port`. */
  resources(port?: number): EnvoyJson;
}

interface EnvoyJson {
  clusters: JsonObject[];
  listeners: JsonObject[];
  secrets: JsonObject[];
}

export interface JoinedZone extends AsyncDisposable {
  readonly egress: Egress;
  readonly controlPlane: FakeControlPlane;
  readonly meshes: readonly JoinedMesh[];
  readonly records: readonly SessionRecord[];
  readonly log: readonly Record<string, unknown>[];
  connect(sni: string, client: Certificate, options?: ConnectionOptions): Promise<TLSSocket>;
}

export interface JoinedZoneOptions {
  readonly meshes: readonly string[];
  readonly fake?: FakeControlPlaneOptions;
  readonly egress?: Partial<Omit<EgressOptions, 'proxies'>>;
  /** Runs before the egress starts. */
  readonly before?: (controlPlane: FakeControlPlane, meshes: readonly JoinedMesh[]) => unknown;
  /** What it joins as; absent means one Dataplane `egress` of each mesh. */
  readonly proxies?: (
    controlPlane: FakeControlPlane,
    meshes: readonly JoinedMesh[],
  ) => readonly ControlPlaneOptions[] | ProxyRoster | Promise<readonly ControlPlaneOptions[]>;
}

export const PORT = 10_002;

export async function startJoined(t: Test, options: JoinedZoneOptions): Promise<JoinedZone> {
  const meshes = await Promise.all(options.meshes.map(makeMesh));
  const fake = { deregistrationDelayMs: 50, nackBackoffMs: 20, authentication: 'none', ...options.fake } as const;
  const controlPlane = await createFakeControlPlane({ version: '3.0', ...fake });
  for (const mesh of meshes) controlPlane.set(mesh.resources(), { of: `${mesh.name}.egress` });
  const close = async (): Promise<void> => {
    await controlPlane.close();
    await Promise.all(meshes.map(({ service }) => service.close()));
  };
  try {
    await options.before?.(controlPlane, meshes);
  } catch (error) {
    await close();
    throw error;
  }
  const log: Record<string, unknown>[] = [];
  const proxies = (await options.proxies?.(controlPlane, meshes)) ?? meshes.map(({ name }) => joiningMesh(controlPlane, name));
  const starting = startEgress({
    port: 0,
    admin: false,
    logDestination: { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    logLevel: 'info',
    ...options.egress,
    proxies,
  });
  const egress = await starting.catch(async (error: unknown) => {
    await close();
    throw error;
  });
  const records: SessionRecord[] = [];
  egress.onRecord((record) => void records.push(record));
  // On a slow machine the start does not wait for all of them.
  if (options.proxies === undefined && options.before === undefined)
    await until('all have joined', () => meshes.every(({ sni }) => egress.snapshot().routes.has(serverName(sni))));
  const sockets = new Set<TLSSocket>();
  return {
    egress,
    controlPlane,
    meshes,
    records,
    log,
    async connect(sni, client, more = {}) {
      const socket = connectTls({
        port: egress.port,
        host: '127.0.0.1',
        servername: sni,
        cert: client.cert,
        key: client.key,
        rejectUnauthorized: false,
        allowHalfOpen: true,
        // The client reads why it was refused before it takes the handshake for done.
        maxVersion: 'TLSv1.2',
        ...more,
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
      await Promise.all(meshes.map(({ service }) => service.close()));
    },
  };
}

/** Options with which the egress joins as a Dataplane of a mesh. */
export function joiningMesh(
  controlPlane: FakeControlPlane,
  mesh: string,
  given: Partial<ControlPlaneOptions> = {},
): ControlPlaneOptions {
  const { name = 'egress' } = given;
  return joining(controlPlane, controlPlane.tokens.issue(), {
    mesh,
    name,
    resource: JSON.stringify(dataplaneOf(mesh, name)),
    ...given,
  });
}

export function dataplaneOf(mesh: string, name = 'egress', port: number = PORT): JsonObject {
  return {
    type: 'Dataplane',
    mesh,
    name,
    labels: { 'kuma.io/workload': name },
    networking: { address: '127.0.0.1', listeners: [{ type: 'ZoneEgress', address: '127.0.0.1', port }] },
  };
}

export async function makeMesh(name: string): Promise<JoinedMesh> {
  const domain = `${name}.zone-1.mesh.local`;
  const [ca, service, recorded] = await Promise.all([
    createTestMesh(domain, { keyType: 'ec' }),
    createFakeExternalService(),
    recording(),
  ]);
  const identity = ca.issue({ uris: [`spiffe://${domain}/workload/egress`] });
  return {
    name,
    domain,
    ca,
    service,
    sni: `sni.extsvc.${name}.b-tcp.9000`,
    client: (workload) => ca.issue({ uris: [`spiffe://${domain}/workload/${workload}`] }),
    resources(port = PORT) {
      const text = recorded
        .replaceAll('mesh-b', name)
        .replaceAll('127.0.0.8', '127.0.0.1')
        .replaceAll('"portValue":10002', `"portValue":${port}`)
        .replace(/"portValue":180\d\d/g, `"portValue":${service.port}`);
      return { ...(JSON.parse(text) as EnvoyJson), secrets: secretsOf(name, identity, { [domain]: ca.ca.cert }) };
    },
  };
}

/** The services of the recording that are enough here. */
const KEPT = /__b-(?:tcp|denied|shadow)_/;

let text: Promise<string> | null = null;

/** Reads the recorded clusters and the listener for clients, as JSON. */
function recording(): Promise<string> {
  text ??= readRecording(fileURLToPath(new URL('ads/changes/', DEV)), { until: 9 }).then(([stream]) => {
    const of = (type: 'cluster' | 'listener'): JsonObject[] =>
      stream!.events.flatMap((event) => {
        if (event.kind !== 'response' || event.type !== type) return [];
        const message = fromBinary(DeltaDiscoveryResponseSchema, event.bytes);
        const { resources } = toJson(DeltaDiscoveryResponseSchema, message, { registry: ANY_TYPES }) as {
          resources: { resource: JsonObject }[];
        };
        return resources.map(({ resource }) => resource).filter((resource) => !nameOf(resource).startsWith('system_'));
      });
    const listeners = of('listener').map((listener) => ({
      ...listener,
      filterChains: (listener['filterChains'] as { name: string }[]).filter(({ name }) => KEPT.test(name)),
    }));
    return JSON.stringify({ clusters: of('cluster').filter((cluster) => KEPT.test(nameOf(cluster))), listeners });
  });
  return text;
}

function nameOf({ name }: JsonObject): string {
  return typeof name === 'string' ? name : '';
}

function secretsOf(mesh: string, identity: Certificate, bundles: Readonly<Record<string, string>>): JsonObject[] {
  const inline = (inlineString: string): JsonObject => ({ inlineString });
  const trustDomains = Object.entries(bundles).map(([name, pem]) => ({ name, trustBundle: inline(pem) }));
  const type = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig';
  const typedConfig = { '@type': type, trustDomains };
  return [
    {
      name: `kri_mid_${mesh}___identity_`,
      tlsCertificate: { certificateChain: inline(identity.cert), privateKey: inline(identity.key) },
    },
    {
      name: 'system_trust_bundle',
      validationContext: { customValidatorConfig: { name: 'envoy.tls.cert_validator.spiffe', typedConfig } },
    },
  ];
}
