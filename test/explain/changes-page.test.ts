// The examples of docs/changes.md are the output of its commands. `UPDATE_README=1 npm test --
// test/explain/changes-page.test.ts` writes them.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { sampleZone } from '../../src/cli/sample-zone.ts';
import { runCommand } from '../cli/running.ts';
import { sessionRecord, unmatched } from '../observe/record.ts';

const PAGE = new URL('../../docs/changes.md', import.meta.url);

const terminated = {
  sni: 'api{mesh=default}',
  mode: 'terminate',
  mesh: 'default',
  destination: 'api',
  cluster: 'default:api',
  connectMs: -1,
  endpoint: '',
} as const;
const client = (service: string) => ({ spiffeIds: [`spiffe://default/${service}`], uris: [`spiffe://default/${service}`] });

const SESSIONS = [
  sessionRecord({
    ...terminated,
    ...client('frontend'),
    id: '0.16',
    connectMs: 2,
    endpointTls: true,
    permission: 'frontend-to-outside',
  }),
  sessionRecord({ ...terminated, ...client('batch'), id: '0.17', reason: 'denied' }),
  sessionRecord({ ...terminated, ...client('batch'), id: '0.21', reason: 'denied' }),
  unmatched({ id: '0.22', sni: 'backedn{mesh=default}' }),
  unmatched({ id: '0.23', sni: '', reason: 'not-tls', helloMs: -1 }),
];

t.test('the page shows what diff and simulate print for the zone that generate zone writes, with a change', async (t) => {
  const dir = t.testdir({});
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(`${dir}/${path}`), { recursive: true });
    writeFileSync(`${dir}/${path}`, text);
  };
  for (const { path, text } of (await sampleZone()).files) {
    put(`my-zone/${path}`, text);
    const isPermission = path.endsWith('40-permissions.yaml');
    const open = text.replace(/kuma\.io\/service: frontend\b/, "kuma.io/service: '*'");
    if (isPermission) t.not(open, text);
    put(`changed-zone/${path}`, isPermission ? open : text);
  }
  put('sessions.ndjson', SESSIONS.map((session) => `${JSON.stringify({ version: 1, ...session })}\n`).join(''));
  const shown = async (...args: readonly string[]): Promise<string> => {
    const { code, out, err } = await runCommand(
      ...args.map((arg) => arg.replace(/^(my-zone|changed-zone|sessions)/, `${dir}/$1`)),
    );
    t.same([code, err], [3, '']);
    // Keys are new each time, and so are the versions.
    const plain = out
      .replaceAll(`${dir}/`, '')
      .replace(/(configuration) [0-9a-f]{16}(?:(, was) [0-9a-f]{16})?/, (_, word: string, was?: string) =>
        was === undefined ? `${word} fedcba9876543210` : `${word} fedcba9876543210${was} 0123456789abcdef`,
      );
    return `\n\`\`\`text\n${plain}\`\`\`\n`;
  };
  let page = readFileSync(PAGE, 'utf8');
  for (const name of ['diff', 'simulate']) {
    const block = new RegExp(
      `(\`\`\`sh\\nnpx zone-egress (${name} .*)\\n\`\`\`\\n\\n<!-- ${name} -->)([\\s\\S]*?)(<!-- /${name} -->)`,
    );
    const made = await shown(...(block.exec(page)?.[2] ?? '').split(' '));
    if (process.env.UPDATE_README === '1') {
      page = page.replace(block, (_, before: string, _args, _block, after: string) => before + made + after);
      writeFileSync(PAGE, page);
    }
    t.equal(block.exec(readFileSync(PAGE, 'utf8'))?.[3], made);
  }
});
