// An egress joined to a control plane that sends the recorded configuration, with all clients and
// services. There are two: one has short limits, for cases that end by one.
import { startEgress } from '../../src/egress.ts';
import type { Egress } from '../../src/egress.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { Test } from 'tap';
import { joining } from '../egress/controlled-zone.ts';
import { activeResources, leftovers } from '../egress/zone.ts';
import type { At } from './client.ts';
import type { Stage } from './players.ts';
import { recordedZone } from './recorded-zone.ts';
import { keepRecords } from './records.ts';
import { startServices } from './services.ts';
import type { Services } from './services.ts';

/** Replaces Kuma's 15 s from accept to relay, and the 5 s of a connect. */
export const SETUP_MS = 5_000;
export const CONNECT_MS = 3_000;

export interface Zone extends Stage, AsyncDisposable {
  /** With a deadline of `SETUP_MS`. */
  readonly hurried: At;
  readonly mesh: TestMesh;
  readonly mesh2: TestMesh;
  readonly mesh3: TestMesh;
  readonly services: Services;
  readonly frontend: CertificateAndKey;
}

export async function startRecordedZone(t: Test): Promise<Zone> {
  const [mesh, mesh2, mesh3, external] = await Promise.all(
    ['default', 'mesh-2', 'mesh-3', 'external'].map((name) => createTestMesh(name, { keyType: 'ec' })),
  );
  if (mesh === undefined || mesh2 === undefined || mesh3 === undefined || external === undefined) throw new Error('no meshes');
  const before = activeResources();
  const services = await startServices(mesh, external);
  const client = external.issue({ uris: [], dns: ['egress-client.ext.test'] });
  const controlPlane = await createFakeControlPlane({
    resources: recordedZone({
      meshes: [mesh, mesh2, mesh3],
      ports: services.ports,
      external: { caCert: external.ca.cert, client },
      connectTimeoutMs: CONNECT_MS,
    }),
  });
  const token = controlPlane.tokens.issue();
  const records = keepRecords(t);
  async function join(name: string, setupTimeoutMs?: number): Promise<Egress> {
    const networking = { address: '127.0.0.2', port: 10_002 };
    const resource = JSON.stringify({ type: 'ZoneEgress', name, zone: 'zone-1', networking });
    const egress = await startEgress({
      port: 0,
      admin: false,
      // The services of the recorded zone are called localhost.
      traffic: { allowedResolved: ['127.0.0.0/8'], ...(setupTimeoutMs === undefined ? {} : { setupTimeoutMs }) },
      controlPlane: joining(controlPlane, token, { name, resource }),
    });
    records.watch(egress);
    return egress;
  }
  const [egress, hurried] = await Promise.all([join('egress-1'), join('egress-2', SETUP_MS)]);

  async function close(): Promise<void> {
    records.judgeAgain();
    await Promise.all([egress.close(), hurried.close()]);
    await controlPlane.close();
    await services[Symbol.asyncDispose]();
    t.strictSame(await leftovers(before), [], 'nothing leaked: no socket, listener, timer or thread is left');
  }

  return {
    at: { host: egress.address, port: egress.port },
    hurried: { host: hurried.address, port: hurried.port },
    mesh,
    mesh2,
    mesh3,
    services,
    frontend: mesh.client('frontend'),
    record: (port) => records.take(port),
    [Symbol.asyncDispose]: close,
  };
}
