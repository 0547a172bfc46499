import fc from 'fast-check';
import t from 'tap';
import { jsonText } from '../../src/base/lazy-json.ts';
import type { LazyJson } from '../../src/base/lazy-json.ts';

t.test('what is lazy is written as if it were not', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.array(fc.nat(3)), (value, choices) => {
      let at = 0;
      const lazy = (part: LazyJson): LazyJson => {
        const made =
          typeof part !== 'object' || part === null
            ? part
            : Array.isArray(part)
              ? (part as readonly LazyJson[]).map(lazy)
              : Object.fromEntries(Object.entries(part).map(([key, item]) => [key, lazy(item as LazyJson)]));
        return choices[at++ % Math.max(1, choices.length)] === 0 ? () => made : made;
      };
      const text = [...jsonText(lazy(value))].join('');
      return JSON.stringify(JSON.parse(text)) === JSON.stringify(value);
    }),
  );
  t.pass();
});

t.test('it is indented by one space, and a field that is undefined is left out', async (t) => {
  const value: LazyJson = { a: () => [1, { b: 'x' }], c: undefined, d: [] };
  t.equal([...jsonText(value)].join(''), JSON.stringify({ a: [1, { b: 'x' }], d: [] }, null, 1));
});

t.test('a part is made when it is written, and not before', async (t) => {
  let made = 0;
  const pieces = jsonText([1, 2, 3].map((n) => () => [n, ++made]));
  t.equal(made, 0);
  for (const piece of pieces) if (piece.includes('1')) break;
  t.equal(made, 1);
});
