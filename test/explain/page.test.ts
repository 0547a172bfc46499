// The first example of docs/explain.md is what its command prints. `UPDATE_README=1 npm test --
// test/explain/page.test.ts` writes it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { sampleZone } from '../../src/cli/sample-zone.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import type { Terminal } from '../../src/cli/terminal.ts';

const PAGE = new URL('../../docs/explain.md', import.meta.url);
const EXAMPLE =
  /(```sh\nnpx zone-egress (explain .*) --resources my-zone\/resources\n```\n\n<!-- explain -->\n)([\s\S]*?)(<!-- \/explain -->)/;

t.test('the page shows what explain prints for the zone that generate zone writes', async (t) => {
  const dir = t.testdir({});
  for (const { path, text } of (await sampleZone()).files) {
    mkdirSync(dirname(`${dir}/${path}`), { recursive: true });
    writeFileSync(`${dir}/${path}`, text);
  }
  const page = readFileSync(PAGE, 'utf8');
  const args = (EXAMPLE.exec(page)?.[2] ?? '').replaceAll("'", '').split(' ');
  const command = parseCommand([...args, '--resources', `${dir}/resources`], {});
  if (command.kind !== 'command') throw new Error(JSON.stringify(command));
  let out = '';
  const terminal: Terminal = {
    out: (text) => void (out += text),
    err: (text) => t.fail(text),
    cwd: () => '/',
    cpus: () => 1,
    descriptorLimit: () => null,
    onSignal: () => () => undefined,
    onFault: () => undefined,
  };
  t.equal(await command.execute(terminal), 3);
  // Its keys are new each time, and with them the version.
  const shown = out.replaceAll(`${dir}/`, 'my-zone/').replace(/configuration [0-9a-f]{16}/, 'configuration 0123456789abcdef');
  const block = `\`\`\`text\n${shown}\`\`\`\n`;
  if (process.env.UPDATE_README === '1')
    writeFileSync(
      PAGE,
      page.replace(EXAMPLE, (_, before: string, _args, _block, after: string) => before + block + after),
    );
  t.equal(EXAMPLE.exec(readFileSync(PAGE, 'utf8'))?.[3], block);
});
