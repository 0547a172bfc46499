// An egress of one mesh that has joined a control plane of 2.14 (state of the world) or of 3.0
// (delta), which sends what was recorded.
import { generateKeyPairSync } from 'node:crypto';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import type { EnvoyResources } from '../../src/testing/control-plane/envoy-resources.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { joining } from '../egress/controlled-zone.ts';
import { activeResources, leftovers } from '../egress/zone.ts';
import type { Stage } from './players.ts';
import { dataplaneSecrets, recordedDataplane } from './recorded-dataplane.ts';
import type { DataplaneVersion } from './recorded-dataplane.ts';
import { keepRecords } from './records.ts';
import { startServices } from './services.ts';
import type { Services } from './services.ts';

export const TRUST_DOMAIN = 'mesh-b.zone-1.mesh.local';
export const OTHER_TRUST_DOMAIN = 'mesh-b.zone-2.mesh.local';
const DATAPLANE = {
  type: 'Dataplane',
  mesh: 'mesh-b',
  name: 'egress-b',
  labels: { 'kuma.io/workload': 'egress-b' },
  networking: { address: '127.0.0.8', listeners: [{ type: 'ZoneEgress', address: '127.0.0.8', port: 10_002 }] },
};

export interface DataplaneZone extends Stage, AsyncDisposable {
  /** CAs of trust domains; that of the other zone is trusted in the recording of 2.14 alone. */
  readonly zone1: TestMesh;
  readonly zone2: TestMesh;
  /** A mesh with certificates of the old form. */
  readonly legacy: TestMesh;
  readonly services: Services;
  readonly frontend: CertificateAndKey;
}

export interface DataplaneZoneOptions {
  /** Rate limits fill up at the end of an hour, so that no pause of the machine fills them. */
  readonly slowLimits?: boolean;
}

export async function startDataplaneZone(
  t: Test,
  version: DataplaneVersion,
  { slowLimits = false }: DataplaneZoneOptions = {},
): Promise<DataplaneZone> {
  const names = [TRUST_DOMAIN, OTHER_TRUST_DOMAIN, 'mesh-b', 'external'];
  const [zone1, zone2, legacy, external] = await Promise.all(names.map((name) => createTestMesh(name, { keyType: 'ec' })));
  if (zone1 === undefined || zone2 === undefined || legacy === undefined || external === undefined) throw new Error('no meshes');
  const before = activeResources();
  const services = await startServices(zone1, external);
  const client = external.issue({ uris: [], dns: ['egress-client.ext.test'] });
  const sent = await recordedDataplane(version, {
    ports: services.ports,
    external: { caCert: external.ca.cert, client },
  });
  // RSA, as in Kuma: the recorded clients ask for its cipher suites.
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const identity = zone1.issue({ uris: [`spiffe://${TRUST_DOMAIN}/workload/egress-b`] }, privateKey);
  const controlPlane = await createFakeControlPlane({
    version,
    authentication: 'none',
    resources: {
      ...(slowLimits ? withSlowLimits(sent) : sent),
      secrets: dataplaneSecrets('mesh-b', identity, version === '2.14' ? [zone1, zone2] : [zone1]),
    },
  });
  const records = keepRecords(t);
  const egress = await startEgress({
    port: 0,
    admin: false,
    // The services of the recorded mesh are called localhost.
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    controlPlane: joining(controlPlane, controlPlane.tokens.issue(), {
      mesh: 'mesh-b',
      name: 'egress-b',
      resource: JSON.stringify(DATAPLANE),
    }),
  });
  records.watch(egress);
  return {
    at: { host: egress.address, port: egress.port },
    zone1,
    zone2,
    legacy,
    services,
    frontend: zone1.issue({ uris: [`spiffe://${TRUST_DOMAIN}/workload/frontend`] }),
    record: (port) => records.take(port),
    async [Symbol.asyncDispose]() {
      records.judgeAgain();
      await egress.close();
      await controlPlane.close();
      await services[Symbol.asyncDispose]();
      t.strictSame(await leftovers(before), [], 'nothing leaked: no socket, listener, timer or thread is left');
    },
  };
}

function withSlowLimits(resources: EnvoyResources): EnvoyResources {
  return JSON.parse(JSON.stringify(resources).replaceAll('"fillInterval":"10s"', '"fillInterval":"3600s"')) as EnvoyResources;
}
