// The package as a person makes it: packed in a clone, without a build before and without a flag,
// and unpacked into an empty project.
import { execFileSync } from 'node:child_process';
import type { ExecFileSyncOptionsWithStringEncoding } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export const root: string = join(import.meta.dirname, '..');

/** Without the variables that the test runner sets for its children. */
export const env: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.includes('TAP'))),
  NODE_OPTIONS: '',
};

export function npm(args: readonly string[], cwd: string): string {
  const cli = process.env.npm_execpath;
  const options: ExecFileSyncOptionsWithStringEncoding = { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] };
  return cli?.endsWith('.js') === true
    ? execFileSync(process.execPath, [cli, ...args], options)
    : execFileSync('npm', [...args], options);
}

/**
 * Copies the project as a clone has it, with uncommitted changes; the installed packages are those
 * of the project.
 */
export function clone(dir: string): string {
  const git = (args: readonly string[]): string => execFileSync('git', [...args], { cwd: root, env, encoding: 'utf8' });
  for (const name of git(['ls-files', '-co', '--exclude-standard', '-z']).split('\0')) {
    if (name === '' || !existsSync(join(root, name))) continue;
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    copyFileSync(join(root, name), join(dir, name));
  }
  for (const name of ['node_modules', 'scripts/node_modules']) symlinkSync(join(root, name), join(dir, name));
  return dir;
}

export interface Packed {
  /** An empty project of ES modules. */
  readonly project: string;
  readonly tarball: string;
  /** The package in it. */
  readonly installed: string;
}

export function pack(): Packed {
  const project = mkdtempSync(join(tmpdir(), 'zone-egress-package-'));
  const installed = join(project, 'node_modules', 'zone-egress');
  npm(['pack', '--pack-destination', project], clone(join(project, 'clone')));
  rmSync(join(project, 'clone'), { recursive: true });
  const tarball = join(project, readdirSync(project).find((name) => name.endsWith('.tgz')) ?? 'nothing was packed');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  // Its dependencies as they are here; nothing else of the project beside them.
  symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  return { project, tarball, installed };
}
