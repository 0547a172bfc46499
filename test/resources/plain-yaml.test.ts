import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { createFindings } from '../../src/resources/findings.ts';
import { parsePlainYaml } from '../../src/resources/plain-yaml.ts';
import { parseFullYaml, parseYaml } from '../../src/resources/yaml.ts';
import type { Value } from '../../src/resources/yaml-value.ts';
import { cpuMs } from '../cpu-time.ts';
import { KUMA, LIVE, withKuma } from '../data.ts';
import { ALLOW_ALL, EGRESS, external, MESH } from './fixtures/compiling.ts';

function full(text: string): { readonly values: readonly Value[]; readonly problems: number } {
  const findings = createFindings(false);
  const values = parseFullYaml({ path: 'a.yaml', text }, findings);
  return { values, problems: findings.problems().length };
}

/**
 * Tells whether the quick reader accepted it; then it must equal the result of the full parser,
 * which must report nothing.
 */
function agrees(text: string): boolean {
  const quick = parsePlainYaml('a.yaml', text);
  if (quick === null) return false;
  const { values, problems } = full(text);
  if (problems > 0) throw new Error(`taken, and the full parser says no: ${JSON.stringify(text)}`);
  // Maps keep their order.
  const order = (_: string, value: unknown): unknown => (value instanceof Map ? ([...value] as unknown[]) : value);
  const [ours, theirs] = [JSON.stringify(quick, order), JSON.stringify(values, order)];
  if (ours !== theirs) throw new Error(`${JSON.stringify(text)}\n${ours}\n${theirs}`);
  return true;
}

t.test('plain resource files are taken, and read as the full parser reads them', async (t) => {
  const block = `# a comment
type: ZoneIngress
name: ingress
networking:
  address: 10.0.0.1
  port: 10001

availableServices:
- tags:
    kuma.io/service: 'back end'
    version: "1"
  instances: 2
-   tags: {kuma.io/service: a, list: [1, b, [], {}, "c, d"]}
    on: true
    off: False
    what: it's a: b
`;
  t.notOk(agrees(block), 'a colon that ends a key in the middle');
  t.ok(agrees(block.replace('a: b', 'a:b')));
  for (const text of [EGRESS, MESH, ALLOW_ALL, external('es')]) t.ok(agrees(text), text);
  t.ok(agrees([EGRESS, MESH].join('---\n')));
  t.ok(agrees(`---\n${EGRESS}---\n---\n# nothing\n`));
});

t.test('what is not plain is left to the full parser', async (t) => {
  const left = [
    'a: b # comment',
    'a: |\n  text',
    'a: &x 1\nb: *x',
    'a: !!str 1',
    'a:\n\tb: c',
    'a: b\r\nc: d\r\n',
    'a: ü',
    'a:',
    'a:\nb: 1',
    'a:\n  b:\n  c: 1',
    'a: 1.5',
    'a: 0x1f',
    'a: -1',
    'a: "b\\n"',
    "a: 'b''c'",
    'a: b\n  c',
    'a: b\n  c: d',
    'a: {b}',
    'a: {b: 1',
    'a: [b: c]',
    'a: [1,2]',
    'a: 1\na: 2',
    '"a": b',
    '__proto__: {a: b}',
    '- a',
    'a',
    ' a: b',
    '%YAML 1.2\n---\na: b',
    'a: b\n...\n',
    '--- {a: b}',
    '{"a": 1}',
  ];
  for (const text of left) t.equal(parsePlainYaml('a.yaml', text), null, JSON.stringify(text));
});

