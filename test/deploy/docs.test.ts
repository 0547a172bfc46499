// Tests the commands of docs/deploy: those of this project run as printed. Those of other programs
// need a cluster, a daemon or root; the files that they name exist.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { MAIN } from '../egress/zone-process.ts';
import { env, root } from '../packed.ts';

/** Programs of other projects. test/deploy/image.test.ts tries `npm run image`. */
const OTHERS =
  /^(sudo )?(echo|docker|kubectl|helm|kumactl|systemctl|systemd-creds|systemd-analyze|install|journalctl|npm install|systemd-sysusers|npm run image)\b/;

const dir = mkdtempSync(join(tmpdir(), 'zone-egress-docs-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));

for (const page of readdirSync(join(root, 'docs/deploy'))) {
  t.test(`docs/deploy/${page}: its commands run, and the files that they name are there`, async (t) => {
    const text = readFileSync(join(root, 'docs/deploy', page), 'utf8');
    const lines = [...text.matchAll(/^```sh\n([^]*?)^```/gm)]
      .flatMap(([, block = '']) => block.replaceAll('\\\n', ' ').split('\n'))
      .map((line) => line.replace(/\s*#.*/, ''))
      .filter((line) => line !== '');
    t.ok(lines.length > 0, `${lines.length} commands`);
    for (const line of lines) {
      for (const [path = ''] of line.matchAll(/(?<=^|[\s=])deploy\/[\w./@-]+/g))
        // Files that an operator writes there do not exist.
        if (!line.includes(`> ${path}`)) t.ok(existsSync(join(root, path)), path);
      if (OTHERS.test(line)) continue;
      const command = line.replace(/^npx zone-egress /, `"${process.execPath}" "${MAIN}" `);
      t.not(command, line, `${line}: neither of this project nor of those that are listed`);
      const { status, stderr } = spawnSync('sh', ['-c', command], { cwd: dir, env, encoding: 'utf8' });
      t.strictSame({ status, stderr }, { status: 0, stderr: '' }, line);
    }
  });
}
