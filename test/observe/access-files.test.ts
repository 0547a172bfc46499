import { spawnSync } from 'node:child_process';
import { constants, createReadStream, existsSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { createAccessFiles } from '../../src/observe/access-files.ts';
import type { AccessFiles, AccessFilesOptions } from '../../src/observe/access-files.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { until } from '../egress/until.ts';

interface Kept {
  readonly files: AccessFiles;
  readonly clock: FakeClock;
  readonly dir: string;
  readonly counts: { written: number; dropped: number };
  readonly said: string[];
}

function keeping(t: Test, options: Partial<AccessFilesOptions> = {}): Kept {
  const clock = new FakeClock();
  const counts = { written: 0, dropped: 0 };
  const said: string[] = [];
  const files = createAccessFiles({
    clock,
    onLines: (result, count) => void (counts[result] += count),
    onFailure: (path, error) => void said.push(`${path.split('/').at(-1)} ${(error as NodeJS.ErrnoException).code}`),
    onRecovered: (path) => void said.push(`${path.split('/').at(-1)} again`),
    ...options,
  });
  t.teardown(() => files.close());
  return { files, clock, dir: t.testdir({}), counts, said };
}

t.test('lines are added to their files in order, and a file that exists is kept', async (t) => {
  const { files, dir, counts } = keeping(t);
  for (let i = 0; i < 500; i++) files.write(`${dir}/${i % 2 === 0 ? 'even' : 'odd'}`, `${i}\n`);
  await files.flush();
  files.write(`${dir}/odd`, 'last\n');
  await files.flush();
  const odd = Array.from({ length: 250 }, (_, i) => `${2 * i + 1}\n`).join('');
  t.equal(readFileSync(`${dir}/odd`, 'utf8'), `${odd}last\n`);
  t.equal(readFileSync(`${dir}/even`, 'utf8').split('\n').length, 251);
  t.same(counts, { written: 501, dropped: 0 });
  t.equal(statSync(`${dir}/odd`).mode & 0o077 & ~0o044, 0, 'nobody but its owner may write it');
});

t.test('a file that was moved away, or removed, is made again', async (t) => {
  const { files, dir } = keeping(t);
  const path = `${dir}/log`;
  files.write(path, 'one\n');
  await files.flush();
  renameSync(path, `${path}.1`);
  files.write(path, 'two\n');
  await files.flush();
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'one\n');
  t.equal(readFileSync(path, 'utf8'), 'two\n');
  rmSync(path);
  files.write(path, 'three\n');
  await files.flush();
  t.equal(readFileSync(path, 'utf8'), 'three\n');
});

t.test('what cannot be written is dropped, counted and reported once, until it can', async (t) => {
  const { files, dir, clock, counts, said } = keeping(t);
  const path = `${dir}/missing/log`;
  files.write(path, 'one\n');
  await files.flush();
  files.write(path, 'two\n');
  await files.flush();
  t.same(counts, { written: 0, dropped: 2 });
  clock.advance(1_000);
  files.write(path, 'three\n');
  await files.flush();
  t.same(said, ['log ENOENT'], 'said once');
  await mkdir(`${dir}/missing`);
  clock.advance(1_000);
  files.write(path, 'four\n');
  await files.flush();
  t.same(said, ['log ENOENT', 'log again']);
  t.equal(readFileSync(path, 'utf8'), 'four\n');
  t.same(counts, { written: 1, dropped: 3 });
  t.ok(existsSync(path));
});

t.test('a pipe without a reader is an error and no wait, one whose reader is slow drops what is too much', async (t) => {
  const { files, dir, said, counts } = keeping(t, { clock: systemClock(), maxWaitingBytes: 512 * 1024 });
  const path = `${dir}/pipe`;
  t.equal(spawnSync('mkfifo', [path]).status, 0);
  files.write(path, 'nobody reads\n');
  await files.flush();
  t.same(said, ['pipe ENXIO']);
  // Opened for both, so that opening does not wait for a writer.
  const reader = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
  const line = `${'x'.repeat(1_023)}\n`;
  await until('it is open again', async () => {
    files.write(path, line);
    await Promise.race([files.flush(), new Promise((resolve) => setImmediate(resolve))]);
    return counts.written > 0;
  });
  for (let i = 0; i < 2_000; i++) files.write(path, line);
  t.ok(counts.dropped > 1_000, 'the rest waits in memory, which is bounded');
  const other = `${dir}/other`;
  files.write(other, 'goes on\n');
  await until('another file is written beside it', () => existsSync(other) && readFileSync(other, 'utf8') === 'goes on\n');
  await reader.close();
});

t.test('a file without lines is closed after a while', async (t) => {
  const { files, dir, clock } = keeping(t);
  const path = `${dir}/log`;
  files.write(path, 'one\n');
  await files.flush();
  const isOpen = (): boolean =>
    spawnSync('ls', ['-l', `/proc/${process.pid}/fd`])
      .stdout.toString()
      .includes(path);
  const isLinux = existsSync('/proc/self/fd');
  if (isLinux) t.ok(isOpen());
  clock.advance(60_000);
  if (isLinux) await until('it is closed', () => !isOpen());
  files.write(path, 'two\n');
  await files.flush();
  t.equal(await text(createReadStream(path)), 'one\ntwo\n');
});
