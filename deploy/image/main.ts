// npm run image -- [options]: builds the image, with docker, podman or buildah, whichever exists.
// docs/deploy/container.md describes the options and the checks of --check.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeStandIns } from './bases.ts';
import { checkImage } from './check.ts';
import type { Architecture } from './elf.ts';
import { ask, findEngine, has, show } from './engine.ts';
import type { Engine } from './engine.ts';
import { architecturesOf, ownArchitecture } from './platforms.ts';
import { checkStill } from './still.ts';

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
const architectures = values.platform === undefined ? [ownArchitecture()] : architecturesOf(values.platform);
if (values['stand-in-bases']) {
  console.error('image: the bases are stand-ins made by debootstrap, not the official images');
  for (const architecture of architectures) makeStandIns(engine, { registry: values.registry, nodeVersion, architecture });
}
let failed = 0;
for (const variant of VARIANTS) {
  for (const architecture of architectures) build(engine, variant, architecture);
  if (architectures.length > 1) joinPlatforms(engine, variant);
}
if (values.check) {
  if (engine.run === null) console.error(`image: not run: ${engine.name} only builds`);
  else
    for (const variant of VARIANTS)
      for (const architecture of architectures) failed += await check(engine, variant, architecture);
  console.log(`image: ${failed === 0 ? 'all of it holds' : `${failed} failed`}`);
}
process.exitCode = failed === 0 ? 0 : 1;

type Variant = (typeof VARIANTS)[number];

async function check(on: Engine, variant: Variant, architecture: Architecture): Promise<number> {
  const image = tagOf(variant, architecture);
  return architecture === ownArchitecture() ? checkImage(on, { image, variant, root }) : checkStill(on, image, architecture);
}

/** With several platforms, each image has a name of its own, and the common name is their index. */
function tagOf(variant: Variant, architecture: Architecture | null): string {
  const name = variant === 'slim' ? `${values.tag}:${version}` : `${values.tag}:${version}-${variant}`;
  return architecture === null || architectures.length === 1 ? name : `${name}-${architecture}`;
}

/** Docker makes an index only in a registry: docs/deploy/container.md has its command. */
function joinPlatforms(on: Engine, variant: Variant): void {
  if (on.name === 'docker') return;
  const name = tagOf(variant, null);
  if (has(on, name)) ask(on, ['rmi', name]);
  ask(on, ['manifest', 'create', name, ...architectures.map((each) => `containers-storage:${tagOf(variant, each)}`)]);
  console.error(`image: ${name} is the index of ${architectures.join(' and ')}`);
}

function build({ name, build: words }: Engine, variant: Variant, architecture: Architecture): void {
  const argument = (key: string, value: string): readonly string[] => ['--build-arg', `${key}=${value}`];
  show(name, [
    ...words,
    ...argument('REGISTRY', values.registry),
    ...argument('NODE_VERSION', nodeVersion),
    ...argument('NPM_REGISTRY', values['npm-registry']),
    ...argument('VERSION', version),
    ...argument('REVISION', revision()),
    ...(values.ca === undefined ? [] : ['--secret', `id=ca,src=${values.ca}`]),
    ...(values.platform === undefined ? [] : ['--platform', `linux/${architecture}`]),
    '--target',
    variant,
    '--tag',
    tagOf(variant, architecture),
    root,
  ]);
}

/** Returns the commit, with a mark where the files differ from it. */
function revision(): string {
  if (spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, stdio: 'ignore' }).status !== 0) return 'unknown';
  const git = (args: readonly string[]): string => execFileSync('git', [...args], { cwd: root, encoding: 'utf8' }).trim();
  return `${git(['rev-parse', 'HEAD'])}${git(['status', '--porcelain']) === '' ? '' : '-changed'}`;
}
