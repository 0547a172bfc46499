// Compiles src/ to dist/ with the pinned TypeScript; the types are beside the code. A failure
// leaves no dist/, so that nothing packs or runs an older one. It prints nothing on standard
// output, which `npm pack --json` needs for itself.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const ENTRIES = [
  'main.js',
  'worker.js',
  'config-thread.js',
  'egress.js',
  'egress.d.ts',
  'testing/public.js',
  'testing/public.d.ts',
  'admin/page/console.css',
  'admin/page/console.js',
  'admin/page/icon.svg',
];

const dist = join(root, 'dist');
rmSync(dist, { recursive: true, force: true });
const tsc = join(root, 'node_modules', '@typescript', 'native', 'lib', 'tsc.js');
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: ['ignore', 2, 2],
});
// Plain JavaScript for any Node; the compiler does not copy it.
cpSync(join(root, 'src', 'starters.mjs'), join(dist, 'src', 'starters.mjs'));
// What browsers get as it is.
for (const name of ['console.css', 'console.js', 'icon.svg'])
  cpSync(join(root, 'src', 'admin', 'page', name), join(dist, 'src', 'admin', 'page', name));
const missing = ENTRIES.filter((name) => !existsSync(join(dist, 'src', name)));
if (status !== 0 || missing.length > 0) {
  rmSync(dist, { recursive: true, force: true });
  console.error(
    `zone-egress: src could not be compiled to dist${missing.length === 0 ? '' : `: there is no ${missing.join(', ')}`}`,
  );
  process.exitCode = 1;
}
