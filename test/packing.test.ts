// How the package is made, and what npm does to a checkout: the package always has its compiled
// files, and nothing that is installed is removed.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { clone, env, npm, root } from './packed.ts';

const project = mkdtempSync(join(tmpdir(), 'zone-egress-packing-'));
t.teardown(() => rmSync(project, { recursive: true, force: true }));

t.test('where the sources cannot be compiled there is no package, also none of what an older build left', async (t) => {
  const broken = clone(join(project, 'broken'));
  mkdirSync(join(broken, 'dist', 'src'), { recursive: true });
  writeFileSync(join(broken, 'dist', 'src', 'main.js'), '// of an older build');
  appendFileSync(join(broken, 'src', 'egress.ts'), "\nexport const broken: number = 'text';\n");
  for (const args of [['pack'], ['publish', '--dry-run']]) {
    t.throws(() => npm(args, broken), /TS2322/, args.join(' '));
    t.notOk(existsSync(join(broken, 'dist')), 'no dist');
    t.strictSame(
      readdirSync(broken).filter((name) => name.endsWith('.tgz')),
      [],
    );
  }
});

t.test('who installs it from a folder gets it compiled', async (t) => {
  const source = clone(join(project, 'source'));
  const theirs = join(project, 'theirs');
  mkdirSync(theirs);
  writeFileSync(join(theirs, 'package.json'), '{}');
  // npm's variables for its scripts then: another project is the current one.
  const of = (prefix: string): object => ({ cwd: source, env: { ...env, npm_config_local_prefix: prefix }, stdio: 'pipe' });
  execFileSync(process.execPath, ['scripts/prepare.mjs'], of(source));
  t.notOk(existsSync(join(source, 'dist')), 'a checkout runs from its sources');
  execFileSync(process.execPath, ['scripts/prepare.mjs'], of(theirs));
  t.ok(existsSync(join(source, 'dist/src/egress.js')));
  const { scripts } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  t.equal(scripts.prepare, 'node scripts/prepare.mjs');
});

t.test('npm start takes no package of the tests away, and npm ci is enough for it', async (t) => {
  const checkout = clone(join(project, 'checkout'));
  // The state that `npm ci` leaves: without our stamp. npm fails for every request.
  rmSync(join(checkout, 'node_modules'));
  mkdirSync(join(checkout, 'node_modules'));
  for (const name of readdirSync(join(root, 'node_modules')))
    if (name !== '.installed') symlinkSync(join(root, 'node_modules', name), join(checkout, 'node_modules', name));
  writeFileSync(join(project, 'no-npm.cjs'), "process.stderr.write('npm was asked for something');process.exit(1);");
  const run = (): string =>
    execFileSync(process.execPath, ['scripts/node.mjs', 'src/main.ts', 'version'], {
      cwd: checkout,
      env: { ...env, npm_execpath: join(project, 'no-npm.cjs') },
      encoding: 'utf8',
      stdio: 'pipe',
    });
  t.match(run(), /^zone-egress /);
  rmSync(join(checkout, 'node_modules/yaml'));
  t.throws(run, /npm ci in the project[^]*npm was asked for something/, 'with the packages of the tests, which are there');
});

t.test('npm installs nothing that runs a script of its own: so the project may turn scripts on for its own', async (t) => {
  const { allowScripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { allowScripts: object };
  for (const file of ['package-lock.json', 'scripts/package-lock.json', 'scripts/nodes/package-lock.json']) {
    const { packages } = JSON.parse(readFileSync(join(root, file), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: true }>;
    };
    const scripted = Object.entries(packages).filter(([path, { hasInstallScript }]) => path !== '' && hasInstallScript === true);
    for (const [path] of scripted)
      t.equal((allowScripts as Record<string, boolean>)[path.replace(/.*node_modules\//, '')], false, path);
  }
});
