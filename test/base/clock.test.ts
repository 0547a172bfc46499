import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

t.test('the system clock calls once, and not after a cancel', async (t) => {
  const clock = systemClock();
  const startedAt = clock.now();
  const cancelled = clock.after(1, () => t.fail('a cancelled timer fired'));
  cancelled.cancel();
  await new Promise<void>((resolve) => clock.after(5, resolve));
  t.ok(clock.now() - startedAt >= 4);
  t.ok(Math.abs(clock.wall() - Date.now()) < 60_000);
});

t.test('a delay longer than setTimeout can keep does not fire at once', async (t) => {
  const timer = systemClock({ keepAlive: false }).after(2 ** 40, () => t.fail('fired at once'));
  await new Promise<void>((resolve) => systemClock().after(5, resolve));
  timer.cancel();
  t.pass('it waited');
});

t.test('the fake clock fires timers in the order of their times, those set on the way too', async (t) => {
  const clock = new FakeClock();
  const order: string[] = [];
  clock.after(30, () => order.push('late'));
  clock.after(10, () => {
    order.push('early');
    clock.after(10, () => order.push('from early'));
  });
  const every = clock.every(12, () => order.push(`every at ${clock.now()}`));
  clock.advance(30);
  every.cancel();
  t.strictSame(order, ['early', 'every at 12', 'from early', 'every at 24', 'late']);
  t.equal(clock.timers, 0);
  t.equal(clock.now(), 30);
});
