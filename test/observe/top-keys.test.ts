import t from 'tap';
import { TopKeys } from '../../src/observe/top-keys.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

const MINUTE = 60_000;

function keysOf(most: number, clock = new FakeClock()): { readonly top: TopKeys<string>; readonly clock: FakeClock } {
  return { top: new TopKeys({ most, clock, make: (key) => key }), clock };
}

function use(top: TopKeys<string>, key: string, times: number): void {
  for (let i = 0; i < times; i++) top.use(key);
}

t.test('the first ones have series while there is room, others have none', async (t) => {
  const { top } = keysOf(2);
  t.equal(top.use('a'), 'a');
  t.equal(top.use('b'), 'b');
  t.equal(top.use('c'), null);
  t.equal(top.use('a'), 'a');
  t.same([...top.ranked()], ['a', 'b']);
});

t.test('one that is far busier takes the place of the weakest, one that is a little busier does not', async (t) => {
  const { top, clock } = keysOf(2);
  use(top, 'a', 100);
  use(top, 'b', 10);
  use(top, 'c', 15);
  clock.advance(MINUTE);
  t.same([...top.ranked()], ['a', 'b']);
  use(top, 'c', 30);
  t.same([...top.ranked()], ['a', 'b'], 'several readers do not rank more often');
  clock.advance(MINUTE);
  t.same([...top.ranked()], ['a', 'c']);
  t.equal(top.use('b'), null);
});

t.test('what was busy long ago gives way', async (t) => {
  const { top, clock } = keysOf(1);
  use(top, 'old', 1_000);
  clock.advance(24 * 60 * MINUTE);
  t.same([...top.ranked()], ['old'], 'nothing else is there');
  use(top, 'new', 5);
  clock.advance(MINUTE);
  t.same([...top.ranked()], ['new']);
});

t.test('where all fit, each has its series before its first use; those that are gone lose it', async (t) => {
  const { top } = keysOf(3);
  top.keep(new Set(['a', 'b']));
  t.same([...top.ranked()], ['a', 'b']);
  top.keep(new Set(['b', 'c']));
  t.same([...top.ranked()], ['b', 'c']);
  top.keep(new Set(['a', 'b', 'c', 'd']));
  t.same([...top.ranked()], ['b', 'c'], 'too many: those with traffic come first');
  t.equal(top.use('d'), 'd');
});

t.test('a million keys leave no more than the bound', async (t) => {
  const { top, clock } = keysOf(10);
  for (let i = 0; i < 1_000_000; i++) {
    top.use(`key ${i}`);
    if (i % 100_000 === 0) {
      clock.advance(MINUTE);
      t.ok([...top.ranked()].length <= 10);
    }
  }
  t.equal([...top.ranked()].length, 10);
});

t.test('with room for none there are none', async (t) => {
  const { top } = keysOf(0);
  t.equal(top.use('a'), null);
  top.keep(new Set(['a']));
  t.same([...top.ranked()], []);
});
