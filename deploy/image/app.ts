import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RuntimePackage } from './lockfile.ts';

/** The place of the program in the image. */
export const HOME = 'opt/zone-egress';

const CODE = /\.(?:[cm]?js|json|node|wasm|proto)$/;
/** Code, and what the page of the admin listener gives to browsers. */
const PROGRAM = /\.(?:js|mjs|json|css|svg)$/;
const LICENCE = /^(?:licen[cs]e|copying|notice)[^/]*$/i;
/**
 * Only at the top of a package: deeper down such a name is code (yaml/dist/doc). Node never loads
 * files for browsers.
 */
const UNUSED = /^(?:tests?|examples?|benchmarks?|docs?|browser)\//;
/**
 * The builds of packages for browsers, and those for a module system by which nothing here loads
 * the package. A package that is no longer laid out like this fails the build.
 */
const OTHER_BUILDS: Readonly<Record<string, RegExp>> = {
  // Loaded by `import` only.
  '@bufbuild/protobuf': /^dist\/cjs\//,
  'lru-cache': /^dist\/(?:commonjs\/|esm\/(?:browser|react-native)\/|esm\/(?:node\/)?index\.js$)/,
  re2js: /^build\/index\.(?:umd\.js|cjs)$/,
  ...Object.fromEntries(
    ['core', 'otlp-transformer', 'resources', 'sdk-logs', 'sdk-metrics', 'sdk-trace'].map((name) => [
      `@opentelemetry/${name}`,
      /^dist\/(?:.*\.cjs$|(?:.*\/)?platform\/browser\/)/,
    ]),
  ),
  // The incubating names have an entry of their own, which nothing here loads.
  '@opentelemetry/semantic-conventions': /^dist\/(?:.*\.cjs$|experimental_|index-incubating\.)/,
  // A command, which nothing here runs.
  '@grpc/proto-loader': /^build\/bin\//,
  // Loaded by `require` only.
  long: /^index\.js$/,
  '@js-sdsl/ordered-map': /^dist\/(?:umd|esm)\//,
  // Bundles of what lies beside them.
  bintrees: /^dist\//,
  'node-forge': /^dist\//,
  protobufjs: /^dist\//,
};

/**
 * Writes the program below `out`/opt/zone-egress: what it runs and what its licences require,
 * nothing else.
 */
export function writeApp(root: string, out: string, packages: readonly RuntimePackage[]): void {
  const home = join(out, HOME);
  copyFiles(join(root, 'dist', 'src'), join(home, 'dist', 'src'), (name) => PROGRAM.test(name));
  copyFiles(join(root, 'generated'), join(home, 'generated'), (name) => CODE.test(name));
  const found = new Set<string>();
  for (const { path, name: of } of packages)
    copyFiles(join(root, path), join(home, path), (name) => {
      if (name.startsWith('node_modules/') || UNUSED.test(name)) return false;
      const isOther = OTHER_BUILDS[of]?.test(name) === true;
      if (isOther) found.add(of);
      return !isOther && (CODE.test(name) || LICENCE.test(name));
    });
  const gone = Object.keys(OTHER_BUILDS).filter((of) => !found.has(of));
  if (gone.length > 0) throw new Error(`the build that is left out of ${gone.join(', ')} is not there: look at what it has now`);
  for (const name of ['LICENSE', 'NOTICE']) copyFileSync(join(root, name), join(home, name));
  const { name, version, type, license, imports, dependencies } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Record<string, unknown>;
  writeFileSync(
    join(home, 'package.json'),
    `${JSON.stringify({ name, version, type, license, imports, dependencies }, null, 2)}\n`,
  );
  mkdirSync(join(home, 'bin'));
  copyFileSync(join(import.meta.dirname, 'zone-egress.mjs'), join(home, 'bin', 'zone-egress.mjs'));
  chmodSync(join(home, 'bin', 'zone-egress.mjs'), 0o755);
}

/**
 * Joins the licences of Node and of every package in one text; a package without a licence file is
 * listed with its licence.
 */
export function licences(root: string, nodeLicence: string, packages: readonly RuntimePackage[]): string {
  const parts = packages.map(({ path, name, version, licence }) => {
    const files = readdirSync(join(root, path)).filter((file) => LICENCE.test(file));
    const texts = files.map((file) => readFileSync(join(root, path, file), 'utf8').trim());
    return `${name} ${version} (${licence})\n\n${texts.length === 0 ? 'The package holds no text of its licence.' : texts.join('\n\n')}`;
  });
  return [`Node.js\n\n${nodeLicence.trim()}`, ...parts].join(`\n\n${'-'.repeat(80)}\n\n`) + '\n';
}

/** Makes folders only for files, so that none is empty. */
function copyFiles(from: string, to: string, wanted: (name: string) => boolean): void {
  if (!existsSync(from)) throw new Error(`${from} is not there: build and install first`);
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(from.length + 1);
    if (!wanted(name)) continue;
    mkdirSync(dirname(join(to, name)), { recursive: true });
    copyFileSync(path, join(to, name));
  }
}
