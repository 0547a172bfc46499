import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A package of the lockfile that the egress needs when it runs. */
export interface RuntimePackage {
  /** Its folder, from the root of the project: `node_modules/yaml`. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** `sha512-…` in Base64, as npm has it. */
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

/** Types are packages too, for those who compile against them. */
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
