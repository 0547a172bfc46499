/**
 * Holds the table of versions in docs/kuma-3.0.md to the tests: a cell is a test that reads what a
 * control plane of that version sent, or one of the words that claim nothing.
 */
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';

const PAGE = readFileSync('docs/kuma-3.0.md', 'utf8');
const NOTHING: readonly string[] = ['gone', 'silent', 'refused', 'not offered', 'not recorded'];
/** What the text of a test has that reads a recording of the version. */
const READS: Readonly<Record<string, RegExp>> = {
  '2.9': /2\.9\.19/,
  '2.12': /2\.12\.14/,
  '2.14': /\bLIVE\b|\blive\(|'2\.14'/,
  '3.0': /\bDEV\b|'3\.0'/,
};

t.test('each cell names a test that reads a recording of its version, or claims nothing', async (t) => {
  const section = PAGE.slice(PAGE.indexOf('## What works with which version'), PAGE.indexOf('## What is not there'));
  const [head = [], , ...rows] = section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const [, ...versions] = head;
  t.same(versions, Object.keys(READS));
  t.ok(rows.length >= 10, `${rows.length} rows`);
  for (const [what = '', ...cells] of rows) {
    t.equal(cells.length, versions.length, what);
    for (const [i, cell] of cells.entries()) {
      const name = `${what}, ${versions[i]}: ${cell}`;
      if (NOTHING.includes(cell)) continue;
      const path = /^`(test\/[\w/-]+\.test\.ts)`$/.exec(cell)?.[1] ?? '';
      if (!t.ok(existsSync(path), name)) continue;
      t.match(readFileSync(path, 'utf8'), READS[versions[i] ?? '']!, name);
    }
  }
});
