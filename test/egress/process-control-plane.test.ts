// Runs `zone-egress run` with kuma-dp's flags, as a process of its own beside a control plane on
// loopback.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { FakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { until } from './until.ts';
import { ask, gone } from './zone.ts';

const clock = systemClock();
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

t.test('it joins with the flags of kuma-dp, serves, and ends as kuma-dp does', async (t) => {
  await using cp = await createFakeControlPlane();
  const mesh = await createTestMesh('default', { keyType: 'ec' });
  const tcp = await createFakeExternalService();
  t.teardown(() => tcp.close());
  const [port, readiness, admin] = [await freePort(), await freePort(), await freePort()];
  const external = { legacy: { address: '127.0.0.1', port: tcp.port, allow: ['frontend'] } };
  cp.set(fakeConfiguration({ address: '127.0.0.1', port, meshes: [mesh], external }));
  await using egress = run(cp, { port, readiness, admin });
  await until('it is ready', async () => (await ready(readiness)) === '200 LIVE');
  const connect = async () => {
    const options = { port, host: '127.0.0.1', servername: 'legacy{mesh=default}', rejectUnauthorized: false };
    const socket = connectTls({ ...options, ...mesh.client('frontend') } as ConnectionOptions);
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  };
  const running = await connect();
  t.equal(await ask(running, 'ping'), 'ping');

  const told = JSON.parse(cp.bootstraps[0]!.request.body) as Record<string, unknown>;
  t.match(told, { name: 'egress-1', proxyType: 'egress', readinessPort: readiness });
  t.equal(cp.requests[0]?.nodeId, '.egress-1');

  egress.kill('SIGTERM');
  await until('it says that it ends', async () => (await ready(readiness)) === '503 TERMINATING');
  t.equal(await ask(await connect(), 'late'), 'late', 'connections are taken meanwhile');
  t.equal(await ask(running, 'pong'), 'pong');
  const over = gone(running);
  t.strictSame(await egress.exit, { code: 0, signal: null });
  await over;
  t.notMatch(egress.output(), egress.token, 'the token is in no line');
  t.equal(egress.errors(), '');
});

t.test('an admin port in use ends it before it serves a client or reports that it is ready', async (t) => {
  await using cp = await createFakeControlPlane();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const { port: admin } = taken.address() as AddressInfo;
  const [port, readiness] = [await freePort(), await freePort()];
  const mesh = await createTestMesh('default', { keyType: 'ec' });
  const external = { legacy: { address: '127.0.0.1', port: 9, allow: ['frontend'] } };
  cp.set(fakeConfiguration({ address: '127.0.0.1', port, meshes: [mesh], external }));
  await using egress = run(cp, { port, readiness, admin });
  const seen = new Set<string>();
  const asking = clock.every(20, () => void ready(readiness).then((answer) => seen.add(answer)));
  t.strictSame(await egress.exit, { code: 71, signal: null });
  asking.cancel();
  t.equal(
    egress.errors(),
    `zone-egress: listen on 127.0.0.1:${admin} for the admin pages: another socket has this port (EADDRINUSE)\n`,
  );
  t.notMatch(egress.output(), /listener for clients is open/);
  t.notOk(seen.has('200 LIVE'), [...seen].join(', '));
});

t.test('a control plane that does not take it is one line and exit 1', async (t) => {
  await using cp = await createFakeControlPlane();
  cp.refuseBootstrap({ status: 422, body: 'Dataplane Token is required. Generate token using …' });
  await using egress = run(cp, { port: 10_002, readiness: await freePort() });
  t.strictSame(await egress.exit, { code: 1, signal: null });
  t.match(egress.errors(), /^zone-egress: .* refused the bootstrap \(422\): Dataplane Token is required\..*\n$/);
});

t.test('a signal ends the wait for a control plane that is not there', async (t) => {
  const cp = await createFakeControlPlane({ port: await freePort() });
  await cp.close();
  const readiness = await freePort();
  await using egress = run(cp, { port: 10_002, readiness });
  await until('it says that it waits', async () => (await ready(readiness)) === '503 PRE_INITIALIZING');
  await until('and why', () => egress.output().includes('no bootstrap from the control plane yet'));
  egress.kill('SIGTERM');
  t.strictSame(await egress.exit, { code: 0, signal: null });
});

function run(
  cp: FakeControlPlane,
  { port, readiness, admin = 0 }: { readonly port: number; readonly readiness: number; readonly admin?: number },
) {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-run-'));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const token = cp.tokens.issue();
  const resource = `type: ZoneEgress\nname: {{ name }}\nzone: zone-1\nnetworking: { address: 127.0.0.1, port: ${port}, admin: { port: ${admin} } }\n`;
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/TAP|KUMA|NODE_OPTIONS/.test(key)));
  const child = spawn(
    process.execPath,
    [
      ...[MAIN, 'run', '--proxy-type=egress', `--cp-address=${cp.url}`, `--ca-cert-file=${file('ca.pem', cp.caCert)}`],
      ...[`--dataplane-token-file=${file('token', `${token}\n`)}`, `--dataplane-file=${file('egress.yaml', resource)}`],
      ...['--dataplane-var', 'name=egress-1', '--drain-time', '6s', '--concurrency', '2'],
    ],
    { env: { ...env, KUMA_READINESS_PORT: String(readiness) }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const exit = once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as string | null }));
  return {
    exit,
    token,
    output: () => output,
    errors: () => errors,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exit;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ready(port: number): Promise<string> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/ready`, { signal: AbortSignal.timeout(1_000) });
    return `${response.status} ${(await response.text()).trim()}`;
  } catch {
    return '';
  }
}
