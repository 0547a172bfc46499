import fc from 'fast-check';
import t from 'tap';
import { BALANCING_DEFAULTS } from '../../src/model/cluster.ts';
import { levelAt, shares } from '../../src/routing/priorities.ts';
import type { Availability } from '../../src/routing/priorities.ts';

type Settings = Parameters<typeof shares>[1];

/** Levels of 100 endpoints each. */
const levels = (...healthy: readonly number[]): Availability[] => healthy.map((each) => ({ endpoints: 100, healthy: each }));
const loads = (list: readonly Availability[], settings: Settings = BALANCING_DEFAULTS): number[] =>
  shares(list, settings).map(({ load }) => load);
const panics = (list: readonly Availability[], settings: Settings = BALANCING_DEFAULTS): boolean[] =>
  shares(list, settings).map(({ panic }) => panic);

t.test('traffic spills to the next priority only when less than 72 % of one is healthy', async (t) => {
  for (const [healthy, expected] of [
    [
      [100, 100],
      [100, 0],
    ],
    [
      [72, 72],
      [100, 0],
    ],
    [
      [71, 71],
      [99, 1],
    ],
    [
      [50, 60],
      [70, 30],
    ],
    [
      [25, 100],
      [35, 65],
    ],
    [
      [0, 100],
      [0, 100],
    ],
    [
      [100, 100, 100],
      [100, 0, 0],
    ],
    [
      [72, 72, 100],
      [100, 0, 0],
    ],
    [
      [71, 71, 100],
      [99, 1, 0],
    ],
    [
      [50, 50, 100],
      [70, 30, 0],
    ],
    [
      [25, 100, 100],
      [35, 65, 0],
    ],
    [
      [25, 25, 100],
      [35, 35, 30],
    ],
  ] as const) {
    t.strictSame(loads(levels(...healthy)), expected, `healthy ${healthy.join(', ')}`);
    t.notOk(panics(levels(...healthy)).includes(true), 'and where all together reach 100 %, nobody panics');
  }
});

t.test(
  'when all together cannot take the traffic, loads are scaled to 100 %, and what rounding leaves goes to the first',
  async (t) => {
    t.strictSame(loads(levels(25, 25, 20)), [34, 33, 33], 'all three panic: by number of endpoints');
    t.strictSame(loads(levels(60, 5)), [93, 7], '84 and 7 of 91');
    t.strictSame(panics(levels(60, 5)), [false, true]);
    t.strictSame(loads(levels(5, 65)), [8, 92], '7 and 91 of 98');
    t.strictSame(panics(levels(5, 65)), [true, false]);
  },
);

t.test('where every priority panics, traffic follows the number of endpoints', async (t) => {
  t.strictSame(loads(levels(0, 0)), [50, 50]);
  t.strictSame(panics(levels(25, 25)), [true, true]);
  t.strictSame(
    loads([
      { endpoints: 1, healthy: 0 },
      { endpoints: 2, healthy: 0 },
    ]),
    [34, 66],
  );
  t.strictSame(
    loads([
      { endpoints: 0, healthy: 0 },
      { endpoints: 3, healthy: 1 },
    ]),
    [0, 100],
    'an empty priority gets nothing',
  );
});

t.test('a panic threshold of 0 never panics; exactly at the threshold there is no panic', async (t) => {
  const never = { ...BALANCING_DEFAULTS, panicThresholdPercent: 0 };
  t.strictSame(shares(levels(0, 0), never), [
    { load: 100, panic: false },
    { load: 0, panic: false },
  ]);
  t.strictSame(panics(levels(10), never), [false]);
  t.strictSame(panics(levels(50)), [false]);
  t.strictSame(panics(levels(49)), [true]);
  const rounded = { ...BALANCING_DEFAULTS, panicThresholdPercent: 30.2 };
  t.strictSame(panics(levels(30), rounded), [false], '30.2 is 30, as in Envoy');
});

t.test('so few healthy endpoints that they round to 0 still take the traffic, where no level panics', async (t) => {
  const low = { overprovisioningFactor: 0.1, panicThresholdPercent: 1 };
  const few = [
    { endpoints: 0, healthy: 0 },
    { endpoints: 164, healthy: 2 },
  ];
  t.strictSame(shares(few.slice(1), low), [{ load: 100, panic: false }]);
  t.strictSame(
    shares(few, low).map(({ load }) => load),
    [0, 100],
  );
});

t.test('the overprovisioning factor moves the point where traffic spills', async (t) => {
  const by = (factor: number) => ({ ...BALANCING_DEFAULTS, overprovisioningFactor: factor });
  t.strictSame(loads(levels(50, 100), by(2)), [100, 0], 'Kuma’s 200 for clusters with locality awareness');
  t.strictSame(loads(levels(100, 100), by(0.5)), [50, 50]);
  t.strictSame(
    loads(
      [
        { endpoints: 3, healthy: 2 },
        { endpoints: 1, healthy: 1 },
      ],
      by(1.4),
    ),
    [93, 7],
    'whole percents',
  );
});

t.test('loads are whole percents that add up to 100, whatever is healthy', async (t) => {
  const level = fc.nat(200).chain((endpoints) => fc.nat(endpoints).map((healthy) => ({ endpoints, healthy })));
  const property = fc.property(
    fc.array(level, { minLength: 1, maxLength: 6 }),
    fc.double({ min: 0.1, max: 4, noNaN: true }),
    fc.integer({ min: 0, max: 100 }),
    (list, overprovisioningFactor, panicThresholdPercent) => {
      const found = shares(list, { overprovisioningFactor, panicThresholdPercent });
      return (
        found.reduce((sum, { load }) => sum + load, 0) === 100 && found.every(({ load }) => Number.isInteger(load) && load >= 0)
      );
    },
  );
  const { failed, seed, counterexample } = fc.check(property, { numRuns: 2_000 });
  t.notOk(failed, `seed ${seed}: ${JSON.stringify(counterexample)}`);
});

t.test('each of 100 numbers falls on a level, as many as its load', async (t) => {
  const list = shares(levels(50, 60), BALANCING_DEFAULTS);
  const found = Array.from({ length: 100 }, (_, percent) => levelAt(list, percent));
  t.equal(found.filter((i) => i === 0).length, 70);
  t.equal(found.filter((i) => i === 1).length, 30);
  t.equal(levelAt(list, 69), 0);
  t.equal(levelAt(list, 70), 1);
});
