// Runs the checks: types, lint, dead code and dependencies, formatting. Prints `check NAME:
// ok|failed`; exits with 1 when one failed.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { install, root } from './setup.mjs';

install({ dev: true });
const bin = (name) => join(root, 'node_modules', '.bin', name);
const sources = ['src', 'test', 'perf', 'deploy/**/*.{ts,mjs}', 'scripts/*.mjs', 'package.json', 'tsconfig.json'].filter(
  (path) => path.includes('*') || existsSync(join(root, path)),
);
// What a browser runs knows the document, and nothing of Node.
const BROWSER = [
  '--ignoreConfig',
  '--noEmit',
  '--allowJs',
  '--checkJs',
  '--strict',
  '--target',
  'es2024',
  '--module',
  'esnext',
].concat(['--lib', 'es2024,dom,dom.iterable', '--types', '', 'src/admin/page/console.js']);
const checks = [
  ['types', bin('tsc'), ['--noEmit', '-p', 'tsconfig.json']],
  ['types of the page for browsers', bin('tsc'), BROWSER],
  ['lint', bin('eslint'), ['--max-warnings', '0', 'src', 'test', 'perf', 'deploy']],
  ['dead code and dependencies', bin('knip'), []],
  ['formatting', bin('prettier'), ['--check', '--log-level', 'warn', ...sources]],
];
let failed = 0;
for (const [name, command, args] of checks) {
  const { status } = spawnSync(process.execPath, [command, ...args].flat(), {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  console.log(`check ${name}: ${status === 0 ? 'ok' : 'failed'}`);
  if (status !== 0) failed++;
}
console.log(`checks: ${checks.length - failed} ok, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
