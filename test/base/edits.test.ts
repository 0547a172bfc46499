import t from 'tap';
import fc from 'fast-check';
import { editsWithin } from '../../src/base/edits.ts';
import { cpuMs } from '../cpu-time.ts';

/** Fills the textbook's matrix completely. */
function edits(a: string, b: string): number {
  const at: number[][] = [];
  for (let i = 0; i <= a.length; i++) {
    at.push([]);
    for (let j = 0; j <= b.length; j++) {
      if (i === 0 || j === 0) at[i]![j] = i + j;
      else {
        let cost = Math.min(at[i - 1]![j]! + 1, at[i]![j - 1]! + 1, at[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
        if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, at[i - 2]![j - 2]! + 1);
        at[i]![j] = cost;
      }
    }
  }
  return at[a.length]![b.length]!;
}

t.test('a character more, less or other, and two that are swapped, are one edit each', async (t) => {
  for (const [a, b, expected] of [
    ['backend', 'backend', 0],
    ['backedn', 'backend', 1],
    ['backen', 'backend', 1],
    ['backendd', 'backend', 1],
    ['bakkend', 'backend', 1],
    ['bakcedn', 'backend', 2],
    ['', 'ab', 2],
  ] as const) {
    t.equal(editsWithin(a, b, 2), expected, `${a} and ${b}`);
    t.equal(editsWithin(b, a, 2), expected, `${b} and ${a}`);
  }
});

t.test('where more edits are needed than asked for there is no answer', async (t) => {
  t.equal(editsWithin('frontend', 'backend', 2), null);
  t.equal(editsWithin('a', 'abcd', 2), null);
  t.equal(editsWithin('backedn', 'backend', 0), null);
  t.equal(editsWithin('backend', 'backend', 0), 0);
});

t.test('it agrees with the whole matrix on any two texts', async (t) => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 12 });
  fc.assert(
    fc.property(text, text, fc.nat(4), (a, b, most) => {
      const all = edits(a, b);
      return editsWithin(a, b, most) === (all <= most ? all : null);
    }),
    { numRuns: 20_000 },
  );
  t.pass('20,000 pairs');
});

t.test('names of 255 characters cost little', async (t) => {
  const [a, b] = [`${'x'.repeat(127)}y${'x'.repeat(127)}`, `y${'x'.repeat(253)}y`];
  const took = cpuMs(() => {
    for (let i = 0; i < 1_000; i++) editsWithin(a, b, 2);
  });
  t.ok(took < 5_000, `a thousand within 5 s of processor: ${Math.round(took)} ms`);
});
