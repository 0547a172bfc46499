/**
 * A zone whose egress serves Dataplanes of several meshes from files, each mesh with a CA and a
 * service of its own. Closes everything at the end.
 */
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { Egress, EgressOptions, SessionRecord } from '../../src/egress.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import type { FakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { authorityYaml, dataplaneYaml, identityYaml, permissionYaml, serviceYaml } from '../resources/fixtures/scoped.ts';
import { decidedAlike } from './decided-alike.ts';
import type { Certificate } from './zone.ts';

export interface ScopedMesh {
  readonly name: string;
  readonly domain: string;
  readonly ca: TestMesh;
  readonly service: FakeExternalService;
  readonly sni: string;
  /** A client with the id of this workload. */
  client(workload: string): Certificate;
}

export interface ScopedZone extends AsyncDisposable {
  readonly egress: Egress;
  readonly meshes: readonly ScopedMesh[];
  readonly records: readonly SessionRecord[];
  readonly log: readonly Record<string, unknown>[];
  connect(sni: string, client: Certificate, options?: ConnectionOptions): Promise<TLSSocket>;
  /** What the egress loads next. */
  documents: readonly string[];
}

export interface ScopedZoneOptions extends Partial<Omit<EgressOptions, 'resources'>> {
  /** Names of meshes. */
  readonly meshes: readonly string[];
  /** More documents, or others in place of those of a mesh. */
  readonly documents?: (mesh: ScopedMesh, usual: readonly string[]) => readonly string[];
}

export const frontendOnly = (mesh: string): string =>
  permissionYaml(
    mesh,
    'frontend',
    `allow: [{ spiffeID: { type: Exact, value: "spiffe://${mesh}.zone-1.mesh.local/workload/frontend" } }]`,
  );

export async function startScopedZone(t: Test, options: ScopedZoneOptions): Promise<ScopedZone> {
  const { meshes: names, documents = (_, usual) => usual, ...rest } = options;
  const meshes = await Promise.all(names.map(makeMesh));
  const texts = meshes.flatMap((mesh) =>
    documents(mesh, [
      `type: Mesh\nname: ${mesh.name}\n`,
      dataplaneYaml(mesh.name, 10_002, '127.0.0.1'),
      identityYaml(mesh.name),
      authorityYaml(mesh.name, mesh.ca.ca),
      serviceYaml(mesh.name, 'partner', 9_000, `127.0.0.1:${mesh.service.port}`),
      frontendOnly(mesh.name),
    ]),
  );
  const state = { documents: texts };
  const log: Record<string, unknown>[] = [];
  const egress = await startEgress({
    port: 0,
    admin: false,
    zone: 'zone-1',
    logLevel: 'info',
    logDestination: { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    resources: () => state.documents.map((text, i) => ({ path: `${i}.yaml`, text })),
    ...rest,
  });
  const records: SessionRecord[] = [];
  egress.onRecord((record) => void records.push(record));
  const sockets = new Set<TLSSocket>();
  return {
    egress,
    meshes,
    records,
    log,
    get documents() {
      return state.documents;
    },
    set documents(next) {
      state.documents = [...next];
    },
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
      await Promise.all(meshes.map(({ service }) => service.close()));
    },
  };
}

async function makeMesh(name: string): Promise<ScopedMesh> {
  const domain = `${name}.zone-1.mesh.local`;
  const [ca, service] = await Promise.all([createTestMesh(domain, { keyType: 'ec' }), createFakeExternalService()]);
  return {
    name,
    domain,
    ca,
    service,
    sni: `sni.extsvc.${name}.partner.9000`,
    client: (workload) => ca.issue({ uris: [`spiffe://${domain}/workload/${workload}`] }),
  };
}
