import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { generateCertsCommand } from '../../src/cli/generate-certs.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { writeFiles } from '../../src/cli/write-files.ts';
import { withoutRoot } from '../data.ts';

const FILES = [
  { path: 'a.txt', text: 'a' },
  { path: 'deep/b.key', text: 'b', secret: true },
];

function listen() {
  const said: string[] = [];
  const terminal: Terminal = {
    out: () => undefined,
    err: (text) => void said.push(text),
    cwd: () => '/',
    cpus: () => 1,
    descriptorLimit: () => null,
    onSignal: () => () => undefined,
    onFault: () => undefined,
  };
  return { terminal, said };
}

t.test('files are written with their folders, secrets for the owner only, also over one that all could read', async (t) => {
  const dir = t.testdir({ deep: {} });
  writeFileSync(join(dir, 'deep/b.key'), 'old', { mode: 0o644 });
  const { terminal, said } = listen();
  t.equal(writeFiles(dir, FILES, { force: true, terminal }), 0);
  t.equal(readFileSync(join(dir, 'deep/b.key'), 'utf8'), 'b');
  t.equal(statSync(join(dir, 'deep/b.key')).mode & 0o777, 0o600);
  t.same(said, []);
});

t.test('a file that is there stays, and so none is written', async (t) => {
  const dir = t.testdir({ deep: { 'b.key': 'old' } });
  const { terminal, said } = listen();
  t.equal(writeFiles(dir, FILES, { force: false, terminal }), 73);
  t.equal(readFileSync(join(dir, 'deep/b.key'), 'utf8'), 'old');
  t.throws(() => statSync(join(dir, 'a.txt')), { code: 'ENOENT' });
  t.same(said, [`zone-egress: these files exist already; --force replaces them: ${join(dir, 'deep/b.key')}\n`]);
});

t.test('what is in the way is one sentence and exit 73', async (t) => {
  const dir = t.testdir({ file: 'x', folder: { 'a.txt': {} }, under: { deep: 'x' }, link: {} });
  symlinkSync('missing/there', join(dir, 'link/a.txt'));
  for (const [below, reason] of [
    ['file', /a file is where a folder is needed \(E\w+\)/],
    ['file/more', /a file is where a folder is needed \(E\w+\)/],
    ['under', /under\/deep\/b.key: a file is where a folder is needed \(E\w+\)/],
    ['folder', /folder\/a.txt: a folder is where a file is needed \(EISDIR\)/],
    ['link', /a link on the way leads nowhere \(ENOENT\)/],
  ] as const) {
    const { terminal, said } = listen();
    t.equal(writeFiles(join(dir, below), FILES, { force: true, terminal }), 73, below);
    t.equal(said.length, 1);
    t.match(said[0], new RegExp(`^zone-egress: write .*${reason.source}\\n$`));
  }
  const { terminal, said } = listen();
  const options = { dir: join(dir, 'file'), mesh: 'default', services: ['a'], keyType: 'ec', days: 1, force: false } as const;
  t.equal(await generateCertsCommand(options, terminal), 73, 'of the command too');
  t.equal(said.length, 1);
});

t.test('a folder that may not be written is one sentence and exit 77', withoutRoot, async (t) => {
  const dir = t.testdir({ closed: {} });
  chmodSync(join(dir, 'closed'), 0o500);
  t.teardown(() => chmodSync(join(dir, 'closed'), 0o700));
  const { terminal, said } = listen();
  t.equal(writeFiles(join(dir, 'closed'), FILES, { force: false, terminal }), 77);
  t.match(said, [/^zone-egress: write .*closed\/a.txt: no permission \(EACCES\)\n$/]);
});
