import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import type { Architecture } from './elf.ts';
import { has, show } from './engine.ts';
import type { Engine } from './engine.ts';
import { joinUnder, unpackDebian, unpackNode } from './foreign.ts';
import { ownArchitecture } from './platforms.ts';

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

export interface Bases {
  /** The host and the path of the official images, without a slash at the end. */
  readonly registry: string;
  readonly nodeVersion: string;
  readonly architecture: Architecture;
}

/**
 * Makes replacements of the two official images of the Dockerfile, where no registry of images can
 * be reached: Debian by debootstrap (which needs root), and on it the pinned Node of this project
 * with the npm of this machine. They are made once. Those for another processor are put beside
 * those of this machine, whose Node builds the program.
 */
export function makeStandIns(engine: Engine, { registry, nodeVersion, architecture }: Bases): void {
  const debian = `${registry}/debian:bookworm-slim`;
  const node = `${registry}/node:${nodeVersion}-bookworm-slim`;
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-bases-'));
  try {
    if (!has(engine, debian)) makeDebian(engine, dir, debian);
    if (!has(engine, node)) makeNode(engine, join(dir, 'node'), { debian, node });
    if (architecture !== ownArchitecture() && !has(engine, `${node}-${architecture}`))
      makeForeign(engine, dir, { debian, node, nodeVersion, architecture });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

interface Names {
  readonly debian: string;
  readonly node: string;
}

function makeForeign(engine: Engine, dir: string, of: Names & Pick<Bases, 'nodeVersion' | 'architecture'>): void {
  if (engine.name !== 'podman') throw new Error(`stand-ins for another processor need podman, not ${engine.name}`);
  const { architecture } = of;
  const tree = join(dir, 'foreign');
  unpackDebian(architecture, tree);
  importTree(engine, tree, `${of.debian}-${architecture}`, ['--os', 'linux', '--arch', architecture]);
  unpackNode(architecture, of.nodeVersion, join(dir, 'foreign-node', 'local'));
  const file = join(dir, 'foreign-node', 'Dockerfile');
  writeFileSync(file, `FROM ${of.debian}-${architecture}\nCOPY local /usr/local\n`);
  const platform = ['--platform', `linux/${architecture}`];
  show(engine.name, [...engine.build, ...platform, '--tag', `${of.node}-${architecture}`, '--file', file, dirname(file)]);
  for (const name of [of.debian, of.node]) joinUnder(engine, name, [`${name}-${ownArchitecture()}`, `${name}-${architecture}`]);
}

function makeDebian(engine: Engine, dir: string, image: string): void {
  const tree = join(dir, 'debian');
  show('debootstrap', ['--variant=minbase', 'bookworm', tree, 'http://deb.debian.org/debian']);
  importTree(engine, tree, image, []);
}

function importTree(engine: Engine, tree: string, image: string, words: readonly string[]): void {
  // Debian keeps only the licences of the documents.
  execFileSync('find', [join(tree, 'usr/share/doc'), '!', '-type', 'd', '!', '-name', 'copyright', '-delete']);
  const tar = `${tree}.tar`;
  execFileSync('tar', ['-C', tree, ...LEFT_OUT.map((path) => `--exclude=${path}`), '-cf', tar, '.']);
  show(engine.name, ['import', ...words, tar, image]);
}

function makeNode(engine: Engine, dir: string, { debian, node: image }: Names): void {
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
    `FROM ${debian}\nCOPY local /usr/local\nRUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && chmod +x /usr/local/lib/node_modules/npm/bin/npm-cli.js\n`,
  );
  show(engine.name, [...engine.build, '--tag', image, '--file', file, dir]);
}
