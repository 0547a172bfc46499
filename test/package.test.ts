// The package as other people get it: packed, unpacked into an empty project, imported and started.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import t from 'tap';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import { env, pack, root } from './packed.ts';

const { project, tarball: packed, installed } = pack();
t.teardown(() => rmSync(project, { recursive: true, force: true }));

function node(args: readonly string[]): string {
  return execFileSync(process.execPath, [...args], {
    cwd: project,
    encoding: 'utf8',
    env,
    timeout: 600_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

t.test('every link of a document in it leads to a file in it, and to a heading that is there', async (t) => {
  const documents = readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.md') && !name.startsWith('node_modules'),
  );
  t.ok(documents.length > 20, `${documents.length} documents`);
  const headings = (file: string): readonly string[] =>
    [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
      text
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
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
  t.ok(existsSync(join(installed, 'dist/src/egress.d.ts')));
  t.ok(existsSync(join(installed, 'README.md')));
  for (const name of readdirSync(join(root, 'src/admin/page')).filter((each) => /\.(?:css|js|svg)$/.test(each)))
    t.ok(existsSync(join(installed, 'dist/src/admin/page', name)), `${name}, which browsers get`);
  for (const left of ['test', 'perf/main.ts', 'certs', 'scripts', 'src/egress.ts'])
    t.notOk(existsSync(join(installed, left)), left);
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
    're2js',
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
  const style = await fetch(\`http://127.0.0.1:\${egress.adminPort}/page/console.css\`);
  console.log(concurrency, egress.port > 0, ready.trim(), egress.snapshot().zone, style.status);
  await egress.close();
}
`,
  );
  t.equal(node(['main.js']), '1 true LIVE east 200\n2 true LIVE east 200\n');
});

t.test('without the option nothing of OpenTelemetry is loaded, and with it an error names what to install', async (t) => {
  // The packages as someone has them who has installed nothing beside.
  writeFileSync(
    join(project, 'otlp.js'),
    `import { registerHooks } from 'node:module';
const asked = new Set();
const missing = /^@opentelemetry\\/(?!api$)/;
registerHooks({
  resolve(name, context, next) {
    if (!name.startsWith('@opentelemetry/')) return next(name, context);
    if (!context.parentURL.includes('prom-client')) asked.add(name);
    if (missing.test(name)) throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
    return next(name, context);
  },
});
const { startEgress } = await import('zone-egress');
const egress = await startEgress({ resources: 'zone', port: 0, admin: { port: 0 } });
await egress.close();
console.log(asked.size);
await startEgress({ resources: 'zone', otlp: { endpoint: 'http://127.0.0.1:4318' } }).catch((error) => console.log(error.message));
console.log(asked.size > 0);
`,
  );
  const { devDependencies, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Readonly<
    Record<string, Readonly<Record<string, string>>>
  >;
  const names = Object.keys(peerDependencies ?? {}).map((name) => `${name}@${devDependencies?.[name] ?? ''}`);
  t.equal(
    node(['otlp.js']),
    `0\nsending to a collector of OpenTelemetry needs its SDK, which is not installed: npm install ${names.join(' ')}\ntrue\n`,
  );
});

t.test('its command runs from the compiled files', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  t.equal(node([join(installed, 'src/bin.mjs'), 'version']), `zone-egress ${version}\n`);
});

t.test('its entries lead to code and types for ES modules, and nothing else can be imported', async (t) => {
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
  // Node 10 and `require` cannot load a package of ES modules.
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

/** One test of another project, for two runners. */
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

t.test('zone-egress/testing works in the tests of another project: with node:test and with tap', async (t) => {
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
