import t from 'tap';
import { formatProblem } from '../../src/base/problem.ts';
import { createFindings } from '../../src/resources/findings.ts';
import { parseYaml } from '../../src/resources/yaml.ts';
import type { Value } from '../../src/resources/yaml-value.ts';

function parse(text: string): { values: readonly Value[]; problems: readonly string[] } {
  const findings = createFindings(false);
  const values = parseYaml({ path: 'f.yaml', text }, findings);
  return { values, problems: findings.problems().map(formatProblem) };
}

function plain(value: Value): unknown {
  if (value.kind === 'scalar') return value.value;
  if (value.kind === 'list') return value.items.map(plain);
  return Object.fromEntries([...value.entries].map(([key, entry]) => [key, plain(entry.value)]));
}

t.test('every value knows its line and column, in the second document too', async (t) => {
  const { values } = parse('a: 1\n---\nb:\n  - x\n  -   {c: true}\n');
  const [, second] = values;
  t.equal(second?.kind, 'map');
  if (second?.kind !== 'map') return;
  const list = second.entries.get('b')?.value;
  t.same(second.entries.get('b')?.key, { file: 'f.yaml', line: 3, column: 1 });
  if (list?.kind !== 'list') throw new Error('no list');
  t.same(
    list.items.map(({ at }) => [at.line, at.column]),
    [
      [4, 5],
      [5, 7],
    ],
  );
  const map = list.items[1];
  t.same(map?.kind === 'map' && map.entries.get('c')?.value.at, { file: 'f.yaml', line: 5, column: 11 });
});

t.test('it is YAML 1.2: yes and dates are text, 0777 is a number', async (t) => {
  const { values } = parse('a: yes\nb: 2026-01-01\nc: 0777\nd: 12:30:00\ne: ~\nf: true\n');
  t.same(values.map(plain), [{ a: 'yes', b: '2026-01-01', c: 777, d: '12:30:00', e: null, f: true }]);
});

t.test('JSON goes the same way, and empty documents are nothing', async (t) => {
  t.same(parse('{"a": [1, "b"], "c": {}}').values.map(plain), [{ a: [1, 'b'], c: {} }]);
  t.same(parse('---\n---\n# only a comment\n---\na: 1\n---\n').values.map(plain), [{ a: 1 }]);
  t.same(parse('').values, []);
});

t.test('tabs in JSON, line ends of Windows and a byte order mark do no harm', async (t) => {
  t.same(parse('{\n\t"a": 1,\n\t"b": [\n\t\t2\n\t]\n}\n').values.map(plain), [{ a: 1, b: [2] }]);
  const { values } = parse('a: 1\r\nb: x\r\n---\r\nc: 2\r\n');
  t.same(values.map(plain), [{ a: 1, b: 'x' }, { c: 2 }]);
  t.same(values[1]?.at, { file: 'f.yaml', line: 4, column: 1 });
  t.same(parse('\ufeffa: 1\n').values.map(plain), [{ a: 1 }]);
});

t.test('what is not allowed is refused with its place', async (t) => {
  const refused: readonly (readonly [string, readonly string[]])[] = [
    ['a: 1\nb: 2\na: 3\n', ['f.yaml:3:1 map keys must be unique']],
    ['a: *x\nb: &x 1\n', ['f.yaml:1:4 the alias has no anchor before it']],
    ['a: &x [*x]\n', ['f.yaml:1:8 the alias stands inside of its own anchor']],
    ['a: 1\n---\nb: *a\n', ['f.yaml:3:4 the alias has no anchor before it']],
    ['a: &a 1\n---\nb: *a\n', ['f.yaml:3:4 the alias has no anchor before it']],
    ['a:\n  __proto__: {x: 1}\n', ['f.yaml:2:3 the key "__proto__" is not allowed']],
    ['constructor: 1\n', ['f.yaml:1:1 the key "constructor" is not allowed']],
    ['a:\n  "<<": {x: 1}\n', ['f.yaml:2:3 the key "<<" is not allowed']],
    ['a:\n  <<: x\n', ['f.yaml:2:3 the value of << must be a map, or a list of maps']],
    ['a:\n  <<: {__proto__: 1}\n', ['f.yaml:2:8 the key "__proto__" is not allowed']],
    ['? {a: b}\n: c\n', ['f.yaml:1:3 keys must be strings']],
    ['a: !secret x\n', ['f.yaml:1:4 the tag is not known in the core schema']],
    ['a: "x\n', ['f.yaml:2:1 missing closing "quote']],
    ['a: [1, 2\nb: 3\n', ['f.yaml:2:1 flow sequence in block collection must be sufficiently indented and end with a ]']],
  ];
  for (const [text, problems] of refused) {
    const { values, problems: found } = parse(text);
    t.same(found.slice(0, 1), problems, JSON.stringify(text));
    t.same(
      values.map(plain).filter((value) => JSON.stringify(value) !== '{"a":1}'),
      [],
      'and the document is not read',
    );
  }
});

