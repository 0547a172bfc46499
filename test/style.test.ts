/** Rules for each file of the product that the linter does not check. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path/posix';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';

const MAX_LINES = 60;
const MAX_COLUMNS = 100;
/** A type guard, a better type or a generic makes most casts unnecessary: take this down, not up. */
const MAX_CASTS = 150;
/** The begin of the sentence that justifies a longer function in its comment. */
const REASON = /\bOver 60 lines: \S.{10,}/;

const root = fileURLToPath(new URL('..', import.meta.url));
const files = filesIn('src');

function filesIn(folder: string): readonly { readonly path: string; readonly text: string }[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return filesIn(path);
    return entry.name.endsWith('.ts') ? [{ path, text: readFileSync(join(root, path), 'utf8') }] : [];
  });
}

/**
 * Finds functions over 60 lines without a reason in their comment; functions inside of one with a
 * reason are part of it.
 */
function longFunctions(path: string, text: string): readonly string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const lineAt = (position: number): number => source.getLineAndCharacterOfPosition(position).line;
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const lines = lineAt(node.end) - lineAt(node.getStart()) + 1;
      const comment = node.getFullText().slice(0, node.getStart() - node.getFullStart());
      if (lines > MAX_LINES && REASON.test(comment.replace(/\n\s*\*/g, ''))) return;
      if (lines > MAX_LINES) found.push(`${path}:${lineAt(node.getStart()) + 1}: ${lines} lines`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Casts (`as X`), without `as const`. */
function castsIn(path: string, text: string): number {
  let count = 0;
  const visit = (node: ts.Node): void => {
    if (ts.isAsExpression(node) && node.type.getText() !== 'const') count++;
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return count;
}

function wideComments(path: string, text: string): readonly string[] {
  return text
    .split('\n')
    .flatMap((line, i) => (/^\s*(\/\/|\*|\/\*)/.test(line) && line.length > MAX_COLUMNS ? [`${path}:${i + 1}`] : []));
}

t.test('no function is over 60 lines without a reason beside it', async (t) => {
  t.ok(files.length > 300, `${files.length} files`);
  t.same(
    files.flatMap(({ path, text }) => longFunctions(path, text)),
    [],
  );
});

t.test('casts do not grow in number', async (t) => {
  const casts = files.reduce((sum, { path, text }) => sum + castsIn(path, text), 0);
  t.ok(casts <= MAX_CASTS, `${casts} casts; allowed are ${MAX_CASTS}`);
});

t.test('no line of a comment is over 100 columns', async (t) => {
  t.same(
    files.flatMap(({ path, text }) => wideComments(path, text)),
    [],
  );
});

/**
 * Pairs of similar exported names that are allowed, with the reason. Names that differ in a digit
 * (`Http1Line`, `Http2Line`) are distinct.
 */
const NEAR_NAMES: ReadonlyMap<string, string> = new Map([
  ['Finding Findings', 'one of an xDS stream, and the collector of those in files: each stays in its room'],
  ['checkSource checkSources', 'the source that an embedder hands in, and the options that name one'],
  ['OwnListener OwnListeners', 'one address, and the object that keeps all'],
  ['Translate Translated', 'what does it, and what it gives'],
]);

type Sort = 'type' | 'value' | 'constant';

interface Exported {
  readonly name: string;
  readonly sort: Sort;
  readonly path: string;
}

function exportsOf(path: string, text: string): readonly Exported[] {
  const form = /^export (?:async )?(?:abstract )?(?:function\*?|class|const|let|interface|type) (\w+)/gm;
  return [...text.matchAll(form)].map(([, name = '']) => ({
    name,
    path,
    sort: /^[A-Z0-9_]+$/.test(name) ? 'constant' : /^[A-Z]/.test(name) ? 'type' : 'value',
  }));
}

/** Tells whether two names differ by one added, missing or changed letter, ignoring case. */
function areNear(a: string, b: string): boolean {
  if (a.replace(/\D/g, '') !== b.replace(/\D/g, '')) return false;
  const [one, other] = [a, b].map((name) => name.toLowerCase().replaceAll('_', '')) as [string, string];
  if (one === other) return true;
  if (Math.abs(one.length - other.length) > 1 || Math.max(one.length, other.length) < 6) return false;
  let same = 0;
  while (same < one.length && one[same] === other[same]) same++;
  const [restOfOne, restOfOther] = [one.slice(same), other.slice(same)];
  return [
    [restOfOne.slice(1), restOfOther.slice(1)],
    [restOfOne, restOfOther.slice(1)],
    [restOfOne.slice(1), restOfOther],
  ].some(([x, y]) => x === y);
}

/**
 * A type and the function that makes it may share a name (`Snapshot`, `snapshot`): only names of
 * one sort are compared.
 */
function nearNames(all: readonly Exported[]): readonly string[] {
  return all.flatMap((one, i) =>
    all
      .slice(i + 1)
      .filter((other) => other.sort === one.sort && other.name !== one.name && areNear(one.name, other.name))
      .map((other) => [one.name, other.name].sort().join(' ')),
  );
}

t.test('no two exported names differ in a letter, a case or a plural only', async (t) => {
  const all = files.flatMap(({ path, text }) => exportsOf(path, text));
  t.ok(all.length > 1_000, `${all.length} names`);
  const near = new Set(nearNames(all));
  t.same(
    [...near].filter((pair) => !NEAR_NAMES.has(pair)),
    [],
  );
  t.same(
    [...NEAR_NAMES.keys()].filter((pair) => !near.has(pair)),
    [],
    'each exception is one',
  );
});

/**
 * A port that was taken with `listen(0)` and given back, to listen on it later or to be refused:
 * another process may have it by then.
 */
const GIVEN_BACK: readonly RegExp[] = [
  /\blisten\((?:0|\{ port: 0)[^\n]*\n(?:[^\n]*(?:'listening'|\bconst (?:\w+|\{ \w+ \}) =)[^\n]*\n){0,3}(?![^\n]*(?:teardown|close:))[^\n]*\.close\(/,
  /const (\w+) = await (?:create|start)\w+\((?![^;]*\bport\b)[^;]*;\s*(?:const \{[^}]*\} = \1;\s*)?(?:await )?\1\.(?:close|stop)\(\)[^]*\bport\b/,
];

function takesPortsWithoutHolding(path: string, text: string): readonly string[] {
  return GIVEN_BACK.some((form) => form.test(text)) ? [path] : [];
}

t.test('tests and measurements take ports to be used later from test/free-ports.ts', async (t) => {
  const others = [...filesIn('test'), ...filesIn('perf')].filter(({ path }) => path !== 'test/style.test.ts');
  t.ok(others.length > 300, `${others.length} files`);
  t.same(
    others.flatMap(({ path, text }) => takesPortsWithoutHolding(path, text)),
    [],
  );
});

/**
 * Words that make the subject of a sentence a riddle, and openings that leave its subject out. A
 * comment names the client, the caller or the operator instead.
 */
const WORDS = /\b(?:nobody|whoever|somebody|anybody|everybody|told(?! apart)|said|whom)\b/i;
const OPENINGS = /^(?:What|Who|Whose|Whom|Of|By|Such|Those|Whether)\b/;

/** Comments of a file as text, one for each block, without code in backticks. */
function commentsOf(path: string, text: string): readonly { readonly at: string; readonly text: string }[] {
  const form = /^[ \t]*\/\*\*?([^]*?)\*\/|(?:^[ \t]*\/\/.*\n?)+|(?<=[;,{})] )\/\/ .*$/gm;
  return [...text.matchAll(form)].map((match) => ({
    at: `${path}:${text.slice(0, match.index).split('\n').length}`,
    text: (match[1] ?? match[0])
      .replace(/^[ \t]*(?:\/\*\*?|\*\/|\*|\/\/) ?/gm, '')
      .replace(/`[^`]*`/g, '`')
      .trim(),
  }));
}

function riddles(path: string, text: string): readonly string[] {
  return commentsOf(path, text)
    .filter((comment) => WORDS.test(comment.text) || OPENINGS.test(comment.text))
    .map(({ at, text: found }) => `${at}: ${found.slice(0, 60)}`);
}

t.test('no comment leaves open who does a thing: its sentences name their subject', async (t) => {
  t.ok(files.flatMap(({ path, text }) => commentsOf(path, text)).length > 3_000, 'the comments are found');
  t.same(
    files.flatMap(({ path, text }) => riddles(path, text)),
    [],
  );
});

/** Names that two files export on purpose, with the reason. */
const SHARED_NAMES: ReadonlyMap<string, string> = new Map([
  ['createFakeControlPlane', 'the entry of the package loads the file of that name on demand'],
  ['fakeConfiguration', 'the same'],
]);

function sharedNames(all: readonly Exported[]): readonly string[] {
  const paths = new Map<string, Set<string>>();
  for (const { name, path } of all) paths.set(name, (paths.get(name) ?? new Set()).add(path));
  return [...paths].filter(([, { size }]) => size > 1).map(([name]) => name);
}

t.test('no name is exported by two files', async (t) => {
  const shared = sharedNames(files.flatMap(({ path, text }) => exportsOf(path, text)));
  t.same([...shared].sort(), [...SHARED_NAMES.keys()].sort());
});

t.test('these checks find what they look for', async (t) => {
  const body = '  call();\n'.repeat(60);
  t.same(longFunctions('a.ts', `function f() {\n${body}}`), ['a.ts:1: 62 lines']);
  t.same(longFunctions('a.ts', `const f = () => {\n${body}};`), ['a.ts:1: 62 lines']);
  t.same(longFunctions('a.ts', `class A {\n  f() {\n${body}  }\n}`), ['a.ts:2: 62 lines']);
  t.same(longFunctions('a.ts', `// Over 60 lines: for no reason at all.\n\nconst a = 1;\nfunction f() {\n${body}}`).length, 1);
  t.same(longFunctions('a.ts', `/**\n * Does it. Over 60\n * lines: it is a list.\n */\nfunction f() {\n${body}}`), []);
  t.same(longFunctions('a.ts', `function f() {\n${'  call();\n'.repeat(58)}}`), []);
  t.same(wideComments('a.ts', `// ${'x'.repeat(97)}\n  // ${'x'.repeat(97)}\nconst a = '${'x'.repeat(120)}';`), ['a.ts:2']);

  const listening = "const server = createServer().listen(0, '127.0.0.1');\n  await once(server, 'listening');\n";
  const closing = "  server.close();\n  await once(server, 'close');\n";
  const port = '  const { port } = server.address() as AddressInfo;\n';
  t.same(takesPortsWithoutHolding('a.ts', `${listening}${port}${closing}  return port;\n}`), ['a.ts']);
  t.same(takesPortsWithoutHolding('a.ts', `${listening}${port}${closing}  await connect(port);\n`), ['a.ts']);
  t.same(
    takesPortsWithoutHolding('a.ts', 'const dead = await createFake();\n  await dead.close();\n  await connect(dead.port);\n'),
    ['a.ts'],
  );
  t.same(
    takesPortsWithoutHolding('a.ts', 'const dead = await createFake({ port: await freePort() });\n  await dead.close();'),
    [],
  );
  const answers = '  await answerOf(port);\n'.repeat(20);
  t.same(takesPortsWithoutHolding('a.ts', `${listening}${port}${answers}${closing}`), []);
  t.same(takesPortsWithoutHolding('a.ts', `${listening}  t.teardown(async () => {\n  ${closing}});\n${port}  return port;`), []);

  t.equal(castsIn('a.ts', "const a = b as C, d = e as unknown as F, g = ['h'] as const; // i as J"), 3);

  const near = (...texts: readonly string[]): readonly string[] => nearNames(texts.flatMap((text) => exportsOf('a.ts', text)));
  t.same(near('export interface Decision {', 'export class Decisions {'), ['Decision Decisions']);
  t.same(near('export function readThing(', 'export async function readThings('), ['readThing readThings']);
  t.same(near('export const hostName = 1', 'export const hostname = 2'), ['hostName hostname']);
  t.same(near('export type Listen =', 'export type Listed ='), ['Listed Listen']);
  t.same(near('export interface Snapshot {', 'export function snapshot('), []);
  t.same(near('export class Http1Line {', 'export class Http2Line {'), []);

  t.same(riddles('a.ts', '/** Of a client. */\nconst a = 1;\n// Told by nobody.\n'), [
    'a.ts:1: Of a client.',
    'a.ts:3: Told by nobody.',
  ]);
  t.same(
    riddles('a.ts', 'const a = 1; // what somebody wrote\n/**\n * Returns the client that\n * everybody knows.\n */').length,
    2,
  );
  t.same(riddles('a.ts', "/** Calls `told` for names that can be told apart. */\nconst a = 'nobody';"), []);
  t.same(sharedNames([...exportsOf('a.ts', 'export type Found ='), ...exportsOf('b.ts', 'export interface Found {')]), ['Found']);
  t.same(
    sharedNames([...exportsOf('a.ts', 'export type Found =\nexport function Found('), ...exportsOf('b.ts', 'type Found =')]),
    [],
  );
});
