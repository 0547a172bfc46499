/** Tests the output of `npm test` by running it on tests that fail, hang, crash and are skipped. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const SUMMARY = new URL('../scripts/tap-summary.mjs', import.meta.url).href;
const TESTS_OF = new URL('../scripts/tests-of.mjs', import.meta.url).href;
const BEGIN = "import t from 'tap';\n";
/** A skip of a test inside of the run, not one of this file. */
const SKIPPED = JSON.stringify(Object.fromEntries([['skip', 'skipped: no data']]));
const PROGRAM = `
import { readFileSync } from 'node:fs';
const { tapSummary } = await import(process.argv[1]);
const failures = [];
const summary = tapSummary((text) => failures.push(text));
for (const line of readFileSync(0, 'utf8').split('\\n')) summary.line(line);
const { skipped, ...counts } = summary.end();
console.log(JSON.stringify({ failures, skipped: [...skipped], ...counts }));
`;

interface Summary {
  readonly failures: readonly string[];
  readonly skipped: readonly (readonly [reason: string, tests: readonly string[]])[];
  readonly whole: boolean;
  readonly files: number;
  readonly passed: number;
  readonly failed: number;
  readonly skips: number;
}

const run = promisify(execFile);

async function summaryOf(tap: string): Promise<Summary> {
  const child = run(process.execPath, ['--input-type=module', '-e', PROGRAM, SUMMARY], { encoding: 'utf8' });
  child.child.stdin?.end(tap);
  return JSON.parse((await child).stdout) as Summary;
}

function folderOfRuns(): string {
  mkdirSync('.tap', { recursive: true });
  return '.tap';
}

/** Returns the environment without the variables of the runner that runs this file. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^_?TAP|^NODE_OPTIONS$/.test(name)));
}

/** Returns the runner's output for these files. */
async function tapOf(files: Readonly<Record<string, string>>): Promise<string> {
  // Inside of the project, because the tests have to find tap; a project of its own, because the
  // runner empties the folder `.tap` of its project, to which the processes of this run write.
  const folder = mkdtempSync(join(folderOfRuns(), 'summary-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), BEGIN + text);
    const { tap: settings } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly tap: object };
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', tap: settings }));
    const tap = resolve('node_modules', 'tap', 'dist', 'esm', 'run.mjs');
    const args = ['run', '--disable-coverage', '--allow-empty-coverage', '-R', 'tap', '-j', '1'];
    const child = run(process.execPath, [tap, ...args, ...Object.keys(files)], { cwd: folder, env: plainEnvironment() });
    return (await child.catch((error: { stdout: string }) => error)).stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

t.test('a failure is printed once with its path and its difference; the counts are those of tap', async (t) => {
  const tap = await tapOf({
    'a.test.ts': `
t.test('outer', async (t) => {
  t.test('inner', async (t) => { t.equal(1, 2, 'one is two'); t.pass('fine'); });
  t.test('thrown', async () => { throw new Error('boom'); });
});`,
    'b.test.ts': `t.pass('b'); t.test('no data here', ${SKIPPED}, async () => {});`,
    'c.test.ts': "t.pass('c'); process.exit(3);",
    'd.test.ts': "t.test('it hangs', { timeout: 500 }, () => new Promise((r) => setTimeout(r, 1_000)));",
  });
  const { failures, skipped, whole, files, passed, failed, skips } = await summaryOf(tap);
  const extra = { tap };
  t.equal(failures.length, 5, 'five failures', extra);
  // The runner looks all files up at once and starts each when it was found, in any order.
  const of = (file: string) => failures.filter((failure) => failure.startsWith(file));
  t.match(of('a.test.ts')[0], /^a\.test\.ts > outer > inner > one is two\n[^]*\n {4}-2\n {4}\+1\n/, 'the difference', extra);
  t.match(of('a.test.ts')[1], /^a\.test\.ts > outer > thrown > boom\n[^]*a\.test\.ts:5/, 'the thrown error', extra);
  t.match(of('c.test.ts')[0], /^c\.test\.ts\n[^]*exitCode: 3\n/, 'the exit code', extra);
  t.match(of('d.test.ts')[0], /^d\.test\.ts > it hangs > timeout!\n/, 'the timeout', extra);
  t.same(skipped, [['no data', ['b.test.ts > no data here']]]);
  const totals = /^# \{ total: \d+, pass: (\d+), fail: (\d+), \w+: (\d+) \}/m.exec(tap)?.slice(1).map(Number);
  t.same({ whole, files, counts: [passed, failed, skips] }, { whole: true, files: 4, counts: totals });
});

t.test('a run that was cut off is not taken for a good one', async (t) => {
  const tap = await tapOf({ 'a.test.ts': "t.pass('one'); t.pass('two');" });
  t.match(await summaryOf(tap), { whole: true, passed: 2, failed: 0 });
  t.match(await summaryOf(tap.slice(0, tap.indexOf('# {'))), { whole: false, passed: 2 });
});

t.test('a folder stands for the tests in it', async (t) => {
  // The runner itself is not started here: it would empty `.tap`, to which this run writes.
  const root = t.testdir({ tests: { 'one.test.ts': '', 'none.ts': '', inner: { 'two.test.ts': '' } }, bare: { 'none.ts': '' } });
  const program = `
const { testsOf } = await import(process.argv[1]);
console.log(JSON.stringify(['tests', 'tests/one.test.ts', '-R', 'bare', 'absent'].map((arg) => testsOf(process.argv[2], arg))));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program, TESTS_OF, root]);
  t.same(JSON.parse(stdout), [
    ['tests/inner/two.test.ts', 'tests/one.test.ts'],
    ['tests/one.test.ts'],
    ['-R'],
    ['bare'],
    ['absent'],
  ]);
});
