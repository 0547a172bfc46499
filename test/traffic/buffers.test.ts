import t from 'tap';
import { BufferPool, SIZES } from '../../src/traffic/buffers.ts';

const LARGEST = SIZES.length - 1;
const sum = (buffers: readonly Buffer[]): number => buffers.reduce((total, { length }) => total + length, 0);

t.test('whatever asks for the largest, the large ones together have an end, and small ones are always there', async (t) => {
  const pool = new BufferPool();
  const taken = Array.from({ length: 2_000 }, () => pool.take(LARGEST));
  const large = taken.filter(({ length }) => length > 16 * 1024);
  t.equal(sum(large), 64 * 1024 * 1024);
  t.ok(
    taken.slice(large.length).every(({ length }) => length === 16 * 1024),
    'the others are the largest that need no room',
  );
  t.equal(pool.take(0).length, SIZES[0]);

  for (const buffer of large.splice(0, 1)) pool.give(buffer);
  t.equal(pool.take(LARGEST).length, SIZES[LARGEST], 'what comes back can be lent again');
  t.equal(pool.take(LARGEST).length, 16 * 1024);
});

t.test('the end of the large ones is what the data side was given', async (t) => {
  const pool = new BufferPool(2 * 1024 * 1024);
  const large = Array.from({ length: 50 }, () => pool.take(LARGEST)).filter(({ length }) => length > 16 * 1024);
  t.equal(sum(large), 2 * 1024 * 1024);
});

t.test('what is given back is lent again, and counted', async (t) => {
  const pool = new BufferPool();
  for (let i = 0; i < 100; i++) {
    const buffers = SIZES.map((_, step) => pool.take(step));
    t.strictSame(
      buffers.map(({ length }) => length),
      SIZES,
    );
    for (const buffer of buffers) pool.give(buffer);
  }
  t.equal(pool.lent, 0);
  t.equal(pool.made, SIZES.length);
});