t.test('aliases and merge keys are read as Go reads them', async (t) => {
  t.same(parse('a: &x {b: 1}\nc: *x\nd: [*x, *x]\n').values.map(plain), [{ a: { b: 1 }, c: { b: 1 }, d: [{ b: 1 }, { b: 1 }] }]);
  t.same(parse('a: &x 1\nb: &x 2\nc: *x\n').values.map(plain), [{ a: 1, b: 2, c: 2 }], 'the last one before it');
  const merged = (text: string): unknown => parse(`x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\n${text}`).values.map(plain)[0];
  t.match(merged('z: {<<: *x, a: 0}\n'), { z: { a: 0, b: 1 } }, 'what is written counts');
  t.match(merged('z: {a: 0, <<: *x}\n'), { z: { a: 0, b: 1 } }, 'wherever it stands');
  t.match(merged('z: {<<: [*x, *y]}\n'), { z: { a: 1, b: 1, c: 2 } }, 'the first of a list');
  t.match(merged('z:\n  <<: *y\n  <<: *x\n'), { z: { a: 1, b: 2, c: 2 } }, 'the first of several');
  t.match(merged('z: {<<: {q: 1}, <<: [{r: 1}]}\n'), { z: { q: 1, r: 1 } });
  const { values } = parse('x: &x\n  a: 1\nz:\n  <<: *x\n');
  const z = values[0]?.kind === 'map' ? values[0].entries.get('z')?.value : undefined;
  t.match(z?.kind === 'map' && z.entries.get('a')?.value.at, { line: 2, column: 6 }, 'a value has the place where it is written');
});

t.test('one bad document does not hide the others', async (t) => {
  const { values, problems } = parse('a: 1\n---\nb: {{\n---\nc: 3\n');
  t.ok(problems.length > 0);
  t.same(values.map(plain), [{ a: 1 }, { c: 3 }]);
});

t.test('a problem never quotes the file: there may be a key in it', async (t) => {
  for (const text of [
    'a: @CANARY\n',
    'a: "\\qCANARY"\n',
    'data: x\nCANARY\n',
    'a: !CANARY x\n',
    'a: *CANARY\n',
    '%CANARY\n---\na: 1\n',
    'a: |CANARY\n x\n',
    '[a]\nCANARY: x: y\n}CANARY\n',
  ]) {
    const { problems } = parse(text);
    t.not(problems.length, 0, JSON.stringify(text));
    t.notMatch(problems.join('\n'), /CANARY/);
  }
});

const M = 4_000_000;
const each = (count: number, line: (i: number) => string): string => Array.from({ length: count }, (_, i) => line(i)).join('');

/**
 * Files that took a minute, or would in other implementations; with the message for each, or none
 * where it is read.
 */
const HOSTILE: Readonly<Record<string, readonly [text: string, told: RegExp | null]>> = {
  '40,000 anchors': [each(40_000, (i) => `a${i}: &b${i} x\n`), null],
  '20,000 anchors and aliases': [each(20_000, (i) => `a${i}: &b${i} x\nc${i}: *b${i}\n`), null],
  '30,000 keys that the quick reader leaves': [each(30_000, (i) => `k${i}: "v" # c\n`), null],
  'the same key 10,000 times': ['a: b # c\n'.repeat(10_000), /unique/],
  '4 MB of [': ['['.repeat(M), /nested too deeply/],
  '4 MB of {': ['{'.repeat(M), /nested too deeply/],
  '4 MB of {a: ': ['{a: '.repeat(M / 4), /nested too deeply/],
  '4 MB of - ': ['- '.repeat(M / 2), /nested too deeply/],
  'a list of a million in one line': [`a: [${'x, '.repeat(1_300_000)}x]`, null],
  'a list of a million that the quick reader leaves': [`a: [${'x, '.repeat(1_300_000)}x] # c`, /more than 500000 parts/],
  '4 MB of commas': [`[${','.repeat(M - 10)}]`, /more than 500000 parts/],
  'a key of 4 MB': [`"${'a'.repeat(M - 100)}": b # c`, /./],
  'an anchor of 4 MB': [`&${'a'.repeat(M - 100)} x # c`, null],
  'aliases that double 60 times': [
    `a0: &a0 [x, x]\n${each(60, (i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]\n`)}`,
    /aliases stand for more than 50000 values/,
  ],
  'merges of 2,000 keys 2,000 times': [
    `a: &a {${each(2_000, (i) => `k${i}: v, `)}z: 1}\n${each(2_000, (i) => `b${i}: {<<: *a}\n`)}`,
    /aliases stand for/,
  ],
};

t.test('a hostile file is refused or read within two seconds of CPU', async (t) => {
  for (const [name, [text, told]] of Object.entries(HOSTILE)) {
    const before = process.cpuUsage();
    const { values, problems } = parse(text);
    const { user, system } = process.cpuUsage(before);
    if (told === null) t.same([values.length, problems], [1, []], name);
    else t.match(problems[0], told, name);
    t.ok(problems.length <= 20, `${name}: ${problems.length} problems`);
    // It took a minute before. Measures CPU time of only this process, so that the load of the
    // machine does not count.
    t.ok((user + system) / 1e6 < 8, `${name}: ${Math.round((user + system) / 1e3)} ms`);
  }
});

t.test('depth and size have limits', async (t) => {
  t.match(parse('['.repeat(20_000)).problems[0], /nested too deeply/);
  t.match(parse(`${'['.repeat(200)}${']'.repeat(200)}`).problems, ['f.yaml:1:102 values are nested too deeply (limit 100)']);
  const { values, problems } = parse(`# ${'x'.repeat(4 * 1024 * 1024)}\na: 1`);
  t.same(problems, ['f.yaml the file is larger than 4194304 bytes (4 MiB)']);
  t.same(values, []);
});
