// Tests the log during a drain.
import t from 'tap';
import { drainage } from '../../src/assembly/drainage.ts';
import type { DrainageOptions } from '../../src/assembly/drainage.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

t.test('every five seconds it says how many sessions are left, and once what a second signal does', async (t) => {
  const clock = new FakeClock();
  const limits = { sessions: 3 };
  const lines: { readonly sessions?: number; readonly leftMs?: number; readonly msg: string }[] = [];
  const log = (fields: object, msg: string): void => void lines.push({ ...fields, msg });
  const closed = { drain() {}, closeListeners: async () => {}, endSessions: () => (limits.sessions = 0), limits };
  const options = { clock, workers: closed, observer: { log: { info: log, warn: log }, onRecord: () => () => {} } };
  const ending = drainage({ ...options, acceptThroughout: false, sharesQueue: false } as unknown as DrainageOptions);
  const { done, hurry } = ending.drain(60_000);
  const still = (): unknown =>
    lines.filter(({ msg }) => msg === 'still draining').map(({ sessions, leftMs }) => [sessions, leftMs]);
  clock.advance(5_000);
  limits.sessions = 1;
  clock.advance(5_000);
  t.strictSame(still(), [
    [3, 55_000],
    [1, 50_000],
  ]);
  await Promise.resolve();
  hurry();
  t.equal(lines.at(-1)?.msg, 'a second signal cuts the sessions that are left');
  clock.advance(1_000);
  for (let turn = 0; turn < 20; turn++) {
    await Promise.resolve();
    clock.advance(100);
  }
  t.equal(await done, 'cut');
  const before = lines.length;
  clock.advance(60_000);
  t.equal(lines.length, before, 'then it is silent');
});
