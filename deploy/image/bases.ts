import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { has, show } from './engine.ts';
import type { Engine } from './engine.ts';

/** The files that Debian's own slim image leaves out. */
const LEFT_OUT = [
  './var/cache/apt/*',
  './var/lib/apt/lists/*',
  './usr/share/locale/*',
  './usr/share/man/*',
  './usr/share/info/*',
  './dev/*',
  './proc/*',
  './sys/*',
];

export const DEBIAN = 'docker.io/library/debian:bookworm-slim';

/**
 * Makes replacements of the two official images of the Dockerfile, where no registry of images can
 * be reached: Debian by debootstrap (which needs root), and on it the pinned Node of this project
 * with the npm of this machine. They are made once.
 */
export function makeStandIns(engine: Engine, nodeImage: string): void {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-bases-'));
  try {
    if (!has(engine, DEBIAN)) makeDebian(engine, dir);
    if (!has(engine, nodeImage)) makeNode(engine, join(dir, 'node'), nodeImage);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function makeDebian(engine: Engine, dir: string): void {
  const tree = join(dir, 'debian');
  show('debootstrap', ['--variant=minbase', 'bookworm', tree, 'http://deb.debian.org/debian']);
  // Debian keeps only the licences of the documents.
  execFileSync('find', [join(tree, 'usr/share/doc'), '!', '-type', 'd', '!', '-name', 'copyright', '-delete']);
  const tar = join(dir, 'debian.tar');
  execFileSync('tar', ['-C', tree, ...LEFT_OUT.map((path) => `--exclude=${path}`), '-cf', tar, '.']);
  show(engine.name, ['import', tar, DEBIAN]);
}

function makeNode(engine: Engine, dir: string, image: string): void {
  const bin = join(dir, 'local', 'bin');
  mkdirSync(bin, { recursive: true });
  cpSync(process.execPath, join(bin, 'node'));
  const licence = join(dirname(dirname(process.execPath)), 'LICENSE');
  if (!existsSync(licence)) throw new Error(`the licence of Node is not at ${licence}`);
  cpSync(licence, join(dir, 'local', 'LICENSE'));
  const modules = execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim();
  cpSync(join(modules, 'npm'), join(dir, 'local', 'lib', 'node_modules', 'npm'), { recursive: true });
  const file = join(dir, 'Dockerfile');
  writeFileSync(
    file,
    `FROM ${DEBIAN}\nCOPY local /usr/local\nRUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && chmod +x /usr/local/lib/node_modules/npm/bin/npm-cli.js\n`,
  );
  show(engine.name, [...engine.build, '--tag', image, '--file', file, dir]);
}
