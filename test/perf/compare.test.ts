import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { compare, comparisonText, partOf, readRun } from '../../perf/compare.ts';

const at = (name: string): string => fileURLToPath(new URL(`../data/perf/${name}.json`, import.meta.url));
const [old, now, other] = [readRun(at('old')), readRun(at('now')), readRun(at('other-machine'))];

t.test('a figure is slower or faster where its rounds do not overlap and its median differs by a tenth', async (t) => {
  const found = compare(old, now);
  t.same(found.differences, []);
  t.match(found.slower, [
    { what: 'latency: terminated ping, p50 µs', old: '41.0 [40.0-42.0]', now: '61.0 [60.0-62.0]', factor: 61 / 41 },
  ]);
  t.equal(found.slower.length, 1);
  t.match(found.faster, [{ what: 'latency: passthrough ping, p50 µs', factor: 20 / 31 }]);
  t.equal(found.faster.length, 1);
  // Rounds that overlap (two), a median that differs by less, and a p99 without a change. A rate is
  // not compared.
  t.equal(found.same, 4);
  t.same(found.incomparable, []);
});

t.test('what only one run has is named', async (t) => {
  const found = compare(old, now);
  t.same(found.onlyOld, ['latency: gone ping, p50 µs', 'latency: gone ping, p99 µs']);
  t.same(found.onlyNow, ['latency: new ping, p50 µs', 'latency: new ping, p99 µs']);
});

t.test('what the newer run was not asked for is not missing in it', async (t) => {
  const part = partOf(old, { questions: ['latency'], only: 'terminated' });
  const found = compare(part, partOf(now, { questions: ['latency'], only: 'terminated' }));
  t.same([...found.onlyOld, ...found.onlyNow], []);
  t.equal(found.slower.length + found.same, 2);
});

t.test('on another machine, figures are compared by their ratio to the peers, or not at all', async (t) => {
  const found = compare(old, other);
  t.same(found.differences, ['CPU: 2 x AMD EPYC, now 16 x Intel Xeon', 'Node: v24.22.3, now v26.12.1']);
  // Everything takes twice as long there; only this grew beyond that.
  t.match(found.slower, [{ what: 'latency: terminated ping, p99 µs', factor: 175 / 85 }]);
  t.equal(found.slower.length, 1);
  t.same(found.faster, []);
  t.equal(found.same, 2);
  t.same(found.incomparable, ['latency: passthrough ping, p50 µs', 'latency: passthrough ping, p99 µs']);
});

t.test('a peer whose own rounds differ much says nothing about the machine', async (t) => {
  const figures = other.figures.map((answer) => ({
    ...answer,
    results: answer.results.map((result) =>
      result.contender === 'envoy' ? { ...result, values: [...result.values, { p50: 900, p99: 900, cpu: 9 }] } : result,
    ),
  }));
  const found = compare(old, { ...other, figures });
  t.same([...found.slower, ...found.faster], []);
  t.equal(found.incomparable.length, 5);
});

t.test('one round differs by a quarter before it counts', async (t) => {
  const one = (cpu: number): typeof old => ({
    ...old,
    figures: [
      {
        question: 'handshakes',
        metrics: [{ key: 'cpu', label: 'CPU ms', digits: 2, charted: true }],
        results: [{ name: 'first', contender: 'zone-egress', values: [{ cpu }] }],
      },
    ],
  });
  t.equal(compare(one(1), one(1.2)).same, 1);
  t.equal(compare(one(1), one(1.3)).slower.length, 1);
  t.equal(compare(one(1.3), one(1)).faster.length, 1);
});

t.test('the text names each change with both figures', async (t) => {
  const text = comparisonText(compare(old, now), 'old.json');
  t.match(text, 'compared with old.json: 1 slower, 1 faster, 4 the same within their noise\n');
  t.match(text, 'slower:\n  latency: terminated ping, p50 µs: 41.0 [40.0-42.0], now 61.0 [60.0-62.0]: x 1.49\n');
  t.match(text, 'only in old.json:\n  latency: gone ping, p50 µs\n');
  t.match(comparisonText(compare(old, other), 'old.json'), '  CPU: 2 x AMD EPYC, now 16 x Intel Xeon\n');
  // A file of before says of no metric that it is compared, so these are the charted ones.
  t.equal(
    comparisonText(compare(old, old), 'old.json'),
    'compared with old.json: 0 slower, 0 faster, 5 the same within their noise\n',
  );
});

t.test('a file that is none of a run is named', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-compare-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'run.json');
  t.throws(() => readRun(path), /compare with .*run\.json: it cannot be read as JSON: ENOENT/);
  for (const text of [
    '[]',
    '{}',
    '{"machine":{},"seconds":1,"figures":[{}]}',
    'null',
    '{"machine":null,"seconds":1,"figures":[]}',
  ]) {
    writeFileSync(path, text);
    t.throws(() => readRun(path), /it is no file of results, such as perf\/results\/kept\.json/, text);
  }
  writeFileSync(path, '{');
  t.throws(() => readRun(path), /it cannot be read as JSON/);
});
