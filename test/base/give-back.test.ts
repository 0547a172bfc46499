import { setFlagsFromString, getHeapStatistics } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { giveBackWhenQuiet } from '../../src/base/release-memory.ts';
import type { ThreadHeap } from '../../src/base/release-memory.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

const MIB = 1024 * 1024;

interface Told {
  total: number;
  busy: number;
  sessions: number;
  collections: number;
}

/** `floor` is the least that a collection can reach; `carries`: the thread may have sessions. */
function watched({ floor = 14 * MIB, carries = true } = {}): {
  readonly clock: FakeClock;
  readonly told: Told;
  readonly stop: () => void;
} {
  const clock = new FakeClock();
  const told: Told = { total: 30 * MIB, busy: 0, sessions: 0, collections: 0 };
  const heap: ThreadHeap = {
    total: () => told.total,
    busy: () => told.busy,
    collect() {
      told.collections++;
      told.total = Math.min(told.total, floor);
    },
  };
  const timer = giveBackWhenQuiet(clock, { sessions: carries ? () => told.sessions : null, heap });
  return { clock, told, stop: () => timer.cancel() };
}

t.test('a heap that grew is collected once its thread is quiet, and not again while it stays small', async (t) => {
  const { clock, told, stop } = watched();
  clock.advance(2_000);
  t.equal(told.collections, 0, 'not quiet for long enough');
  clock.advance(1_000);
  t.equal(told.collections, 1, 'what the start left');
  clock.advance(60_000);
  t.equal(told.collections, 1);
  told.total = 40 * MIB;
  clock.advance(10_000);
  t.equal(told.collections, 1, 'not worth it');
  told.total = 200 * MIB;
  told.busy = 1;
  clock.advance(1_000);
  told.busy = 0;
  clock.advance(19_000);
  t.equal(told.collections, 1, 'it may be between two waves');
  clock.advance(1_000);
  t.equal(told.collections, 2);
  stop();
  t.equal(clock.timers, 0);
});

t.test('never while the thread is busy, nor with many sessions, which it would hold up', async (t) => {
  const { clock, told, stop } = watched();
  told.busy = 0.2;
  clock.advance(60_000);
  t.equal(told.collections, 0);
  told.busy = 0.01;
  told.sessions = 500;
  clock.advance(60_000);
  t.equal(told.collections, 0);
  told.sessions = 20;
  clock.advance(3_000);
  t.equal(told.collections, 1);
  stop();
});

t.test('what grows again at once is collected less and less often', async (t) => {
  const { clock, told, stop } = watched();
  const times: number[] = [];
  let seen = 0;
  for (let second = 0; second < 3_600; second++) {
    clock.advance(1_000);
    if (told.collections > seen) times.push(second);
    seen = told.collections;
    told.total = 100 * MIB;
  }
  t.ok(times.length > 5 && times.length < 16, `${times.length} in an hour`);
  const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  t.ok(Math.max(...pauses) >= 600);
  told.total = 14 * MIB;
  clock.advance(2 * 3_600_000);
  told.total = 100 * MIB;
  const before = told.collections;
  clock.advance(20_000);
  t.equal(told.collections, before + 1, 'a peak after hours');
  stop();
});

t.test('a heap that cannot be made smaller is not tried again, one that became smaller by itself is', async (t) => {
  const { clock, told, stop } = watched({ floor: 300 * MIB });
  told.total = 300 * MIB;
  clock.advance(60_000);
  t.equal(told.collections, 1);
  told.total = 100 * MIB;
  clock.advance(10_000);
  told.total = 300 * MIB;
  clock.advance(20_000);
  t.equal(told.collections, 2);
  stop();
});

t.test('a thread that never carries sessions need not be quiet for long', async (t) => {
  const { clock, told, stop } = watched({ carries: false });
  told.total = 100 * MIB;
  clock.advance(3_000);
  t.equal(told.collections, 1);
  clock.advance(10_000);
  told.total = 100 * MIB;
  clock.advance(1_000);
  t.equal(told.collections, 2);
  stop();
});

t.test('nothing is done where gc is not exposed', async (t) => {
  const before = globalThis.gc;
  Reflect.deleteProperty(globalThis, 'gc');
  const clock = new FakeClock();
  giveBackWhenQuiet(clock, { sessions: () => 0 });
  t.equal(clock.timers, 0);
  if (before !== undefined) globalThis.gc = before;
});

t.test('V8 gives its pages back', async (t) => {
  const before = globalThis.gc;
  setFlagsFromString('--expose-gc');
  globalThis.gc = runInNewContext('gc') as NodeJS.GCFunction;
  const clock = new FakeClock();
  const timer = giveBackWhenQuiet(clock, { sessions: () => 0 });
  const peak = peakWith(600_000);
  // Each look asks how busy the thread was since the last one. On a busy machine it takes several
  // until three in a row find it quiet.
  let after = peak;
  const end = performance.now() + 120_000;
  while (after >= peak - 30 * MIB && performance.now() < end) {
    clock.advance(1_000);
    await new Promise((resolve) => setTimeout(resolve, 60));
    after = getHeapStatistics().total_heap_size;
  }
  t.ok(after < peak - 30 * MIB, `${(peak / MIB).toFixed(0)} MB became ${(after / MIB).toFixed(0)}`);
  timer.cancel();
  if (before === undefined) Reflect.deleteProperty(globalThis, 'gc');
  else globalThis.gc = before;
});

/** Returns the bytes of the heap while this many objects live; they are garbage afterwards. */
function peakWith(count: number): number {
  const objects = Array.from({ length: count }, (_, i) => ({ i, text: [i] }));
  const { total_heap_size: total } = getHeapStatistics();
  if (objects.length !== count) throw new Error('they have to live until here');
  return total;
}
