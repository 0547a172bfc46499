// The package as somebody else gets it: built, packed, unpacked into an empty project, imported and started.
import { execFileSync } from 'node:child_process';
import type { ExecFileSyncOptionsWithStringEncoding } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createTestMesh } from '../src/testing/test-mesh.ts';

const root = join(import.meta.dirname, '..');
const project = mkdtempSync(join(tmpdir(), 'zone-egress-package-'));
t.teardown(() => rmSync(project, { recursive: true, force: true }));
const installed = join(project, 'node_modules', 'zone-egress');

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
    timeout: 60_000,
  });
}

t.before(() => {
  execFileSync(process.execPath, [join(root, '.toolchain', 'build.mjs')], { cwd: root, env });
  const [packed] = JSON.parse(npm(['pack', '--json', '--ignore-scripts', '--pack-destination', project], root)) as {
    filename: string;
  }[];
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(project, packed!.filename), '-C', installed, '--strip-components=1']);
  // Its dependencies as they are here; nothing of the project beside them.
  symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
});

t.test('it holds what runs, its types and its README, and nothing else', async (t) => {
  t.ok(existsSync(join(installed, 'dist/src/proxy.d.ts')));
  t.ok(existsSync(join(installed, 'README.md')));
  for (const left of ['test', 'perf', 'certs', '.toolchain', 'src/proxy.ts']) t.notOk(existsSync(join(installed, left)), left);
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
