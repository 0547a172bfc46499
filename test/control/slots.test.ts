import t from 'tap';
import { Slots } from '../../src/control/slots.ts';
import { SLOTS } from '../../src/traffic/breakers.ts';

const names = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => `service-${from + i}`);

t.test('each name has a place of its own for as long as it is there', async (t) => {
  const slots = new Slots(() => true);
  t.same(slots.add(['a', 'b']), {
    set: [
      ['a', 0],
      ['b', 1],
    ],
    removed: [],
  });
  t.same(slots.add(['b', 'c']).set, [['c', 2]], 'what is there stays where it is');
  t.same(slots.remove(['a', 'x']), { set: [], removed: ['a'] });
  t.same(slots.all.set, [
    ['b', 1],
    ['c', 2],
  ]);
});

t.test('a place is assigned to another name only when it is completely free, and never twice', async (t) => {
  const held = new Set([3]);
  const slots = new Slots((slot) => !held.has(slot));
  slots.add(names(SLOTS));
  t.throws(() => slots.add(['one too many']), /room for the limits of 65536/);
  slots.remove(['service-3', 'service-5']);
  t.same(slots.add(['next']).set, [['next', 5]]);
  t.throws(() => slots.add(['another']), 'the other place is still held');
  held.clear();
  t.same(slots.add(['another']).set, [['another', 3]]);
});
