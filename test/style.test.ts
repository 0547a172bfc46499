/** What the house asks of each file of the product beside what the linter asks. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path/posix';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';

const MAX_LINES = 60;
const MAX_COLUMNS = 100;
/** How the comment of a longer function begins the sentence that says why. */
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

/** Functions over 60 lines without a reason beside them; what is inside one with a reason is its part. */
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

t.test('no line of a comment is over 100 columns', async (t) => {
  t.same(
    files.flatMap(({ path, text }) => wideComments(path, text)),
    [],
  );
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
});
