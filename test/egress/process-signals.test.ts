// Signals about the log of a running process: its level, its files, and no debugger.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from './until.ts';
import { finish, run, writeZone } from './zone-process.ts';
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

t.test('a form of the log that is none is refused, with those that are', async (t) => {
  await using zone = await writeZone();
  t.match(await finish(['run', '--resources', zone.folder, '--log-format', 'xml']), {
    code: 64,
    stderr: '--log-format "xml": allowed are json, text, logfmt and ecs',
  });
});
