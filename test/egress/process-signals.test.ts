// Signals about the log of a running process: its level, its files, and no debugger.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from './until.ts';
import { freePort } from '../free-ports.ts';
import { finish, MAIN, run, writeZone } from './zone-process.ts';
import type { Process } from './zone-process.ts';

function said(egress: Process, msg: string): number {
  return egress.lines().filter((line) => line['msg'] === msg).length;
}

t.test('signals change the level of the log, and open its files again; no signal opens a debugger', async (t) => {
  await using zone = await writeZone();
  const config = join(zone.folder, 'options.yml.txt');
  writeFileSync(config, 'log-level: info\n');
  await using egress = await run(zone, ['--config', config]);

  egress.kill('SIGUSR1');
  await until('the files are opened again', () => said(egress, 'the files of access logs are opened again') === 1);
  t.notMatch(egress.stderr(), /debugger/i);

  egress.kill('SIGUSR2');
  await until('debug', () => said(egress, 'the level of the log is debug now') === 1);
  egress.kill('SIGUSR2');
  await until('and back', () => said(egress, 'the level of the log is info now') === 1);

  writeFileSync(config, 'log-level: warn\n');
  egress.kill('SIGHUP');
  await until('the level of the file', () => said(egress, 'the level of the log is warn now') === 1);
  writeFileSync(config, 'log-level: loud\n');
  egress.kill('SIGHUP');
  await until('a level that is none is named', () =>
    /the options stay as they are: .*:1:12 log-level: "loud": allowed are/.test(egress.stderr()),
  );
  egress.kill('SIGUSR2');
  await until('the level is still that of before', () => said(egress, 'the level of the log is debug now') === 2);
  egress.kill('SIGUSR2');
  await until('and comes back', () => said(egress, 'the level of the log is warn now') === 2);

  egress.kill('SIGTERM');
  t.match(await egress.exit, { code: 0 });
});

t.test('signals about the log do not end an egress that waits for its control plane', async (t) => {
  await using zone = await writeZone();
  writeFileSync(join(zone.folder, 'token'), 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.e30.eA');
  const at = await freePort();
  const flags = [
    '--cp-address',
    `https://127.0.0.1:${at}`,
    '--dataplane-token-file',
    join(zone.folder, 'token'),
    '--skip-verify',
  ];
  const egress = spawn(process.execPath, [
    MAIN,
    'run',
    '--proxy-type=egress',
    '--name=egress-1',
    '--readiness-port',
    `${await freePort()}`,
    ...flags,
  ]);
  t.teardown(() => egress.kill('SIGKILL'));
  const exit = once(egress, 'exit');
  let text = '';
  egress.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  egress.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await until('it tries to join', () => text.includes('ECONNREFUSED'));
  for (const signal of ['SIGUSR2', 'SIGHUP', 'SIGUSR1'] as const) egress.kill(signal);
  const tries = text.split('ECONNREFUSED').length;
  await until('it tries on', () => text.split('ECONNREFUSED').length > tries + 1);
  t.equal(egress.exitCode ?? egress.signalCode, null);
  egress.kill('SIGTERM');
  t.strictSame(await exit, [0, null]);
});

t.test('a form of the log that is none is refused, with those that are', async (t) => {
  await using zone = await writeZone();
  t.match(await finish(['run', '--resources', zone.folder, '--log-format', 'xml']), {
    code: 64,
    stderr: '--log-format "xml": allowed are json, text, logfmt and ecs',
  });
});
