import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Architecture } from './elf.ts';
import { ask, has, show } from './engine.ts';
import type { Engine } from './engine.ts';

const SYSTEM = /^Architecture:.*$/m;

/**
 * Makes the tree of Debian for another processor without an emulator: the packages are unpacked,
 * and their scripts do not run, because the shell of that system could not be started here.
 */
export function unpackDebian(architecture: Architecture, tree: string): void {
  const words = ['--foreign', `--arch=${architecture}`, '--variant=minbase'];
  show('debootstrap', [...words, 'bookworm', tree, 'http://deb.debian.org/debian']);
  const archives = join(tree, 'var/cache/apt/archives');
  const info = join(tree, 'var/lib/dpkg/info');
  mkdirSync(info, { recursive: true });
  const paragraphs = readdirSync(archives)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => {
      const file = join(archives, name);
      execFileSync('dpkg-deb', ['--extract', file, tree]);
      const control = execFileSync('dpkg-deb', ['--field', file], { encoding: 'utf8' }).trim();
      const paths = execFileSync('sh', ['-c', 'dpkg-deb --fsys-tarfile "$1" | tar --list', 'sh', file], { encoding: 'utf8' });
      const owner = `${/^Package: (.*)$/m.exec(control)?.[1] ?? name}${/^Multi-Arch: same$/m.test(control) ? `:${architecture}` : ''}`;
      writeFileSync(join(info, `${owner}.list`), paths.replaceAll(/^\.\/(.*?)\/?$/gm, '/$1'));
      return control.replace(SYSTEM, (line) => `Status: install ok installed\n${line}`);
    });
  writeFileSync(join(tree, 'var/lib/dpkg/status'), `${paragraphs.join('\n\n')}\n`);
  for (const name of ['debootstrap', 'var/cache/apt/archives']) rmSync(join(tree, name), { recursive: true, force: true });
}

/** Writes Node for another processor below `to`: the release that npm has under this version. */
export function unpackNode(architecture: Architecture, version: string, to: string): void {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-node-'));
  try {
    const name = `node-linux-${architecture === 'amd64' ? 'x64' : architecture}@${version}`;
    const words = ['pack', name, '--silent', '--pack-destination', dir];
    const [archive = ''] = execFileSync('npm', words, { encoding: 'utf8' }).trim().split('\n').slice(-1);
    execFileSync('tar', ['-C', dir, '-xzf', join(dir, archive), 'package/bin/node', 'package/LICENSE']);
    mkdirSync(join(to, 'bin'), { recursive: true });
    cpSync(join(dir, 'package/bin/node'), join(to, 'bin/node'));
    renameSync(join(dir, 'package/LICENSE'), join(to, 'LICENSE'));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/**
 * Puts an image for another processor beside that of this machine under the same name, as an index,
 * where builds look it up by platform.
 */
export function joinUnder(engine: Engine, name: string, [own, other]: readonly [string, string]): void {
  if (!has(engine, own)) ask(engine, ['tag', name, own]);
  ask(engine, ['rmi', name]);
  ask(engine, ['manifest', 'create', name, `containers-storage:${own}`, `containers-storage:${other}`]);
}
