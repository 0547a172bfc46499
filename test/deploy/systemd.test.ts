// Tests the units of deploy/systemd: they fit together, and their command reports to systemd what a
// unit of this type waits for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { inheritedSocket } from '../../src/cli/inherited-socket.ts';
import { systemdOf } from '../../src/cli/supervisor.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { until } from '../egress/until.ts';
import { MAIN, writeZone } from '../egress/zone-process.ts';
import { freePort } from '../free-ports.ts';
import { env, root } from '../packed.ts';

function unit(name: string): ReadonlyMap<string, string> {
  const text = readFileSync(join(root, 'deploy/systemd', name), 'utf8');
  return new Map([...text.matchAll(/^([A-Za-z]+)=(.*)$/gm)].map(([, key = '', value = '']) => [key, value]));
}

const service = unit('zone-egress@.service');
const socket = unit('zone-egress.socket');

t.test('the units belong together, and no drain is killed', async (t) => {
  t.equal(service.get('Sockets'), 'zone-egress.socket');
  t.match(socket.get('Service'), /^zone-egress@\d\.service$/);
  const drain = Number(/--drain-time (\d+)s/.exec(service.get('ExecStart') ?? '')?.[1]);
  t.ok(Number(service.get('TimeoutStopSec')) >= drain + 10);
  t.match(
    service.get('Environment'),
    ` ZONE_EGRESS_GRACE_PERIOD=${service.get('TimeoutStopSec')}s`,
    'the egress knows the time to stop',
  );
  // The readiness port is on every address, so no admin page may have it.
  const readiness = /KUMA_READINESS_PORT=(\d+)%i/.exec(service.get('Environment') ?? '')?.[1] ?? '';
  for (let instance = 1; instance <= 9; instance++) t.not(Number(`${readiness}${instance}`), 9_901, `instance ${instance}`);
  t.equal(service.get('Type'), 'notify');
  t.equal(service.get('NotifyAccess'), 'all', 'systemd-notify is another process');
  t.match(readFileSync(join(root, 'deploy/systemd/zone-egress.sysusers'), 'utf8'), `u ${service.get('User')} `);
});

t.test('its command says that it is ready, that it lives, and that it stops', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-systemd-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  await using zone = await writeZone();
  // Replaces systemd's program, whose own socket is not tested.
  const said = join(dir, 'said');
  writeFileSync(said, '');
  writeFileSync(join(dir, 'systemd-notify'), `#!/bin/sh\necho "$@" >> ${said}\n`);
  chmodSync(join(dir, 'systemd-notify'), 0o755);
  const args = (service.get('ExecStart') ?? '').split(' ').slice(4);
  const egress = spawn(
    process.execPath,
    [MAIN, ...args.map((each) => (each === '/etc/zone-egress/resources' ? zone.folder : each))],
    {
      env: {
        ...env,
        PATH: `${dir}:${process.env.PATH ?? ''}`,
        NOTIFY_SOCKET: join(dir, 'socket'),
        WATCHDOG_USEC: '200000',
        KUMA_READINESS_PORT: String(zone.readinessPort),
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  t.teardown(() => egress.kill('SIGKILL'));
  const exit = once(egress, 'exit');
  const states = (): readonly string[] => readFileSync(said, 'utf8').split('\n');
  await until('it says that it lives, again and again', () => {
    if (egress.exitCode !== null) throw new Error(`it ended with ${egress.exitCode}`);
    return states().filter((state) => state === 'WATCHDOG=1').length >= 2;
  });
  t.equal(states()[0], 'READY=1');
  egress.kill('SIGTERM');
  t.strictSame(await exit, [0, null]);
  t.ok(states().includes('STOPPING=1'));
});

t.test('the drop-in joins a control plane with the credentials that it loads', async (t) => {
  const text = readFileSync(join(root, 'deploy/systemd/joined.conf'), 'utf8');
  const credentials = [...text.matchAll(/^LoadCredential=([^:]+):\/etc\/zone-egress\/(.+)$/gm)].map(([, id]) => id);
  t.strictSame(credentials, ['token', 'cp-ca.pem']);
  t.match(text, /^ExecStart=\nExecStart=/m, 'the command replaces that of the unit');
  const [, command = ''] = /^ExecStart=(\/.+)$/m.exec(text) ?? [];
  t.strictSame(command.split(' ').slice(0, 5), (service.get('ExecStart') ?? '').split(' ').slice(0, 5));
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-credentials-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  // It answers that it has no such ZoneEgress yet.
  await using cp = await createFakeControlPlane();
  const token = cp.tokens.issue();
  for (const [name, content] of [
    ['token', token],
    ['cp-ca.pem', cp.caCert],
    ['egress.yaml', `type: ZoneEgress\nname: egress-1\nnetworking: { address: 127.0.0.1, port: ${await freePort()} }\n`],
  ] as const)
    writeFileSync(join(dir, name), content);
  const [, variables = ''] = /^Environment=(.+)$/m.exec(text) ?? [];
  const egress = spawn(process.execPath, [MAIN, ...command.replace('/etc/zone-egress', dir).split(' ').slice(4)], {
    env: {
      ...env,
      ...Object.fromEntries(
        variables
          .replaceAll('%d', dir)
          .split(' ')
          .map((each) => each.split('=') as [string, string]),
      ),
      KUMA_CONTROL_PLANE_URL: cp.url,
      KUMA_READINESS_PORT: String(await freePort()),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => egress.kill('SIGKILL'));
  const exit = once(egress, 'exit');
  let output = '';
  for (const stream of [egress.stdout, egress.stderr]) stream.on('data', (chunk: Buffer) => (output += String(chunk)));
  await until('it has asked', () => {
    if (egress.exitCode !== null) throw new Error(output);
    return cp.bootstraps.length > 0;
  });
  t.match(JSON.parse(cp.bootstraps[0]!.request.body), { name: 'egress-1', proxyType: 'egress', dataplaneToken: token });
  egress.kill('SIGTERM');
  t.strictSame(await exit, [0, null]);
});

t.test('what a supervisor says counts only for the process that it is for', async (t) => {
  const none = (): void => {};
  t.equal(systemdOf({}, 5, none), null);
  t.equal(systemdOf({ NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '2000', WATCHDOG_PID: '5' }, 5, none)?.watchdogMs, 2);
  t.equal(systemdOf({ NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '2000', WATCHDOG_PID: '4' }, 5, none)?.watchdogMs, null);
  t.equal(systemdOf({ NOTIFY_SOCKET: '/x', WATCHDOG_USEC: 'soon' }, 5, none)?.watchdogMs, null);
  t.equal(inheritedSocket({ LISTEN_PID: '4', LISTEN_FDS: '1' }, 5), null);
  t.equal(inheritedSocket({ LISTEN_FDS: '1' }, 5), null);
  t.strictSame(inheritedSocket({ LISTEN_PID: '5', LISTEN_FDS: '1' }, 5), { fd: 3 });
  t.match(inheritedSocket({ LISTEN_PID: '5', LISTEN_FDS: '2' }, 5), { problem: /allowed is 1/ });
});
