import fc from 'fast-check';
import t from 'tap';
import { IsoTime } from '../../src/base/iso-time.ts';

t.test('moments in any order are what Date makes of them', async (t) => {
  const near = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2026, 0, 1) + 3_000 });
  const far = fc.integer({ min: Date.UTC(1970, 0, 1), max: Date.UTC(9999, 11, 31) });
  const property = fc.property(fc.array(fc.oneof(near, far)), (moments) => {
    const times = new IsoTime();
    return moments.every((ms) => times.of(ms) === new Date(ms).toISOString());
  });
  t.doesNotThrow(() => fc.assert(property));
  t.equal(new IsoTime().of(1_000.9), '1970-01-01T00:00:01.000Z', 'parts of a millisecond are cut off');
});
