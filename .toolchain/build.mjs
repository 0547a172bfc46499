// Compiles src/ to dist/ with the TypeScript that is pinned; the types stand beside the code.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

rmSync(join(root, 'dist'), { recursive: true, force: true });
const tsc = join(root, 'node_modules', '@typescript', 'native', 'lib', 'tsc.js');
const { status } = spawnSync(process.execPath, [tsc, '-p', '.toolchain/tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
process.exit(status ?? 1);
