// Plain JavaScript for any Node from 18 on: installs what the lockfiles name, once per content of a lockfile, and finds the Node to run on.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const root = dirname(here);

const FLOOR = [22, 23];

/** Installs the dependencies where they are missing or older than the lockfile. `dev: false` leaves out what only tests and checks need. */
export function install({ dev }) {
  const lock = hash(join(root, 'package-lock.json'));
  const stamp = join(root, 'node_modules', '.installed');
  const done = existsSync(stamp) ? readFileSync(stamp, 'utf8').trim().split(' ') : [];
  if (done[0] === lock && (done[1] === 'dev' || !dev)) return;
  npm(root, dev ? ['ci'] : ['ci', '--omit=dev']);
  if (dev) run(nodeBinary(), [join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs'), 'build'], root);
  writeFileSync(stamp, `${lock} ${dev ? 'dev' : 'prod'}\n`);
}

/** The pinned Node of this platform; else the running one, where it is new enough; else an error in one line. */
export function nodeBinary() {
  const pinned = join(here, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (!existsSync(pinned) || !current()) npm(here, ['ci']);
  if (existsSync(pinned)) {
    writeFileSync(join(here, 'node_modules', '.installed'), hash(join(here, 'package-lock.json')));
    return pinned;
  }
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > FLOOR[0] || (major === FLOOR[0] && minor >= FLOOR[1])) return process.execPath;
  console.error(
    `zone-egress: no Node.js for ${process.platform}-${process.arch} in .toolchain, and the running one is ${process.version} (needed: ${FLOOR.join('.')} or later)`,
  );
  process.exit(1);
}

function current() {
  const stamp = join(here, 'node_modules', '.installed');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hash(join(here, 'package-lock.json'));
}

/** Of the npm that started this, where one did. */
export function npm(cwd, args) {
  console.error(`zone-egress: npm ${args.join(' ')} in ${relative(root, cwd) || 'the project'} (once)`);
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const cli = process.env.npm_execpath;
  if (cli && /\.c?js$/.test(cli)) run(process.execPath, [cli, ...args, ...flags], cwd);
  else run(process.platform === 'win32' ? 'npm.cmd' : 'npm', [...args, ...flags], cwd);
}

function run(command, args, cwd) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([key]) => !/^npm_(config_|package_|lifecycle_)/.test(key) || /^npm_config_(cache|registry|cafile)$/.test(key),
    ),
  );
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: ['ignore', 2, 2] });
  if (error || status !== 0) {
    console.error(`zone-egress: ${command} ${args.join(' ')} ended with ${error ? error.message : `status ${status}`}`);
    process.exit(1);
  }
}

function hash(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
