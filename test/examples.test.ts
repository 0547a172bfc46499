// Follows the README and the documents to the letter, with the packed package.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { freePort } from './free-ports.ts';
import { until } from './egress/until.ts';
import { env, npm, pack, root } from './packed.ts';

const { project, installed } = pack();
t.teardown(() => rmSync(project, { recursive: true, force: true }));

/** Returns the oldest Node that `engines` allows, of the same build as the project's own. */
function floorNode(): string {
  const nodes = join(root, 'scripts', 'nodes');
  const binary = join(nodes, 'node_modules', `node-22-${process.platform}-${process.arch}`, 'bin', 'node');
  if (!existsSync(binary)) npm(['ci', '--ignore-scripts'], nodes);
  return binary;
}

/** Replaces Jest, which is no dependency, by the functions of the example on Node's own runner. */
const JEST = `import assert from 'node:assert';
import { after as afterAll, before as beforeAll, test } from 'node:test';
const expect = (value) => ({ toBe: (wanted) => assert.strictEqual(value, wanted) });
`;

t.test('every example of the README and of the documents runs as it stands there, on the oldest Node too', async (t) => {
  execFileSync(process.execPath, [join(installed, 'src/bin.mjs'), 'generate', 'zone', 'my-zone'], { cwd: project, env });
  const documents = readdirSync(join(installed, 'docs'), { recursive: true, encoding: 'utf8' });
  const files = ['README.md', ...documents.map((name) => `docs/${name}`)].filter((name) => name.endsWith('.md'));
  const examples = files.flatMap((name) =>
    [...readFileSync(join(installed, name), 'utf8').matchAll(/(?:^<!-- example: (\S+) -->\n)?^```(?:js|ts)\n([^]*?)^```/gm)].map(
      ([, label = '', code = ''], at) => ({ name, at, label, code }),
    ),
  );
  t.ok(examples.length >= 7, `${examples.length} examples`);
  const floor = floorNode();
  t.match(execFileSync(floor, ['--version'], { encoding: 'utf8' }), /^v22\./);
  for (const { name, at, label, code } of examples) {
    const file = `example-${name.replaceAll('/', '-')}-${at}.${label.endsWith('.cjs') ? 'cjs' : 'mjs'}`;
    writeFileSync(join(project, file), (label.includes('jest') ? JEST : '') + code);
    for (const binary of [process.execPath, floor]) {
      const { status, stderr } = spawnSync(binary, [file], { cwd: project, env, encoding: 'utf8', timeout: 120_000 });
      t.strictSame({ status, stderr }, { status: 0, stderr: '' }, `${name}, example ${at + 1}`);
    }
  }
  rmSync(join(project, 'my-zone'), { recursive: true });
});

/**
 * Lines of the README that need more than a machine: an installation of everything, a container, a
 * control plane.
 */
const NOT_RUN = /^(npm (start|test|pack|install)\b|docker )|--proxy-type=egress/;
const ENDS_WITH: Readonly<Record<string, number>> = { explain: 3, diff: 3, simulate: 3 };

t.test('every command of the README runs as it stands there, in its order', async (t) => {
  mkdirSync(join(project, 'node_modules', '.bin'), { recursive: true });
  symlinkSync('../zone-egress/src/bin.mjs', join(project, 'node_modules/.bin/zone-egress'));
  const blocks = [...readFileSync(join(installed, 'README.md'), 'utf8').matchAll(/^```sh\n([^]*?)^```/gm)];
  const lines = blocks
    .flatMap(([, block = '']) => block.replaceAll('\\\n', ' ').split('\n'))
    .map((line) => line.replace(/\s+# .*/, ''))
    .filter((line) => line !== '');
  t.ok(lines.length > 12, `${lines.length} commands`);
  const port = await freePort();
  const shell = {
    cwd: project,
    env: { ...env, PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ''}`, KUMA_READINESS_PORT: '0' },
    encoding: 'utf8',
    timeout: 120_000,
  } as const;
  for (const line of lines.filter((each) => !NOT_RUN.test(each))) {
    if (/^npx zone-egress run /.test(line)) {
      // The sample has fixed ports, which may be in use here.
      const file = join(project, 'my-zone/resources/20-zone.yaml');
      const zone = readFileSync(file, 'utf8').replace('port: 10002', `port: ${port}`);
      writeFileSync(file, zone.replace('port: 9901', `port: ${await freePort()}`));
      const egress = spawn('sh', ['-c', line], { ...shell, detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = once(egress, 'exit');
      t.teardown(async () => {
        process.kill(-egress.pid!, 'SIGKILL');
        await ended;
      });
      let said = '';
      egress.stdout.on('data', (chunk: Buffer) => (said += String(chunk)));
      await until(line, () => said.includes('zone egress is ready'));
      continue;
    }
    const { status, stderr } = spawnSync('sh', ['-c', line.replace('127.0.0.1:10002', `127.0.0.1:${port}`)], shell);
    const [, command = ''] = /^npx zone-egress (\w+)/.exec(line) ?? [];
    t.equal(status, ENDS_WITH[command] ?? 0, `${line}: ${stderr}`);
    if (line.includes('openssl')) await until('it is recorded', () => statSync(join(project, 'sessions.ndjson')).size > 0);
  }
});
