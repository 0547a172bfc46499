import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { headersIn, readHeadersFile } from '../../../src/observe/otlp/headers-file.ts';

t.test('a file of headers has one a line', async (t) => {
  t.strictSame(headersIn('# a comment\r\nAuthorization: Basic YTpi\r\n\nx-a:  b: c \nx-empty:\n', 'f'), {
    authorization: 'Basic YTpi',
    'x-a': 'b: c',
    'x-empty': '',
  });
});

t.test('an error names the place, and never what is in it', async (t) => {
  for (const [text, message] of [
    ['a: b\nsecret', 'f:2: allowed is a header as NAME: VALUE; the line is not shown'],
    ['se cret: b', 'f:1: allowed is a header as NAME: VALUE; the line is not shown'],
    ['a: secret\u0007', 'f:1: allowed is a header as NAME: VALUE; the line is not shown'],
    ['Content-Length: 5', 'f:1: the header content-length is set by the egress'],
    ['host: secret', 'f:1: the header host is set by the egress'],
  ] as const)
    t.throws(() => headersIn(text, 'f'), { name: 'OtlpError', message });
});

t.test('a file that cannot be read is one sentence', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-headers-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'headers');
  await t.rejects(readHeadersFile(file), { message: `${file}: the headers for the collector cannot be read: ENOENT` });
  await t.rejects(readHeadersFile(dir), { message: `${dir}: the headers for the collector cannot be read: EISDIR` });
  writeFileSync(file, `a: ${'b'.repeat(70_000)}`);
  await t.rejects(readHeadersFile(file), { message: /it has more than 65536 bytes$/ });
  writeFileSync(file, 'a: b');
  t.strictSame(await readHeadersFile(file), { a: 'b' });
});
