import { EventEmitter } from 'node:events';
import t from 'tap';
import { Scope } from '../../src/base/scope.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

t.test('an ended scope holds no listener and no timer', async (t) => {
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const emitter = new EventEmitter();
  let heard = 0;
  scope.on(emitter, 'tick', () => heard++);
  scope.after(1_000, () => heard++);
  emitter.emit('tick');
  scope.end();
  emitter.emit('tick');
  clock.advance(2_000);
  t.equal(heard, 1);
  t.equal(emitter.listenerCount('tick'), 0);
  t.equal(clock.timers, 0);
});

t.test('releases run once, last first', async (t) => {
  const scope = new Scope(new FakeClock());
  const order: string[] = [];
  scope.add(() => order.push('first'));
  scope.add(() => order.push('second'));
  scope.end();
  scope.end();
  t.strictSame(order, ['second', 'first']);
});

t.test('what is added after the end is released at once', async (t) => {
  const scope = new Scope(new FakeClock());
  scope.end();
  let released = false;
  scope.add(() => {
    released = true;
  });
  t.equal(released, true);
});
