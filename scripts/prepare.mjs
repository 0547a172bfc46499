// npm calls this where another project installs this one from git or from a folder, and for each
// install in a checkout. The former need dist/, which no repository contains; a checkout runs from
// its sources.
import { spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { here, root } from './setup.mjs';

const prefix = process.env.npm_config_local_prefix ?? process.env.INIT_CWD ?? '';
// `npm pack` and `npm publish` in a checkout have compiled it already, in `prepack`.
if (prefix === '' || realpathSync(prefix) !== realpathSync(root)) {
  const node = join(here, 'node.mjs');
  const { status } = spawnSync(process.execPath, [node, '--dev', join(here, 'build.mjs')], { stdio: ['ignore', 2, 2] });
  process.exitCode = status ?? 1;
}
