import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { readResourceFolder } from '../../src/files/read-folder.ts';
import { watchFolder } from '../../src/files/watch-folder.ts';
import type { FolderWatchOptions } from '../../src/files/watch-folder.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

/** A poll this rare never comes: every change that is seen was reported by the system. */
const NO_POLL = { debounceMs: 10, pollMs: 3_600_000 };
/** The poll comes before any event of the system. */
const POLL = { debounceMs: 1, pollMs: 20 };

async function watching(t: Test, dir: string, options: Partial<FolderWatchOptions> = NO_POLL) {
  let changes = 0;
  let told: () => void = () => undefined;
  const watcher = watchFolder(dir, {
    clock: systemClock({ keepAlive: true }),
    onChange() {
      changes++;
      told();
    },
    ...options,
  });
  t.teardown(() => watcher.close());
  await watcher.ready;
  /** Makes a change and waits until it is reported. */
  const sees = async (what: string, change: () => void): Promise<void> => {
    const before = changes;
    const next = new Promise<void>((resolve) => (told = resolve));
    change();
    if (changes === before) await next;
    t.ok(changes > before, what);
  };
  return { watcher, sees, changes: () => changes };
}

t.test('files that are added, written, renamed over, touched and removed are seen', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'one' });
  const { sees } = await watching(t, dir);
  const file = join(dir, 'a.yaml');
  await sees('written', () => writeFileSync(file, 'two'));
  await sees('written with the same size', () => writeFileSync(file, 'six'));
  await sees('appended', () => appendFileSync(file, '!'));
  await sees('added', () => writeFileSync(join(dir, 'b.json'), '{}'));
  await sees('renamed over', () => {
    writeFileSync(join(dir, '.a.yaml.tmp'), 'new');
    renameSync(join(dir, '.a.yaml.tmp'), file);
  });
  await sees('touched', () => utimesSync(file, 1, 1));
  await sees('moved', () => renameSync(join(dir, 'b.json'), join(dir, 'c.json')));
  await sees('removed', () => unlinkSync(join(dir, 'c.json')));
});

t.test('an editor that keeps a backup and writes a new file is seen', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'one' });
  const { sees } = await watching(t, dir);
  await sees('as vim does', () => {
    writeFileSync(join(dir, '4913'), '');
    unlinkSync(join(dir, '4913'));
    renameSync(join(dir, 'a.yaml'), join(dir, 'a.yaml~'));
    writeFileSync(join(dir, 'a.yaml'), 'two');
    unlinkSync(join(dir, 'a.yaml~'));
  });
});

t.test('the link swap of a Kubernetes mount is seen', async (t) => {
  const dir = t.testdir({ '..one': { 'mesh.yaml': 'same' }, '..two': { 'mesh.yaml': 'same' } });
  symlinkSync('..one', join(dir, '..data'));
  symlinkSync('..data/mesh.yaml', join(dir, 'mesh.yaml'));
  const { sees } = await watching(t, dir);
  await sees('swapped', () => {
    symlinkSync('..two', join(dir, '..data_tmp'));
    renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
    rmSync(join(dir, '..one'), { recursive: true });
  });
});

t.test('changes behind a linked folder of a Kubernetes mount are seen, before and after the swap', async (t) => {
  const dir = t.testdir({ '..one': { denies: { 'x.yaml': 'one' } }, '..two': { denies: { 'x.yaml': 'one' } } });
  symlinkSync('..one', join(dir, '..data'));
  symlinkSync('..data/denies', join(dir, 'denies'));
  const { sees } = await watching(t, dir);
  await sees('written', () => writeFileSync(join(dir, '..one/denies/x.yaml'), 'two'));
  await sees('swapped', () => {
    symlinkSync('..two', join(dir, '..data_tmp'));
    renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
    rmSync(join(dir, '..one'), { recursive: true });
  });
  await sees('written', () => writeFileSync(join(dir, '..two/denies/x.yaml'), 'three'));
  await sees('added', () => writeFileSync(join(dir, '..two/denies/y.yaml'), 'y'));
});

