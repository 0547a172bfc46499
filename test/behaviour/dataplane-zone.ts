// An egress of one mesh that has joined a control plane of 2.14 (state of the world) or of 3.0
// (delta), which sends what was recorded.
import { generateKeyPairSync } from 'node:crypto';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { EgressOptions } from '../../src/egress.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import type { EnvoyResources } from '../../src/testing/control-plane/envoy-resources.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { SourceFile } from '../../src/resources/compile.ts';
import { joining } from '../egress/controlled-zone.ts';
import { activeResources, leftovers } from '../egress/zone.ts';
import { authorityYaml } from '../resources/fixtures/scoped.ts';
import type { Stage } from './players.ts';
import { dataplaneSecrets, recordedDataplane, recordedDataplaneFiles } from './recorded-dataplane.ts';
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
  /** The resources that were applied, without a control plane. Absent means its messages. */
  readonly from?: 'files';
}

export async function startDataplaneZone(
  t: Test,
  version: DataplaneVersion,
  { slowLimits = false, from }: DataplaneZoneOptions = {},
): Promise<DataplaneZone> {
  const names = [TRUST_DOMAIN, OTHER_TRUST_DOMAIN, 'mesh-b', 'external'];
  const [zone1, zone2, legacy, external] = await Promise.all(names.map((name) => createTestMesh(name, { keyType: 'ec' })));
  if (zone1 === undefined || zone2 === undefined || legacy === undefined || external === undefined) throw new Error('no meshes');
  const before = activeResources();
  const services = await startServices(zone1, external);
  const client = external.issue({ uris: [], dns: ['egress-client.ext.test'] });
  const substitutes = { ports: services.ports, external: { caCert: external.ca.cert, client } };
  const trusted = version === '2.14' ? [zone1, zone2] : [zone1];
  const source =
    from === 'files'
      ? fromFiles(recordedDataplaneFiles(version, substitutes), { trusted, slowLimits })
      : await fromControlPlane(version, await recordedDataplane(version, substitutes), { trusted, slowLimits });
  const records = keepRecords(t);
  const egress = await startEgress({
    port: 0,
    admin: false,
    // The services of the recorded mesh are called localhost.
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    ...source.options,
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
      await source.close();
      await services[Symbol.asyncDispose]();
      t.strictSame(await leftovers(before), [], 'nothing leaked: no socket, listener, timer or thread is left');
    },
  };
}

interface Source {
  readonly options: Pick<EgressOptions, 'controlPlane' | 'resources' | 'zone'>;
  close(): Promise<void>;
}

interface Sourcing {
  readonly trusted: readonly TestMesh[];
  readonly slowLimits: boolean;
}

async function fromControlPlane(
  version: DataplaneVersion,
  sent: EnvoyResources,
  { trusted, slowLimits }: Sourcing,
): Promise<Source> {
  // RSA, as in Kuma: the recorded clients ask for its cipher suites.
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const identity = trusted[0]!.issue({ uris: [`spiffe://${TRUST_DOMAIN}/workload/egress-b`] }, privateKey);
  const text = JSON.stringify({ ...sent, secrets: dataplaneSecrets('mesh-b', identity, trusted) });
  const resources = slowLimits ? text.replaceAll('"fillInterval":"10s"', '"fillInterval":"3600s"') : text;
  const controlPlane = await createFakeControlPlane({
    version,
    authentication: 'none',
    resources: JSON.parse(resources) as EnvoyResources,
  });
  const naming = { mesh: 'mesh-b', name: 'egress-b', resource: JSON.stringify(DATAPLANE) };
  return {
    options: { controlPlane: joining(controlPlane, controlPlane.tokens.issue(), naming) },
    close: () => controlPlane.close(),
  };
}

function fromFiles(files: readonly SourceFile[], { trusted, slowLimits }: Sourcing): Source {
  const [own, ...others] = trusted;
  const all = [...files, { path: 'ca.yaml', text: authorityYaml('mesh-b', own!.ca) }, ...others.map(trustFile)].map(
    ({ path, text }) => ({ path, text: slowLimits ? text.replaceAll('interval: 10s}', 'interval: 3600s}') : text }),
  );
  return { options: { resources: () => all, zone: 'zone-1' }, close: () => Promise.resolve() };
}

function trustFile({ name, ca }: TestMesh): SourceFile {
  const spec = { trustDomain: name, caBundles: [{ type: 'Pem', pem: { value: ca.cert } }] };
  return { path: `${name}.yaml`, text: JSON.stringify({ type: 'MeshTrust', mesh: 'mesh-b', name: 'other-zone', spec }) };
}
