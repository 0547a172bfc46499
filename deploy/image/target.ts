import { existsSync, lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { readElf } from './elf.ts';
import type { Architecture } from './elf.ts';

/** The name of Debian's folders of libraries and of its tools for a processor. */
export const TRIPLETS: Readonly<Record<Architecture, string>> = { amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
const MOST_LINKS = 20;

/**
 * Returns the real place of `path` in a system whose root is the folder `root`: its links lead from
 * that root, not from the root of this machine. Null where nothing is there.
 */
export function within(root: string, path: string): string | null {
  let left = path.split('/').filter((name) => name !== '');
  let at = '/';
  let links = 0;
  while (left.length > 0) {
    const [name = '', ...rest] = left;
    const next = normalize(join(at, name));
    const about = lstatSync(join(root, next), { throwIfNoEntry: false });
    if (about === undefined) return null;
    left = rest;
    if (!about.isSymbolicLink()) at = next;
    else {
      if (++links > MOST_LINKS) throw new Error(`${path}: more than ${MOST_LINKS} links lead to it in ${root}`);
      const target = readlinkSync(join(root, next));
      if (target.startsWith('/')) at = '/';
      left = [...target.split('/').filter((part) => part !== ''), ...left];
    }
  }
  return at;
}

/**
 * Returns the libraries that a program of the system at `root` is linked with, including its
 * loader. Reads the files and starts none, so that they may be for another processor.
 */
export function librariesOf(root: string, program: string): readonly string[] {
  const found = new Set<string>();
  const waiting = [program];
  for (const path of waiting) {
    const real = within(root, path);
    if (real === null) throw new Error(`${path} is not in ${root}`);
    const { architecture, interpreter, needed } = readElf(readFileSync(join(root, real)));
    if (architecture === null) throw new Error(`${path} is for another processor than ${Object.keys(TRIPLETS).join(' and ')}`);
    for (const next of [
      ...(interpreter === null ? [] : [interpreter]),
      ...needed.map((name) => place(root, architecture, name)),
    ]) {
      if (found.has(next)) continue;
      found.add(next);
      waiting.push(next);
    }
  }
  return byFile(root, [...found]);
}

/** The loader is also a library of others, under another path. */
function byFile(root: string, paths: readonly string[]): readonly string[] {
  return [...new Map(paths.toReversed().map((path) => [within(root, path), path])).values()].toReversed();
}

function place(root: string, architecture: Architecture, name: string): string {
  const triplet = TRIPLETS[architecture];
  const folders = [`/lib/${triplet}`, `/usr/lib/${triplet}`, '/lib64', '/usr/lib64', '/lib', '/usr/lib'];
  const found = folders.map((folder) => `${folder}/${name}`).find((path) => within(root, path) !== null);
  if (found === undefined) throw new Error(`no library ${name} in ${folders.map((folder) => join(root, folder)).join(', ')}`);
  return found;
}

/** Returns the package of Debian that owns a file of the system at `root`. */
export function ownerOf(root: string, path: string): string {
  const lists = join(root, '/var/lib/dpkg/info');
  const real = within(root, path) ?? path;
  // dpkg knows a file by the path of its installation, which may be below /usr now.
  const names = new Set([path, real, real.replace(/^\/usr\//, '/')]);
  for (const list of existsSync(lists) ? readdirSync(lists) : []) {
    if (!list.endsWith('.list')) continue;
    if (
      readFileSync(join(lists, list), 'utf8')
        .split('\n')
        .some((line) => names.has(line))
    )
      return list.replace(/(:[^:]*)?\.list$/, '');
  }
  throw new Error(`no package of Debian owns ${join(dirname(root + '/'), path)}`);
}
