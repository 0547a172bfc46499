// Installs what the lockfiles name, once per content of a lockfile, and finds the Node to run on.
// Plain JavaScript for any Node from 18 on.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const root = dirname(here);

const FLOOR = [22, 23];

/**
 * Installs dependencies that are missing or differ from the lockfile. `dev: false` does not need
 * what only tests and checks use, and does not remove it. `tap` also builds the test runner, once
 * per content of the lockfile.
 */
export function install({ dev, tap = dev }) {
  const stamp = join(root, 'node_modules', '.installed');
  const made = `${hash(join(root, 'package-lock.json'))} dev\n`;
  const isMade = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === made;
  const there = installed(isMade());
  if (!there.runtime || (dev && !there.dev)) npm(root, dev || there.someDev ? ['ci'] : ['ci', '--omit=dev']);
  if (!tap || isMade()) return;
  run(nodeBinary(), [join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs'), 'build'], root);
  writeFileSync(stamp, made);
}

/**
 * Finds what node_modules has of the lockfile, by npm's own list there, or by the folders where
 * this lockfile was installed completely before.
 */
function installed(before) {
  const wanted = Object.entries(packagesOf(join(root, 'package-lock.json'))).filter(([path]) => path !== '');
  const found = packagesOf(join(root, 'node_modules', '.package-lock.json'));
  const isDev = ([, { dev, devOptional }]) => dev === true || devOptional === true;
  const isThere = ([path, { version, integrity, optional }]) => {
    const one = found[path];
    if (optional === true && (before || one === undefined)) return true;
    return existsSync(join(root, path, 'package.json')) && (before || (one?.version === version && one.integrity === integrity));
  };
  return {
    runtime: wanted.filter((each) => !isDev(each)).every(isThere),
    dev: wanted.filter(isDev).every(isThere),
    someDev: wanted.some((each) => isDev(each) && existsSync(join(root, each[0], 'package.json'))),
  };
}

function packagesOf(lockfile) {
  try {
    return JSON.parse(readFileSync(lockfile, 'utf8')).packages ?? {};
  } catch {
    return {};
  }
}

/**
 * Returns the pinned Node of this platform; else the running one, where it is new enough; else
 * throws an error of one line.
 */
export function nodeBinary() {
  const windows = process.platform === 'win32';
  const name = `node-${windows ? 'win' : process.platform}-${process.arch}`;
  const pinned = join(here, 'node_modules', name, 'bin', windows ? 'node.exe' : 'node');
  if (existsSync(pinned) && current()) return pinned;
  npm(here, ['ci']);
  if (existsSync(pinned)) {
    // Written in one step: another process that starts now must not read half of it and install
    // once more under the running ones.
    const stamp = join(here, 'node_modules', '.installed');
    writeFileSync(`${stamp}.${process.pid}`, hash(join(here, 'package-lock.json')));
    renameSync(`${stamp}.${process.pid}`, stamp);
    return pinned;
  }
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > FLOOR[0] || (major === FLOOR[0] && minor >= FLOOR[1])) return process.execPath;
  console.error(
    `zone-egress: no Node.js for ${process.platform}-${process.arch} in scripts, and the running one is ${process.version} (needed: ${FLOOR.join('.')} or later)`,
  );
  process.exit(1);
}

function current() {
  const stamp = join(here, 'node_modules', '.installed');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hash(join(here, 'package-lock.json'));
}

/** Runs the npm that started this process, where there is one. */
export function npm(cwd, args) {
  console.error(`zone-egress: npm ${args.join(' ')} in ${relative(root, cwd) || 'the project'} (once)`);
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const cli = process.env.npm_execpath;
  if (cli && /\.c?js$/.test(cli)) run(process.execPath, [cli, ...args, ...flags], cwd);
  // On Windows npm is a batch file, which only a shell starts.
  else run('npm', [...args, ...flags], cwd, { shell: process.platform === 'win32' });
}

function run(command, args, cwd, options = {}) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([key]) =>
        !/^npm_(config_|package_|lifecycle_)/.test(key) ||
        /^npm_config_(cache|registry|cafile|offline|prefer_offline|proxy|https_proxy|noproxy|userconfig)$/.test(key),
    ),
  );
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: ['ignore', 2, 2], ...options });
  if (error || status !== 0) {
    console.error(`zone-egress: ${command} ${args.join(' ')} ended with ${error ? error.message : `status ${status}`}`);
    process.exit(1);
  }
}

function hash(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
