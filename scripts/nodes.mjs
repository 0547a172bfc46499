// Runs the tests of the data path on the other supported Node lines. They are compiled first: Node
// 22 has no `await using`.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { here, install, npm, root } from './setup.mjs';

const LINES = ['22', '26'];
const TESTS = [
  'traffic',
  'identity',
  'wire',
  'egress/six-sessions.test.js',
  'egress/streams.test.js',
  'egress/origination.test.js',
  'egress/resumption.test.js',
  'egress/session-matrix.test.js',
];

install({ dev: true });
const nodes = join(here, 'nodes');
if (!existsSync(join(nodes, 'node_modules'))) npm(nodes, ['ci']);
rmSync(join(root, 'dist-tests'), { recursive: true, force: true });
let failed = 0;
if (
  run(process.execPath, [join(root, 'node_modules', '@typescript', 'native', 'lib', 'tsc.js'), '-p', 'tsconfig.tests.json']) !== 0
)
  failed++;
for (const path of ['src/starters.mjs', 'test/data'])
  cpSync(join(root, path), join(root, 'dist-tests', path), { recursive: true });
const tests = TESTS.map((name) => join('dist-tests', 'test', name)).filter((path) => existsSync(join(root, path)));
for (const line of LINES) {
  const node = join(nodes, 'node_modules', `node-${line}-${process.platform}-${process.arch}`, 'bin', 'node');
  if (!existsSync(node)) {
    console.log(`check Node ${line}: skipped, no binary for ${process.platform}-${process.arch}`);
    continue;
  }
  const tap = join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs');
  const status = run(node, [tap, 'run', '-R', 'tap', '--disable-coverage', '--allow-empty-coverage', ...tests]);
  console.log(`check Node ${line}: ${status === 0 ? 'ok' : 'failed'}`);
  if (status !== 0) failed++;
}
process.exitCode = failed === 0 ? 0 : 1;

/** Prints only failures. */
function run(command, args) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
    maxBuffer: 256 * 1024 * 1024,
  });
  if (status !== 0) process.stdout.write(stdout);
  return status ?? 1;
}
