// Runs the tests that read files beside the clone once more, in a copy of the working tree with
// nothing beside it. `test/skips.test.ts` ensures that no other test reads there. Arguments: tests
// to run instead.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { install, nodeBinary, root } from './setup.mjs';

const node = nodeBinary();
install({ dev: true });
const { stdout } = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
});
const files = stdout.split('\0').filter((file) => file !== '' && existsSync(join(root, file)));
const readers = files.filter(
  (file) => /^test\/.*\.test\.ts$/.test(file) && /\bwithKuma\b/.test(readFileSync(join(root, file), 'utf8')),
);
const tests = process.argv.length > 2 ? process.argv.slice(2) : readers;

const alone = mkdtempSync(join(tmpdir(), 'zone-egress-alone-'));
try {
  const clone = join(alone, 'clone');
  for (const file of files) {
    mkdirSync(dirname(join(clone, file)), { recursive: true });
    cpSync(join(root, file), join(clone, file));
  }
  for (const modules of ['node_modules', join('scripts', 'node_modules')])
    symlinkSync(join(root, modules), join(clone, modules), 'dir');
  console.log(`${tests.length} files of tests in a copy without ../shared`);
  const { status } = spawnSync(node, [join('scripts', 'test.mjs'), ...tests], { cwd: clone, stdio: 'inherit' });
  const details = join('.tap', 'last-run-alone.tap');
  if (existsSync(join(clone, '.tap', 'last-run.tap'))) {
    mkdirSync(join(root, '.tap'), { recursive: true });
    cpSync(join(clone, '.tap', 'last-run.tap'), join(root, details));
    console.log(`kept as ${details}`);
  }
  process.exitCode = status ?? 1;
} finally {
  rmSync(alone, { recursive: true, force: true });
}
