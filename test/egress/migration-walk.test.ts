/**
 * Walks the recorded migration of a mesh over sockets, step by step: sidecars of each step connect
 * as their recorded clusters say. No session is refused that was allowed before.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import t from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { SessionRecord } from '../../src/egress.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { connectAsSidecar, sidecarCluster } from '../behaviour/sidecar.ts';
import type { RecordedCluster, SidecarCluster } from '../behaviour/sidecar.ts';
import { runCommand } from '../cli/running.ts';
import { LIVE } from '../data.ts';
import { authorityYaml } from '../resources/fixtures/scoped.ts';
import { decidedAlike } from './decided-alike.ts';
import { until } from './until.ts';
import { ask, gone } from './zone.ts';

const RECORDED = new URL('mesh-scoped/client/migration/', LIVE);
const STEPS = ['1-legacy-egress-mtls-only', '2-legacy-egress-and-meshidentity', '3-both-egresses', '4-mesh-scoped-only'] as const;
const TRUST_DOMAIN = 'mesh-both.zone-1.mesh.local';

function clusterOf(step: (typeof STEPS)[number]): SidecarCluster {
  const { cluster } = JSON.parse(readFileSync(new URL(`${step}.json`, RECORDED), 'utf8')) as { cluster: RecordedCluster };
  return sidecarCluster(cluster);
}

/** The recorded resources, one text each, with the service and the certificates of the test. */
function resources(legacy: TestMesh, identity: TestMesh, port: number): Readonly<Record<string, string>> {
  const [mesh = '', service = '', meshIdentity = '', zoneEgress = '', dataplane = ''] = readFileSync(
    new URL('resources.yaml', RECORDED),
    'utf8',
  ).split('---\n');
  const [, ...secrets] = legacy.resources.split('---\n');
  return {
    mesh: [mesh, ...secrets].join('---\n'),
    service: service.replace('18081', String(port)),
    meshIdentity: `${meshIdentity}---\n${authorityYaml('mesh-both', identity.ca)}`,
    zoneEgress: `${zoneEgress}zone: zone-1\n`,
    dataplane,
  };
}

/** What `migrate` prints of a folder with these, without what the recorded zone has already. */
async function printedPermission(dir: string, texts: Readonly<Record<string, string>>): Promise<string> {
  for (const [name, text] of Object.entries(texts)) writeFileSync(`${dir}/${name}.yaml`, text);
  const { code, out } = await runCommand('migrate', dir);
  t.equal(code, 0, 'access stays as it is');
  const made = out.split('---\n').filter((text) => text.startsWith('type: '));
  const [only = ''] = made.filter((text) => text.startsWith('type: MeshTrafficPermission'));
  return only.replace(/\n#[^]*/, '\n');
}

t.test('each recorded step: sidecars that have switched and those that have not are served, and no session ends', async (t) => {
  const [legacy, identity, service] = await Promise.all([
    createTestMesh('mesh-both', { keyType: 'ec' }),
    createTestMesh(TRUST_DOMAIN, { keyType: 'ec' }),
    createFakeExternalService(),
  ]);
  const texts = resources(legacy, identity, service.port);
  const permission = await printedPermission(t.testdir({}), texts);
  const { mesh = '', service: mes = '', meshIdentity = '', zoneEgress = '', dataplane = '' } = texts;
  // As an operator applies them: the permission before the first Dataplane.
  const applied: Readonly<Record<(typeof STEPS)[number], readonly string[]>> = {
    '1-legacy-egress-mtls-only': [mesh, mes, zoneEgress],
    '2-legacy-egress-and-meshidentity': [mesh, mes, zoneEgress, meshIdentity, permission],
    '3-both-egresses': [mesh, mes, zoneEgress, meshIdentity, permission, dataplane],
    '4-mesh-scoped-only': [mesh, mes, meshIdentity, permission, dataplane],
  };
  let now = applied[STEPS[0]];
  await using egress = await startEgress({
    port: 0,
    admin: false,
    zone: 'zone-1',
    resources: () => now.map((text, i) => ({ path: `${i}.yaml`, text })),
  });
  const records: SessionRecord[] = [];
  egress.onRecord((record) => {
    records.push(record);
    const problem = decidedAlike(egress.snapshot(), record);
    if (problem !== null && record.reason !== 'policy-changed') t.fail(problem, { record });
  });
  const at = { host: egress.address, port: egress.port };
  const before = { identity: legacy.client('frontend'), trust: legacy.ca.cert };
  const after = { identity: identity.issue({ uris: [`spiffe://${TRUST_DOMAIN}/workload/frontend`] }), trust: identity.ca.cert };
  const sockets: TLSSocket[] = [];
  const connect = async (step: (typeof STEPS)[number]): Promise<TLSSocket> => {
    const cluster = clusterOf(step);
    const isNew = cluster.sni.startsWith('sni.');
    const socket = await connectAsSidecar({ cluster, egress: at, ...(isNew ? after : before) });
    sockets.push(socket);
    return socket;
  };
  const standing: { readonly since: string; readonly socket: TLSSocket }[] = [];
  for (const [i, step] of STEPS.entries()) {
    now = applied[step];
    if (i > 0) t.match(await egress.reload(), { kind: 'live' }, step);
    // A sidecar learns of a step a little later: that of the step before still comes.
    const coming = step === '4-mesh-scoped-only' ? [step] : STEPS.slice(Math.max(0, i - 1), i + 1);
    for (const sidecar of coming) {
      const socket = await connect(sidecar);
      t.equal(await ask(socket, 'ping'), 'ping', `${step}: a sidecar of ${sidecar}`);
      standing.push({ since: `${step}, by a sidecar of ${sidecar}`, socket });
    }
    // The ZoneEgress that is deleted last has its time to drain.
    for (const { since, socket } of standing) t.equal(await ask(socket, 'still'), 'still', `${step}: a session since ${since}`);
  }
  t.same(records, [], 'no session has ended, and none was refused');

  const stranger = await createTestMesh('mesh-both', { keyType: 'ec' });
  for (const [what, sni, client] of [
    ['the old name is gone', clusterOf(STEPS[0]).sni, before.identity],
    ['an old certificate with the new name', clusterOf(STEPS[3]).sni, before.identity],
    ['a stranger', clusterOf(STEPS[3]).sni, stranger.client('frontend')],
  ] as const) {
    const count = records.length;
    const options = { ...at, ...client, servername: sni, rejectUnauthorized: false, maxVersion: 'TLSv1.2' };
    await gone(connectTls(options as ConnectionOptions).on('error', () => undefined));
    await until('its record', () => records.length > count);
    t.match(records.at(-1)?.reason, /^(?:no-route|wrong-mesh|client-not-trusted)$/, what);
  }
  for (const socket of sockets) socket.destroy();
  await service.close();
});
