// Runs `zone-egress run` with a folder of proxies, as a process of its own beside a control plane
// on loopback.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import t from 'tap';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { freePort } from '../free-ports.ts';
import { dataplaneOf, makeMesh } from './joined-zone.ts';
import type { JoinedMesh } from './joined-zone.ts';
import { until } from './until.ts';
import { ask } from './zone.ts';
import { MAIN } from './zone-process.ts';

async function page(port: number, path: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  request({ host: '127.0.0.1', port, path, agent: false }, (response) => void text(response).then(resolve))
    .on('error', ({ message }) => resolve(message))
    .end();
  return promise;
}

t.test('a folder of proxies joins, follows its files, and leaves at the end', async (t) => {
  await using cp = await createFakeControlPlane({ version: '3.0', deregistrationDelayMs: 50 });
  const meshes = await Promise.all(['mesh-a', 'mesh-b'].map(makeMesh));
  t.teardown(() => Promise.all(meshes.map(({ service }) => service.close())));
  const [port, readiness, admin] = [await freePort(), await freePort(), await freePort()];
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-proxies-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const write = (name: string, content: string): void => writeFileSync(join(dir, name), content);
  writeFileSync(join(dir, 'ca.pem'), cp.caCert);
  for (const mesh of meshes) {
    cp.set(mesh.resources(port), { of: `${mesh.name}.egress` });
    const dataplane = dataplaneOf(mesh.name, 'egress', port);
    const networking = { ...(dataplane['networking'] as object), admin: { port: admin } };
    write(`${mesh.name}.yaml`, JSON.stringify({ ...dataplane, networking }));
  }
  const [a, b] = meshes as [JoinedMesh, JoinedMesh];
  const tokens = await Promise.all(meshes.map(({ name }) => cp.dataplaneTokens.issue({ mesh: name, workload: 'egress' })));
  write('mesh-a.token', tokens[0] ?? '');
  // The token of another mesh.
  write('mesh-b.token', tokens[0] ?? '');
  const argv = ['run', `--cp-address=${cp.url}`, `--ca-cert-file=${dir}/ca.pem`, `--dataplane-file=${dir}`];
  const flags = [`--readiness-port=${readiness}`, '--drain-time=1s', '--concurrency=1', '--allow-resolved=127.0.0.0/8'];
  const child = spawn(process.execPath, [MAIN, ...argv, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  let log = '';
  child.stdout.on('data', (chunk: Buffer) => void (log += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => void (log += chunk.toString()));

  const connect = async (mesh: JoinedMesh): Promise<TLSSocket> => {
    const options = { port, host: '127.0.0.1', servername: mesh.sni, rejectUnauthorized: false, maxVersion: 'TLSv1.2' };
    const socket = connectTls({ ...options, ...mesh.client('frontend') } as ConnectionOptions);
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  };
  await until('it is ready', async () => (await page(readiness, '/ready')) === 'LIVE\n');
  await until('the first one is live', async () => (await page(readiness, '/ready?dataplane=mesh-a.egress')) === 'LIVE\n');
  t.equal(await ask(await connect(a), 'a'), 'a');
  await until('the other one is refused', async () => (await page(admin, '/dataplanes')).includes('"refused"'));
  const table = await page(admin, '/dataplanes?output=table');
  t.match(table, /^mesh-a\.egress {2}live {5}the Dataplane serves 3 routes, and the control plane answers$/m);
  t.match(table, /^mesh-b\.egress {2}refused {2}the Dataplane cannot join: .*token signature is invalid/m);
  t.match(log, /the token is for mesh mesh-a, and this is the Dataplane egress of mesh mesh-b: generate one with/);

  write('mesh-b.token', tokens[1] ?? '');
  await until('the new token is tried', async () => (await page(readiness, '/ready?dataplane=mesh-b.egress')) === 'LIVE\n');
  const staying = await connect(b);
  t.equal(await ask(staying, 'b'), 'b');
  rmSync(join(dir, 'mesh-a.yaml'));
  await until('it leaves', () => cp.streams === 1);
  await until('it has left', async () => !(await page(admin, '/dataplanes')).includes('mesh-a'));
  t.equal(await ask(staying, 'still'), 'still');

  child.kill('SIGTERM');
  t.same(await exit, [0, null]);
  for (const token of tokens) t.notOk(log.includes(token), 'no token is in the log');
});
