// The examples of docs/explain.md are the output of their commands. `UPDATE_README=1 npm test --
// test/explain/page.test.ts` writes it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { sampleZone } from '../../src/cli/sample-zone.ts';
import { runCommand } from '../cli/running.ts';

const PAGE = new URL('../../docs/explain.md', import.meta.url);
const EXAMPLE =
  /(```sh\nnpx zone-egress (explain .*) --resources my-zone\/resources\n```\n\n<!-- explain -->\n)([\s\S]*?)(<!-- \/explain -->)/;

const REQUEST =
  /(<!-- explain-request -->\n```yaml\n([\s\S]*?)```\n\n```sh\nnpx zone-egress (explain .*) --resources my-zone\/resources\n```\n\n)```text\n([\s\S]*?)```\n(<!-- \/explain-request -->)/;

/** Makes the folder of the sample zone, with these files added. */
async function folder(t: Test, more: Readonly<Record<string, string>> = {}): Promise<string> {
  const dir = t.testdir({});
  const others = Object.entries(more).map(([path, text]) => ({ path, text }));
  for (const { path, text } of [...(await sampleZone()).files, ...others]) {
    mkdirSync(dirname(`${dir}/${path}`), { recursive: true });
    writeFileSync(`${dir}/${path}`, text);
  }
  return dir;
}

/** Returns the output of a command of the page, in the form of the page. */
async function printed(t: Test, line: string, dir: string, expected = 3): Promise<string> {
  const args = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare = '']) => quoted ?? bare);
  const { code, out, err } = await runCommand(...args, '--resources', `${dir}/resources`);
  t.strictSame({ code, err }, { code: expected, err: '' });
  // Its keys are new each time, and so is the version.
  return out.replaceAll(`${dir}/`, 'my-zone/').replace(/configuration [0-9a-f]{16}/, 'configuration 0123456789abcdef');
}

t.test('the page shows what explain prints for the zone that generate zone writes', async (t) => {
  const page = readFileSync(PAGE, 'utf8');
  const block = `\`\`\`text\n${await printed(t, EXAMPLE.exec(page)?.[2] ?? '', await folder(t))}\`\`\`\n`;
  if (process.env.UPDATE_README === '1')
    writeFileSync(
      PAGE,
      page.replace(EXAMPLE, (_, before: string, _args, _block, after: string) => before + block + after),
    );
  t.equal(EXAMPLE.exec(readFileSync(PAGE, 'utf8'))?.[3], block);
});

t.test('the page shows what explain prints of a request to its service of HTTP', async (t) => {
  const page = readFileSync(PAGE, 'utf8');
  const [, before = '', yaml = '', line = '', shown, after = ''] = REQUEST.exec(page) ?? [];
  const out = await printed(t, line, await folder(t, { 'resources/50-shop.yaml': yaml }));
  if (process.env.UPDATE_README === '1')
    writeFileSync(
      PAGE,
      page.replace(REQUEST, () => `${before}\`\`\`text\n${out}\`\`\`\n${after}`),
    );
  else t.equal(shown, out);
});

t.test('the command of the page about HTTP passes with that service, which takes no other route from its clients', async (t) => {
  const [, , yaml = ''] = REQUEST.exec(readFileSync(PAGE, 'utf8')) ?? [];
  const dir = await folder(t, { 'resources/50-shop.yaml': yaml });
  const http = readFileSync(new URL('../../docs/http.md', import.meta.url), 'utf8');
  const [, line = ''] = /^zone-egress (explain .*) --resources my-zone\/resources$/m.exec(http) ?? [];
  t.match(await printed(t, line, dir, 0), /^allowed\n[^]*GET \/x: 0 rate limits, 1 fault\n/);
  t.match(await runCommand('validate', `${dir}/resources`), { code: 0, out: /, 0 errors, 0 warnings\n$/ });
});
