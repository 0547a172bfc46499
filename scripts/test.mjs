// npm test: installs what is missing, then runs tap on the pinned Node. Arguments go to tap: `npm
// test -- test/wire/sni.test.ts`; a folder means its tests. It prints each failure at once and ends
// with a summary; the complete TAP goes to a file. With `-R NAME` a reporter of tap prints instead.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { install, nodeBinary, root } from './setup.mjs';
import { tapSummary } from './tap-summary.mjs';
import { testsOf } from './tests-of.mjs';

const DETAILS = join('.tap', 'last-run.tap');

const node = nodeBinary();
install({ dev: true });
const tap = join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs');
const args = process.argv.slice(2).flatMap((arg) => testsOf(root, arg));
const flags = ['run', '--disable-coverage', '--allow-empty-coverage'];
// Each of some two hundred test files, and each process and thread of theirs, strips the types of
// the same sources. Keeping Node's result saves a third of the CPU time.
process.env.NODE_COMPILE_CACHE ??= join(root, 'node_modules', '.cache', 'compiled');
// A terminal sends Ctrl-C to the whole group: tap ends its tests, and the summary shows how far
// they came.
process.on('SIGINT', () => {});
if (args.some((arg) => /^(-R|--reporter\b)/.test(arg))) {
  const child = spawn(node, [tap, ...flags, ...args], { cwd: root, stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => process.exit(code ?? 1));
} else await summarised();

async function summarised() {
  const startedAt = Date.now();
  const child = spawn(node, [tap, ...flags, '-R', 'tap', ...args], { cwd: root, stdio: ['inherit', 'pipe', 'inherit'] });
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  const exit = new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
  mkdirSync(join(root, '.tap'), { recursive: true });
  const details = createWriteStream(join(root, DETAILS));
  const summary = tapSummary((text) => console.log(`FAILED ${text}`));
  for await (const line of createInterface({ input: child.stdout })) {
    details.write(`${line}\n`);
    summary.line(line);
  }
  const code = await exit;
  await new Promise((resolve) => details.end(resolve));
  const { whole, files, passed, failed, skipped, skips } = summary.end();
  if (!whole) console.log('the run did not come to its end');
  for (const [reason, tests] of skipped) {
    console.log(`skipped ${tests.length}: ${reason}`);
    for (const test of tests) console.log(`  ${test}`);
  }
  console.log(`details: ${DETAILS} (TAP)`);
  console.log(`${files} files in ${Math.round((Date.now() - startedAt) / 1_000)} s`);
  const bad = code === 0 && whole ? failed : Math.max(failed, 1);
  console.log(`${passed} passed, ${bad} failed, ${skips} skipped`);
  process.exitCode = bad === 0 ? 0 : code || 1;
}
