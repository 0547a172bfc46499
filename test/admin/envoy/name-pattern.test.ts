import fc from 'fast-check';
import { RE2JS } from 're2js';
import t from 'tap';
import { namePattern } from '../../../src/admin/envoy/name-pattern.ts';
import { cpuMs } from '../../cpu-time.ts';

function matches(pattern: string, name: string, whole = false): boolean | string {
  const made = namePattern(pattern, whole);
  return made.kind === 'bad' ? made.why : made.matches(name);
}

t.test('it finds what the language of JavaScript finds', async (t) => {
  const piece = fc.constantFrom(
    'a',
    'b',
    '.',
    '[ab]',
    '[^a]',
    '[a-c]',
    '\\w',
    '\\d',
    '\\.',
    '^',
    '$',
    '\\b',
    'a|b',
    '(a|b)',
    '(?:ab)',
  );
  const times = fc.constantFrom('', '', '*', '+', '?', '{2}', '{1,2}', '{1,}', '*?');
  const part = fc.tuple(piece, times).map(([what, how]) => (/^(\^|\$|\\b|a\|b)$/.test(what) ? what : what + how));
  const pattern = fc.array(part, { maxLength: 5 }).map((parts) => parts.join(''));
  const name = fc.array(fc.constantFrom('a', 'b', 'c', '.', '1', '_'), { maxLength: 8 }).map((chars) => chars.join(''));
  fc.assert(
    fc.property(pattern, name, fc.boolean(), (text, subject, whole) => {
      const expected = new RegExp(whole ? `^(?:${text})$` : text).test(subject);
      return matches(text, subject, whole) === expected;
    }),
    { numRuns: 3000 },
  );
  t.pass();
});

t.test('what takes other engines for ever takes no time', async (t) => {
  const name = `${'a'.repeat(200)}!`;
  // Other engines take much longer than this.
  const took = cpuMs(() => {
    for (const pattern of ['(a+)+$', '^(a|a)*$', '(a|aa)+$', '(.*)*x', '.*.*.*.*.*.*.*x', '(a?){200}a{200}x', '^(((a*)*)*)*$'])
      t.equal(matches(pattern, name), false, pattern);
  });
  t.ok(took < 10_000, `${Math.round(took)} ms of processor`);
});

t.test('invalid and too large patterns are errors', async (t) => {
  t.equal(matches('(', 'x'), 'missing ): (');
  for (const [pattern, why] of [
    [')', /unexpected/],
    ['[a', /missing ]/],
    ['*', /no argument/],
    ['a**', /bad repetition/],
    ['(?=a)', /invalid perl operator/],
    ['\\', /trailing/],
    ['\\1', /invalid escape/],
    ['a{1001}', /invalid repetition size/],
    ['(a{500}){500}', /too large/],
    ['((((){1000}){1000}){1000}){1000}', /too large/],
    ['('.repeat(40) + ')'.repeat(40), /nested/],
    ['a'.repeat(2000), /2000 characters/],
  ] as const)
    t.match(matches(pattern, 'x'), why, pattern.slice(0, 20));
});

t.test('what RE2 refuses is refused, and what it takes beyond JavaScript is taken', async (t) => {
  for (const text of [
    '(?<=a)b',
    'x{2}{3}',
    'a*+',
    '\\Z',
    '\\h',
    '\\8',
    '\\C',
    '[z-a]',
    '[[:no:]]',
    '(?P<a>b)(?P<a>c)',
    '(?P=a)',
    '\\Q(\\E',
  ])
    t.type(matches(text, 'x'), 'string', text);
  t.equal(matches('(?i)CLUSTER[[:punct:]](?P<name>[[:alpha:]]+)$', 'a cluster.es'), true);
  t.equal(matches('\\x61{2}', 'aa', true), true);
  t.equal(matches('[]a]+', ']a]', true), true);
  t.equal(matches('a|ab', 'ab', true), true);
});

t.test('no pattern that is taken makes a large program, however its repetitions are written', async (t) => {
  const piece = fc.constantFrom(
    ...[
      'a',
      '.',
      '[ab]',
      '[]b]',
      '[^]b]',
      '[[:alpha:]]',
      '\\[',
      '\\(',
      '\\pL',
      '\\x{41}',
      '(',
      '(',
      '(?:',
      '(?i)',
      ')',
      ')',
      '|',
    ],
    ...['{1000}', '{900,}', '{30}', '{0,40}', '{2}', '*', '+', '?', '[', ']', '\\', '\\Q', '\\E', 'a?', '{0}'],
  );
  const text = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''));
  let large = 0;
  fc.assert(
    fc.property(text, (text) => {
      const made = namePattern(text);
      if (made.kind === 'bad') {
        if (/too large/.test(made.why)) large++;
        return true;
      }
      return RE2JS.compile(text).programSize() <= 5 * 2_048;
    }),
    { numRuns: 5_000 },
  );
  t.ok(large > 20, `${large} were too large`);
  for (const text of [`(${'a'.repeat(900)}){1000}`, `(${'[a-z]'.repeat(150)}){1000}`, '(x{1000}|y)'.repeat(90)])
    t.match(matches(text, 'x'), /too large/, text.slice(0, 20));
});
