import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A package of the lockfile that the egress needs at run time. */
export interface RuntimePackage {
  /** Its folder, relative to the root of the project: `node_modules/yaml`. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** `sha512-…` in Base64, in npm's form. */
  readonly integrity: string;
}

interface Locked {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
}

/** Packages of types are needed only to compile against the egress. */
const ONLY_TYPES: ReadonlySet<string> = new Set(['@types/node', 'undici-types']);

/** Dependencies that only a command of a package loads, which nothing here runs. */
const FOR_COMMANDS: Readonly<Record<string, readonly string[]>> = { '@grpc/proto-loader': ['yargs'] };

type Packages = Readonly<Record<string, Locked>>;

/**
 * Returns the dependencies and the optional peers, with all that they need. Nobody can install
 * those peers into an image.
 */
export function runtimePackages(root: string): readonly RuntimePackage[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Packages };
  const needed = neededBy(packages);
  return Object.entries(packages)
    .filter(([path]) => needed.has(path))
    .map(([path, { version = '', license = 'NOASSERTION', integrity = '' }]) => ({
      path,
      name: nameOf(path),
      version,
      licence: license,
      integrity,
    }))
    .filter(({ name }) => !ONLY_TYPES.has(name));
}

/** Returns the folders of all packages that the project needs when it runs. */
function neededBy(packages: Packages): ReadonlySet<string> {
  const found = new Set<string>();
  const add = (name: string, from: string): void => {
    const path = folderOf(name, from, packages);
    if (found.has(path)) return;
    found.add(path);
    const left = FOR_COMMANDS[name] ?? [];
    const { dependencies = {} } = packages[path] ?? {};
    const gone = left.filter((each) => dependencies[each] === undefined);
    if (gone.length > 0) throw new Error(`${name} has no dependency ${gone.join(', ')} any more: look at what it needs now`);
    for (const each of Object.keys(dependencies).filter((each) => !left.includes(each))) add(each, path);
  };
  const { dependencies = {}, peerDependencies = {} } = packages[''] ?? {};
  for (const name of [...Object.keys(dependencies), ...Object.keys(peerDependencies)]) add(name, '');
  return found;
}

/** As Node looks for it: beside what needs it, then further up. */
function folderOf(name: string, from: string, packages: Packages): string {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
    if (packages[path] !== undefined) return path;
    if (at === '') throw new Error(`${name}, which ${from === '' ? 'the project' : from} needs, is not in the lockfile`);
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}
