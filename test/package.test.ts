// The package as somebody else gets it: built, packed, unpacked into an empty project, imported and started.
import { execFileSync } from 'node:child_process';
import type { ExecFileSyncOptionsWithStringEncoding } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
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
import { dirname, join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import t from 'tap';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';

const root = join(import.meta.dirname, '..');
const project = mkdtempSync(join(tmpdir(), 'zone-egress-package-'));
t.teardown(() => rmSync(project, { recursive: true, force: true }));
const installed = join(project, 'node_modules', 'zone-egress');
let packed = '';

/** Without what the test runner puts into the environment of its children. */
const env = { ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.includes('TAP'))), NODE_OPTIONS: '' };

function npm(args: readonly string[], cwd: string): string {
  const cli = process.env.npm_execpath;
  const options: ExecFileSyncOptionsWithStringEncoding = { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] };
  return cli?.endsWith('.js') === true
    ? execFileSync(process.execPath, [cli, ...args], options)
    : execFileSync('npm', [...args], options);
}

function node(args: readonly string[]): string {
  return execFileSync(process.execPath, [...args], {
    cwd: project,
    encoding: 'utf8',
    env,
    timeout: 600_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** The project as a clone has it, with what is not committed yet; what npm installs is that of the project. */
function clone(dir: string): string {
  const git = (args: readonly string[]): string => execFileSync('git', [...args], { cwd: root, env, encoding: 'utf8' });
  for (const name of git(['ls-files', '-co', '--exclude-standard', '-z']).split('\0')) {
    if (name === '' || !existsSync(join(root, name))) continue;
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    copyFileSync(join(root, name), join(dir, name));
  }
  for (const name of ['node_modules', '.toolchain/node_modules']) symlinkSync(join(root, name), join(dir, name));
  return dir;
}

t.before(() => {
  // As a person does: no build before it, and no flag.
  npm(['pack', '--pack-destination', project], clone(join(project, 'clone')));
  packed = join(project, readdirSync(project).find((name) => name.endsWith('.tgz')) ?? 'nothing was packed');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', packed, '-C', installed, '--strip-components=1']);
  // Its dependencies as they are here; nothing of the project beside them.
  symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
});

t.test('where the sources cannot be compiled there is no package, also none of what an older build left', async (t) => {
  const broken = clone(join(project, 'broken'));
  mkdirSync(join(broken, 'dist', 'src'), { recursive: true });
  writeFileSync(join(broken, 'dist', 'src', 'main.js'), '// of an older build');
  appendFileSync(join(broken, 'src', 'proxy.ts'), "\nexport const broken: number = 'text';\n");
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
  // What npm tells its scripts then: that its project is another one.
  const of = (prefix: string): object => ({ cwd: source, env: { ...env, npm_config_local_prefix: prefix }, stdio: 'pipe' });
  execFileSync(process.execPath, ['.toolchain/prepare.mjs'], of(source));
  t.notOk(existsSync(join(source, 'dist')), 'a checkout runs from its sources');
  execFileSync(process.execPath, ['.toolchain/prepare.mjs'], of(theirs));
  t.ok(existsSync(join(source, 'dist/src/proxy.js')));
  const { scripts } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  t.equal(scripts.prepare, 'node .toolchain/prepare.mjs');
});

t.test('npm start takes no package of the tests away, and npm ci is enough for it', async (t) => {
  const checkout = clone(join(project, 'checkout'));
  // As `npm ci` leaves it: without a stamp of ours, and npm fails where it is asked for anything.
  rmSync(join(checkout, 'node_modules'));
  mkdirSync(join(checkout, 'node_modules'));
  for (const name of readdirSync(join(root, 'node_modules')))
    if (name !== '.installed') symlinkSync(join(root, 'node_modules', name), join(checkout, 'node_modules', name));
  writeFileSync(join(project, 'no-npm.cjs'), "process.stderr.write('npm was asked for something');process.exit(1);");
  const run = (): string =>
    execFileSync(process.execPath, ['.toolchain/node.mjs', 'src/main.ts', 'version'], {
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
  for (const file of ['package-lock.json', '.toolchain/package-lock.json', '.toolchain/nodes/package-lock.json']) {
    const { packages } = JSON.parse(readFileSync(join(root, file), 'utf8')) as { packages: Record<string, { hasInstallScript?: true }> };
    const scripted = Object.entries(packages).filter(([path, { hasInstallScript }]) => path !== '' && hasInstallScript === true);
    for (const [path] of scripted) t.equal((allowScripts as Record<string, boolean>)[path.replace(/.*node_modules\//, '')], false, path);
  }
});

t.test('every link of a document in it leads to a file in it, and to a heading that is there', async (t) => {
  const documents = readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.md') && !name.startsWith('node_modules'),
  );
  t.ok(documents.length > 20, `${documents.length} documents`);
  const headings = (file: string): readonly string[] =>
    [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
      text.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'),
    );
  for (const name of documents) {
    const text = readFileSync(join(installed, name), 'utf8').replace(/```[^]*?```/g, '');
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? join(installed, name) : join(installed, dirname(name), path);
      t.ok(existsSync(target), `${name}: ${link}`);
      if (anchor !== undefined && existsSync(target)) t.ok(headings(target).includes(anchor), `${name}: ${link}`);
    }
  }
});

t.test('it holds what runs, its types and its README, and nothing else', async (t) => {
  t.ok(existsSync(join(installed, 'dist/src/proxy.d.ts')));
  t.ok(existsSync(join(installed, 'README.md')));
  for (const left of ['test', 'perf/main.ts', 'certs', '.toolchain', 'src/proxy.ts']) t.notOk(existsSync(join(installed, left)), left);
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  t.strictSame(Object.keys(dependencies).sort(), [
    '@bufbuild/protobuf',
    '@grpc/grpc-js',
    'lru-cache',
    'node-forge',
    'pino',
    'prom-client',
    'undici',
    'yaml',
  ]);
});

t.test('import { startEgress } starts one, with one data side and with threads, and closes it', async (t) => {
  const mesh = await createTestMesh('default');
  const zone = 'type: ZoneEgress\nname: e\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n';
  mkdirSync(join(project, 'zone'));
  writeFileSync(join(project, 'zone', 'zone.yaml'), `${mesh.resources}\n---\n${zone}`);
  writeFileSync(
    join(project, 'main.js'),
    `import { startEgress } from 'zone-egress';
for (const concurrency of [1, 2]) {
  const egress = await startEgress({ resources: 'zone', port: 0, admin: { port: 0 }, concurrency, configThread: concurrency === 2 });
  const ready = await (await fetch(\`http://127.0.0.1:\${egress.adminPort}/ready\`)).text();
  console.log(concurrency, egress.port > 0, ready.trim(), egress.snapshot().zone);
  await egress.close();
}
`,
  );
  t.equal(node(['main.js']), '1 true LIVE east\n2 true LIVE east\n');
});

t.test('its command runs from the compiled files', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  t.equal(node([join(installed, 'src/bin.mjs'), 'version']), `zone-egress ${version}\n`);
});

t.test('its entries lead to code and types for whoever imports ES modules, and nothing else can be imported', async (t) => {
  const tarball = readFileSync(packed);
  const { messages, pkg } = await publint({
    pack: { tarball: tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.length) },
  });
  t.strictSame(
    messages.map((message) => formatMessage(message, pkg)),
    [],
    'publint',
  );
  const checked = await checkPackage(createPackageFromTarballData(new Uint8Array(tarball)));
  // Node 10 and `require` are not for a package of ES modules.
  const wrong = checked.types === false ? ['there are no types'] : checked.problems.filter((problem) => !isOfCommonJs(problem));
  t.strictSame(wrong, [], 'arethetypeswrong');
  t.throws(
    () => node(['--input-type=module', '-e', "await import('zone-egress/dist/src/testing/fake-egress.js')"]),
    /ERR_PACKAGE_PATH_NOT_EXPORTED/,
  );
});

function isOfCommonJs(problem: object): boolean {
  return 'resolutionKind' in problem && (problem.resolutionKind === 'node10' || problem.resolutionKind === 'node16-cjs');
}

/** One test of somebody else, in the words of two runners. */
const THEIR_TEST = `
  await using egress = await createFakeEgress({
    meshes: { default: { services: { backend: {} } } },
    external: { httpbin: { tls: true } },
    permissions: [{ from: 'web', to: 'httpbin' }],
  });
  const web = egress.client({ mesh: 'default', service: 'web' });
  const socket = await web.connect('httpbin');
  socket.end('hello');
  const { bytesUp } = await egress.expectSession({ destination: 'httpbin', from: 'web' });
  await web.connect('nowhere').catch(() => undefined);
  const refusal = await egress.expectRefused({ sni: /^nowhere/, reason: 'no-route' });
  await egress.verify();
`;

t.test('zone-egress/testing works in somebody else’s tests: with node:test and with tap', async (t) => {
  writeFileSync(
    join(project, 'node.test.js'),
    `import assert from 'node:assert';
import { test } from 'node:test';
import { createFakeEgress } from 'zone-egress/testing';
test('through the mesh', async () => {${THEIR_TEST}  assert.equal(bytesUp, 5);
  assert.match(String(refusal.explain()), /^refused at route: no-route/);
});
`,
  );
  t.match(node(['--test', '--test-reporter=tap', 'node.test.js']), /# pass 1\n# fail 0/);
  writeFileSync(
    join(project, 'tap.test.js'),
    `import t from 'tap';
import { createFakeEgress } from 'zone-egress/testing';
t.test('through the mesh', async (t) => {${THEIR_TEST}  t.equal(bytesUp, 5);
  t.match(String(refusal.explain()), /^refused at route: no-route/);
});
`,
  );
  symlinkSync(join(root, 'node_modules', 'tap'), join(project, 'node_modules', 'tap'));
  const said = node(['tap.test.js']);
  t.match(said, /ok 1 - through the mesh/);
  t.notMatch(said, /not ok/);
});

t.test('its types hold in a strict project', async (t) => {
  writeFileSync(
    join(project, 'types.ts'),
    `import { createFakeEgress, type FakeSession, type Toxic } from 'zone-egress/testing';
const toxic: Toxic = { type: 'latency', latency: 100, jitter: 10, stream: 'upstream' };
export async function use(): Promise<FakeSession> {
  await using egress = await createFakeEgress({ external: { a: { tls: { client: true } } }, permissions: [{ from: '*', to: 'a' }] });
  egress.events.on('refusal', ({ reason }) => void reason.length);
  await using _fault = await egress.fault('a', toxic);
  // @ts-expect-error: no such fault
  await egress.fault('a', { type: 'lag' });
  // @ts-expect-error: no such reason
  await egress.expectRefused({ reason: 'no-reason' });
  return egress.expectRefused({ reason: 'denied', sni: /^a/, from: 'web' });
}
`,
  );
  symlinkSync(join(root, 'node_modules', '@types'), join(project, 'node_modules', '@types'));
  const tsc = join(root, 'node_modules', '@typescript', 'native', 'lib', 'tsc.js');
  const flags = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--lib',
    'es2024,esnext.disposable',
    '--types',
    'node',
  ];
  try {
    node([tsc, ...flags, 'types.ts']);
    t.pass('they do');
  } catch (error) {
    t.fail((error as { stdout: string }).stdout);
  }
});
