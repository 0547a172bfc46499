import { readdirSync, readFileSync, renameSync, statSync, unlinkSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import { openRecorder } from '../../src/observe/recorder.ts';
import type { Recorder, RecorderOptions } from '../../src/observe/recorder.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { withDevFull } from '../data.ts';
import { sessionRecord } from './record.ts';

interface Kept {
  readonly recorder: Recorder;
  readonly dir: string;
  readonly file: string;
  readonly counts: { written: number; dropped: number };
  readonly said: string[];
  readonly lines: (file?: string) => readonly { readonly version: number; readonly id: string }[];
}

async function keeping(
  t: Test,
  options: Partial<RecorderOptions> = {},
  before?: string | ReturnType<Test['fixture']>,
): Promise<Kept> {
  const dir = t.testdir(before === undefined ? {} : ({ 'sessions.ndjson': before } as Parameters<Test['testdir']>[0]));
  const file = options.file ?? `${dir}/sessions.ndjson`;
  const counts = { written: 0, dropped: 0 };
  const said: string[] = [];
  const recorder = await openRecorder({
    clock: new FakeClock(),
    file,
    onLines: (result, count) => void (counts[result] += count),
    onFailure: (error) => void said.push((error as NodeJS.ErrnoException).code ?? String(error)),
    onRecovered: () => void said.push('recovered'),
    ...options,
  });
  t.teardown(() => recorder.close());
  const lines = (of = file) =>
    readFileSync(of, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { readonly version: number; readonly id: string });
  return { recorder, dir, file, counts, said, lines };
}

const ids = (lines: readonly { readonly id: string }[]): readonly string[] => lines.map(({ id }) => id);

t.test('each session is a line with its version, readable by its owner only', async (t) => {
  const { recorder, file, counts, lines } = await keeping(t);
  recorder.write(sessionRecord({ id: '0.1' }));
  recorder.write(sessionRecord({ id: '0.2', sni: 'a"b\\x0a' }));
  await recorder.flush();
  t.same(lines(), [
    { version: 1, ...sessionRecord({ id: '0.1' }) },
    { version: 1, ...sessionRecord({ id: '0.2', sni: 'a"b\\x0a' }) },
  ]);
  t.same(counts, { written: 2, dropped: 0 });
  t.equal(statSync(file).mode & 0o777, 0o600);
});

t.test('a recording that was moved or removed, as log rotation does, is made again', async (t) => {
  const { recorder, file, counts, said, lines } = await keeping(t);
  const writeOne = async (id: string): Promise<void> => {
    recorder.write(sessionRecord({ id }));
    await recorder.flush();
  };
  await writeOne('0.1');
  renameSync(file, `${file}-20261130`);
  await writeOne('0.2');
  t.same(ids(lines(`${file}-20261130`)), ['0.1'], 'nothing more goes to the moved file');
  t.same(ids(lines()), ['0.2']);
  unlinkSync(file);
  await writeOne('0.3');
  t.same(ids(lines()), ['0.3']);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.same([counts, said], [{ written: 3, dropped: 0 }, []]);
});

t.test('a recording goes on where it ended, after a line that was cut too', async (t) => {
  const whole = `${JSON.stringify({ version: 1, id: '9.9' })}\n`;
  const { recorder, file } = await keeping(t, {}, `${whole}{"version":1,"id":"9.`);
  recorder.write(sessionRecord({ id: '0.1' }));
  await recorder.flush();
  const texts = readFileSync(file, 'utf8').split('\n');
  t.same(
    [texts[0], texts[1], (JSON.parse(texts[2] ?? '') as { id: string }).id, texts[3]],
    [whole.trim(), '{"version":1,"id":"9.', '0.1', ''],
  );
});

t.test('a file of its size makes room for the next, and only so many are kept: no line is lost or torn', async (t) => {
  const size = `${JSON.stringify({ version: 1, ...sessionRecord({ id: '100' }) })}\n`.length;
  const { recorder, dir, file, counts, lines } = await keeping(t, { maxBytes: 3 * size, keep: 2 });
  for (let i = 100; i < 111; i++) {
    recorder.write(sessionRecord({ id: String(i) }));
    if (i % 4 === 0) await recorder.flush();
  }
  await recorder.flush();
  t.same(readdirSync(dir).sort(), ['sessions.ndjson', 'sessions.ndjson.1', 'sessions.ndjson.2']);
  t.same(ids(lines(`${file}.2`)), ['103', '104', '105']);
  t.same(ids(lines(`${file}.1`)), ['106', '107', '108']);
  t.same(ids(lines()), ['109', '110']);
  t.equal(counts.written, 11);
});

t.test('a line that is larger than the limit has a file of its own', async (t) => {
  const { recorder, file, lines } = await keeping(t, { maxBytes: 1_000 });
  for (const id of ['a', 'b'.repeat(2_000), 'c']) recorder.write(sessionRecord({ id }));
  await recorder.flush();
  t.same(
    [lines(`${file}.2`), lines(`${file}.1`), lines()].map((all) => ids(all).map((id) => id[0])),
    [['a'], ['b'], ['c']],
  );
});

t.test(
  'a full disk is reported once and counted; when there is room again, sessions are recorded again',
  withDevFull,
  async (t) => {
    const { recorder, file, counts, said, lines } = await keeping(t, {}, t.fixture('symlink', '/dev/full'));
    for (const id of ['1', '2', '3']) {
      recorder.write(sessionRecord({ id }));
      await recorder.flush();
    }
    t.same(counts, { written: 0, dropped: 3 });
    t.same(said, ['ENOSPC']);
    unlinkSync(file);
    recorder.write(sessionRecord({ id: '4' }));
    await recorder.flush();
    t.same(ids(lines()), ['4']);
    t.same(counts, { written: 1, dropped: 3 });
    t.same(said, ['ENOSPC', 'recovered']);
  },
);

t.test('what waits for the disk is bounded: more is left out and counted', async (t) => {
  const { recorder, counts, lines } = await keeping(t, { maxWaitingBytes: 5_000 });
  for (let i = 0; i < 20; i++) recorder.write(sessionRecord({ id: String(i) }));
  await recorder.flush();
  t.equal(counts.written + counts.dropped, 20);
  t.ok(counts.dropped > 10 && counts.written > 2, JSON.stringify(counts));
  t.equal(lines().length, counts.written);
  recorder.write(sessionRecord({ id: 'later' }));
  await recorder.flush();
  t.equal(lines().at(-1)?.id, 'later');
});

t.test('a file that cannot be written is an error at the start', async (t) => {
  await t.rejects(keeping(t, { file: `${t.testdir({})}/no/such/folder` }), { code: 'ENOENT' });
  const dir = t.testdir({});
  await t.rejects(keeping(t, { file: dir }), { code: 'EISDIR' });
});

t.test('what was written before the end is on the disk, and nothing after it', async (t) => {
  const { recorder, lines } = await keeping(t);
  recorder.write(sessionRecord({ id: '1' }));
  await recorder.close();
  t.same(ids(lines()), ['1']);
  recorder.write(sessionRecord({ id: '2' }));
  await recorder.close();
  t.same(ids(lines()), ['1']);
});
