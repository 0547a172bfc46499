// Tests the log during a drain.
import t from 'tap';
import { drainage } from '../../src/assembly/drainage.ts';
import type { DrainageOptions } from '../../src/assembly/drainage.ts';
import { until } from '../egress/until.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

t.test('every five seconds it says how many sessions are left, and once what a second signal does', async (t) => {
  const clock = new FakeClock();
  const limits = { sessions: 3 };
  const lines: { readonly [field: string]: unknown; readonly msg: string }[] = [];
  const log = (fields: object, msg: string): void => void lines.push({ ...fields, msg });
  const open = (...all: readonly (readonly [string, number])[]) => ({ oldestMs: 7_000.4, destinations: new Map(all) });
  let sides = [open(['default/legacy', 1]), open(['default/legacy', 1], ['', 1])];
  const closed = {
    drain() {},
    closeListeners: async () => {},
    endSessions: () => (limits.sessions = 0),
    openSessions: () => Promise.resolve(sides),
    limits,
  };
  let record: (record: object) => void = () => {};
  const onRecord = (listener: typeof record) => {
    record = listener;
    return () => {};
  };
  const options = { clock, workers: closed, observer: { log: { info: log, warn: log }, onRecord } };
  const ending = drainage({ ...options, acceptThroughout: false, sharesQueue: false } as unknown as DrainageOptions);
  const { done, hurry } = ending.drain(60_000);
  const still = () => lines.filter(({ msg }) => msg === 'still draining').map(({ msg: _, ...fields }) => fields);
  clock.advance(5_000);
  await until('the first line', () => still().length === 1);
  limits.sessions = 21;
  sides = [open(...Array.from({ length: 6 }, (_, i) => [`m/s${i}`, i + 1] as const))];
  clock.advance(5_000);
  await until('the second line', () => still().length === 2);
  t.strictSame(still(), [
    { sessions: 3, leftMs: 55_000, oldestMs: 7_000, destinations: { 'default/legacy': 2, 'without a route yet': 1 } },
    {
      sessions: 21,
      leftMs: 50_000,
      oldestMs: 7_000,
      destinations: { 'm/s5': 6, 'm/s4': 5, 'm/s3': 4, 'm/s2': 3, 'm/s1': 2 },
      elsewhere: 1,
    },
  ]);
  hurry();
  t.equal(lines.at(-1)?.msg, 'a second signal cuts the sessions that are left');
  clock.advance(1_000);
  for (let turn = 0; turn < 20; turn++) {
    await Promise.resolve();
    clock.advance(100);
  }
  t.equal(await done, 'cut');
  record({ reason: 'closed', mesh: 'm', destination: 's1' });
  for (let i = 0; i < 2; i++) record({ reason: 'drained', mesh: 'm', destination: 's2' });
  ending.report();
  t.match(lines.at(-1), {
    msg: 'drained: some sessions were cut',
    ended: 1,
    cut: 2,
    secondSignalAfterMs: 10_000,
    cutBy: 'a second signal',
    destinations: { 'm/s2': 2 },
  });
  const before = lines.length;
  clock.advance(60_000);
  t.equal(lines.length, before, 'then it is silent');
});