t.test('what both take they read alike, whatever the text is made of', async (t) => {
  const word = fc.constantFrom(
    ...[
      'a',
      'b',
      'kuma.io/service',
      '1',
      '007',
      '1.5',
      '1e3',
      'true',
      'null',
      '~',
      '.inf',
      '0o7',
      'x y',
      'a:b',
      'a: b',
      "it's",
      '*',
      '-',
      '- ',
    ],
    ...[
      '"q"',
      "'q'",
      '"',
      "'",
      '{',
      '}',
      '[',
      ']',
      '{}',
      '[]',
      ', ',
      ',',
      ': ',
      ':',
      '#',
      ' #',
      '|',
      '&a',
      '!t',
      '?',
      '---',
      '...',
      '.',
      '/',
      '@',
      '%',
    ],
    ...[
      '\n',
      '\n',
      '\n',
      '\n  ',
      '\n  ',
      '\n    ',
      '\n- ',
      '\n  - ',
      ' ',
      '  ',
      'a: ',
      'b: ',
      'c:',
      'a: 1',
      'b: {a: 1}',
      'c: [a, b]',
    ],
  );
  let taken = 0;
  fc.assert(
    fc.property(fc.array(word, { maxLength: 14 }), (words) => {
      if (agrees(words.join(''))) taken++;
    }),
    { numRuns: 4_000 },
  );
  t.ok(taken > 50, `${taken} were taken`);
});

const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom('x', 'x y', 1, true, null, 'a:b', '10.0.0.1:80', "it's", '', 'é', '1'),
    tie('map'),
    tie('list'),
  ),
  map: fc.dictionary(fc.constantFrom('a', 'b', 'kuma.io/zone', 'true'), tie('value'), { maxKeys: 3 }),
  list: fc.array(tie('value'), { maxLength: 3 }),
})).value;

t.test('documents of every shape, as block and as flow, are read alike', async (t) => {
  const { stringify } = await import('yaml');
  let taken = 0;
  fc.assert(
    fc.property(value, fc.boolean(), fc.constantFrom(2, 4), (inner, isFlow, indent) => {
      const text = stringify(
        { a: inner },
        { collectionStyle: isFlow ? 'flow' : 'block', flowCollectionPadding: false, indent, lineWidth: 0 },
      );
      if (agrees(text)) taken++;
    }),
    { numRuns: 1_500 },
  );
  t.ok(taken > 100, `${taken} were taken`);
});

t.test('a change of one byte in a resource is never read otherwise', async (t) => {
  const text = [EGRESS, MESH, external('es', 'networking:\n  address: ext.test:443\n  tls: {enabled: true}')].join('---\n');
  t.ok(agrees(text));
  const bytes = '\n -:#{}[],"\'a1&*!|>%@?\t\\';
  for (let i = 0; i < text.length; i++) {
    for (const byte of [bytes.charAt(i % bytes.length), bytes.charAt((i * 7 + 3) % bytes.length), '']) {
      agrees(text.slice(0, i) + byte + text.slice(i + 1));
    }
  }
});

function filesTaken(...folders: readonly URL[]): number {
  return folders
    .flatMap((folder) => readdirSync(folder).map((name) => new URL(name, folder)))
    .filter((file) => file.pathname.endsWith('.yaml') && agrees(readFileSync(file, 'utf8'))).length;
}

t.test('the files of the recorded zone are read alike', async (t) => {
  const taken = filesTaken(new URL('resources/', LIVE), new URL('resources/proxies/', LIVE));
  t.ok(taken > 5, `${taken} files were taken`);
});

t.test('the files of Kuma’s own zones are read alike', withKuma, async (t) => {
  const taken = filesTaken(new URL('egress/input/', KUMA));
  t.ok(taken > 2, `${taken} files were taken`);
});

t.test('a thousand plain documents take no more than a fifth of the full parser’s time', async (t) => {
  const text = Array.from({ length: 1_000 }, (_, i) => external(`es-${i}`)).join('---\n');
  const findings = createFindings(false);
  const least = (parse: () => unknown): number => Math.min(...[1, 2, 3].map(() => cpuMs(parse)));
  const quick = least(() => parseYaml({ path: 'a.yaml', text }, findings));
  const slow = least(() => parseFullYaml({ path: 'a.yaml', text }, findings));
  t.ok(quick < slow / 5, `${Math.round(quick)} ms and ${Math.round(slow)} ms`);
});
