// Every example of the documents about tests runs as printed, except for the name of the package
// and of the folder.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { BEHAVIOURS } from '../../src/testing/egress/fake-external-service.ts';
import { CHANNELS } from '../../src/testing/public.ts';
import { TOXIC_TYPES } from '../../src/testing/egress/toxics.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'src', 'main.ts');
const ENTRY = new URL('../../src/testing/public.ts', import.meta.url).href;
/** Without the variables that the test runner sets for its children. */
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.includes('TAP'))),
  NODE_OPTIONS: '',
};

const dir = mkdtempSync(join(tmpdir(), 'zone-egress-examples-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));

t.before(async () => {
  await run(process.execPath, [MAIN, 'generate', 'zone', 'my-zone'], { cwd: dir, env });
});

/** The expected output of an example. */
const SAYS: Readonly<Record<string, RegExp>> = {
  'docs/testing.md first': /^refused at permission: denied\n[^]*to make it pass: /,
  'docs/testing.md resources': /^hello\n$/,
  'docs/testing.md jest.test.mjs': /^# pass 2$[^]*^# fail 0$|^ℹ pass 2$[^]*^ℹ fail 0$/m,
  'docs/testing.md requests': /^shop\.partner\.test\n$/,
  'docs/testing.md request-expectations': /^\/get\?x=1 https\n$/,
  'docs/testing.md fetch': /method: 'GET',\s+path: '\/get'/,
};

/** Replaces Jest, which is no dependency, by the functions of the example on Node's own runner. */
const JEST = `import assert from 'node:assert';
import { after as afterAll, before as beforeAll, test } from 'node:test';
const expect = (value) => ({ toBe: (wanted) => assert.strictEqual(value, wanted) });
`;

for (const file of ['docs/testing.md', 'README.md']) {
  const text = readFileSync(join(ROOT, file), 'utf8');
  // CommonJS needs the compiled package, with which test/examples.test.ts runs all of them.
  const examples = [...text.matchAll(/<!-- example: (\S+) -->\n```js\n([^]*?)```/g)].filter(
    ([, name = '']) => !name.endsWith('.cjs'),
  );
  t.test(`${file} has no example that Node 22 cannot read`, async (t) => t.notMatch(text, /^await using /m));
  t.test(`${file} has examples`, async (t) => t.ok(examples.length > 0));
  for (const [, name = '', code = ''] of examples) {
    t.test(`the example ${name} of ${file} runs`, async (t) => {
      const path = join(dir, name.includes('.') ? name : `${name}.mjs`);
      const before = name.includes('jest') ? JEST : '';
      writeFileSync(path, before + code.replaceAll("'zone-egress/testing'", JSON.stringify(ENTRY)));
      const { stdout, stderr } = await run(process.execPath, [path], { cwd: dir, env, timeout: 600_000 });
      t.equal(stderr, '');
      t.match(stdout, SAYS[`${file} ${name}`] ?? /^/);
    });
  }
}

t.test('the command for other languages runs as it is written', async (t) => {
  const text = readFileSync(join(ROOT, 'docs/testing.md'), 'utf8');
  const [, line = ''] = /^npx zone-egress (fake .*)$/m.exec(text) ?? [];
  const child = run(process.execPath, [MAIN, ...line.split(' ')], { cwd: dir, env, timeout: 600_000 });
  child.child.stdin?.end();
  const { stdout } = await child;
  const said = JSON.parse(stdout) as Record<string, unknown>;
  t.match(said, { version: 1, zone: 'east', clients: { 'default/frontend': {}, 'default/batch': {} } });
  for (const field of Object.keys(said)) t.match(text, new RegExp(`^\\| [^|]*\`${field}\``, 'm'), `${field} is told`);
});

t.test('the document names every behaviour, fault and event', async (t) => {
  const text = readFileSync(join(ROOT, 'docs/testing.md'), 'utf8');
  for (const name of [...Object.keys(BEHAVIOURS), ...TOXIC_TYPES]) t.ok(text.includes(`\`${name}\``), name);
  for (const [event, channel] of Object.entries(CHANNELS)) {
    t.ok(text.includes(`'${event}'`), event);
    t.equal(channel, `zone-egress:fake:${event}`);
  }
});
