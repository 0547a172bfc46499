// npm test: sets up, then runs tap on the pinned Node. Arguments go to tap: `npm test -- test/wire/sni.test.ts`.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { install, nodeBinary, root } from './setup.mjs';

const node = nodeBinary();
install({ dev: true });
const tap = join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs');
const args = process.argv.slice(2);
const { status } = spawnSync(node, [tap, 'run', '--disable-coverage', '--allow-empty-coverage', ...args], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(status ?? 1);
