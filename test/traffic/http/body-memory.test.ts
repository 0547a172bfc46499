// The memory of bodies of HTTP/2 is freed by small collections.
import t from 'tap';
import { BodyMemory } from '../../../src/traffic/http/body-memory.ts';

const MIB = 1024 * 1024;
const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

t.test('a collection comes after some megabytes, and only where it frees something', async (t) => {
  let outside = 10 * MIB;
  let collections = 0;
  const memory = new BodyMemory({
    outside: () => outside,
    collect: () => {
      collections++;
      outside = 10 * MIB;
    },
  });
  const move = async (mib: number): Promise<void> => {
    for (let i = 0; i < mib * 64; i++) {
      outside += MIB / 64;
      memory.came(MIB / 64);
      if (i % 64 === 63) await nextTurn();
    }
  };
  await move(3);
  t.equal(collections, 0, 'nothing for a few bodies');
  await move(1);
  t.equal(collections, 1);
  await move(40);
  t.equal(collections, 11, 'one for each four megabytes');
  // V8 has collected by itself.
  await move(3);
  outside = 9 * MIB;
  await move(1);
  t.equal(collections, 11);
  await move(4);
  t.equal(collections, 12);
});