t.test('files in folders are seen, also in ones that come later or come again', async (t) => {
  const dir = t.testdir({ sub: { 'a.yaml': 'a' } });
  const { sees } = await watching(t, dir);
  await sees('in a folder', () => writeFileSync(join(dir, 'sub/a.yaml'), 'b'));
  await sees('in a new folder', () => {
    mkdirSync(join(dir, 'new/deep'), { recursive: true });
    writeFileSync(join(dir, 'new/deep/b.yaml'), 'b');
  });
  await sees('in a new folder, once more', () => writeFileSync(join(dir, 'new/deep/b.yaml'), 'bb'));
  await sees('folder removed', () => rmSync(join(dir, 'new'), { recursive: true }));
  await sees('the same folder again', () => {
    mkdirSync(join(dir, 'new'));
    writeFileSync(join(dir, 'new/c.yaml'), 'c');
  });
  await sees('in the same folder', () => writeFileSync(join(dir, 'new/c.yaml'), 'cc'));
});

t.test('a file behind a link to somewhere else is seen by the poll', async (t) => {
  const parent = t.testdir({ dir: {}, 'outside.yaml': 'one' });
  const dir = join(parent, 'dir');
  symlinkSync('../outside.yaml', join(dir, 'a.yaml'));
  const { sees } = await watching(t, dir, POLL);
  await sees('written', () => writeFileSync(join(parent, 'outside.yaml'), 'three'));
  await sees('gone', () => unlinkSync(join(parent, 'outside.yaml')));
  await sees('back', () => writeFileSync(join(parent, 'outside.yaml'), 'four'));
});

t.test('a folder that does not exist yet is seen when it comes', async (t) => {
  const dir = join(t.testdir({}), 'later');
  const { sees } = await watching(t, dir, POLL);
  await sees('made', () => mkdirSync(dir));
  await sees('filled', () => writeFileSync(join(dir, 'a.yaml'), 'a'));
});

t.test('a change between reading and watching is reported', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'one' });
  const { fingerprint } = await readResourceFolder(dir);
  const same = await watching(t, dir, { ...NO_POLL, since: fingerprint });
  t.equal(same.changes(), 0);
  writeFileSync(join(dir, 'a.yaml'), 'two!');
  const { changes } = await watching(t, dir, { ...NO_POLL, since: fingerprint });
  t.equal(changes(), 1);
});

t.test('a file that is no resource is not reported, and a burst of writes is reported once it is quiet', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'one' });
  const { sees, changes } = await watching(t, dir, { debounceMs: 50, pollMs: 3_600_000 });
  await sees('only the last', () => {
    writeFileSync(join(dir, 'notes.txt'), 'x');
    writeFileSync(join(dir, '.hidden.yaml'), 'x');
    for (let i = 0; i < 100; i++) writeFileSync(join(dir, 'a.yaml'), `write ${i}`);
  });
  t.equal(changes(), 1);
});

t.test('a watcher that was closed has no timer, no watch, and tells nothing', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'one', sub: {} });
  const clock = new FakeClock();
  const open = (): number => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length;
  const before = open();
  let changes = 0;
  const watcher = watchFolder(dir, { clock, onChange: () => changes++ });
  await watcher.ready;
  t.equal(clock.timers, 1);
  watcher.close();
  watcher.close();
  t.equal(clock.timers, 0);
  writeFileSync(join(dir, 'a.yaml'), 'two');
  clock.advance(60_000);
  t.equal(changes, 0);
  t.equal(clock.timers, 0);
  t.equal(open(), before);
});

t.test('a watcher closed during its first look opens nothing', async (t) => {
  const clock = new FakeClock();
  const watcher = watchFolder(t.testdir({ 'a.yaml': 'one' }), { clock, onChange: () => t.fail('told') });
  watcher.close();
  await watcher.ready;
  t.equal(clock.timers, 0);
});
