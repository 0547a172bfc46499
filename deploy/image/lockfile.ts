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
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
}

/** Packages of types are needed only to compile against the egress. */
const ONLY_TYPES: ReadonlySet<string> = new Set(['@types/node', 'undici-types']);

export function runtimePackages(root: string): readonly RuntimePackage[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, Locked>>;
  };
  return Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && dev !== true && devOptional !== true)
    .map(([path, { version = '', license = 'NOASSERTION', integrity = '' }]) => ({
      path,
      name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version,
      licence: license,
      integrity,
    }))
    .filter(({ name }) => !ONLY_TYPES.has(name));
}
