// npm run image -- [options]: builds the image, with docker, podman or buildah, whichever exists.
// docs/deploy/container.md describes the options and the checks of --check.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeStandIns } from './bases.ts';
import { checkImage } from './check.ts';
import { findEngine, show } from './engine.ts';
import type { Engine } from './engine.ts';

const VARIANTS = ['slim', 'minimal'] as const;
const root = join(import.meta.dirname, '..', '..');

const { values } = parseArgs({
  options: {
    engine: { type: 'string' },
    tag: { type: 'string', default: 'zone-egress' },
    registry: { type: 'string', default: 'docker.io/library' },
    'npm-registry': { type: 'string', default: 'https://registry.npmjs.org/' },
    ca: { type: 'string' },
    platform: { type: 'string' },
    'stand-in-bases': { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
  },
});

const engine = findEngine(values.engine);
if (engine === null) {
  console.error(`image: skipped: ${values.engine ?? 'docker (with its daemon), podman and buildah'} cannot be started here`);
  process.exit(values.check ? 0 : 69);
}
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const nodeVersion = process.versions.node;
if (values['stand-in-bases']) {
  console.error('image: the bases are stand-ins made by debootstrap, not the official images');
  makeStandIns(engine, `${values.registry}/node:${nodeVersion}-bookworm-slim`);
}
for (const variant of VARIANTS) build(engine, variant);
let failed = 0;
if (values.check) {
  if (engine.run === null) console.error(`image: not run: ${engine.name} only builds`);
  else for (const variant of VARIANTS) failed += await checkImage(engine, { image: tagOf(variant), variant, root });
  console.log(`image: ${failed === 0 ? 'all of it holds' : `${failed} failed`}`);
}
process.exitCode = failed === 0 ? 0 : 1;

function tagOf(variant: (typeof VARIANTS)[number]): string {
  return variant === 'slim' ? `${values.tag}:${version}` : `${values.tag}:${version}-${variant}`;
}

function build({ name, build: words }: Engine, variant: (typeof VARIANTS)[number]): void {
  const argument = (key: string, value: string): readonly string[] => ['--build-arg', `${key}=${value}`];
  show(name, [
    ...words,
    ...argument('REGISTRY', values.registry),
    ...argument('NODE_VERSION', nodeVersion),
    ...argument('NPM_REGISTRY', values['npm-registry']),
    ...argument('VERSION', version),
    ...argument('REVISION', revision()),
    ...(values.ca === undefined ? [] : ['--secret', `id=ca,src=${values.ca}`]),
    ...(values.platform === undefined ? [] : ['--platform', values.platform]),
    '--target',
    variant,
    '--tag',
    tagOf(variant),
    root,
  ]);
}

/** Returns the commit, with a mark where the files differ from it. */
function revision(): string {
  if (spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, stdio: 'ignore' }).status !== 0) return 'unknown';
  const git = (args: readonly string[]): string => execFileSync('git', [...args], { cwd: root, encoding: 'utf8' }).trim();
  return `${git(['rev-parse', 'HEAD'])}${git(['status', '--porcelain']) === '' ? '' : '-changed'}`;
}
