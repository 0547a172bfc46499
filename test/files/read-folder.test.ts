import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { MAX_FILE_BYTES, readFileBelow, readResourceFolder } from '../../src/files/read-folder.ts';
import { withoutRoot } from '../data.ts';

/** Node cannot make a FIFO. */
function makeFifo(path: string): void {
  execFileSync('sh', ['-c', 'mkfifo "$0"', path]);
}

async function read(dir: string) {
  const { files, problems } = await readResourceFolder(dir);
  return {
    paths: files.map(({ path }) => relative(dir, path)),
    texts: files.map(({ text }) => text),
    problems: problems.map(({ severity, file, message }) => `${severity} ${relative(dir, file)}: ${message}`),
  };
}

t.test('yaml, yml and json files are read from all folders, sorted by path', async (t) => {
  const dir = t.testdir({
    'b.yaml': 'b',
    'a.yml': 'a',
    'c.JSON': '{}',
    'readme.md': 'no',
    yaml: 'no',
    'x.yaml.bak': 'no',
    deep: { er: { 'd.yaml': 'd' }, 'e.json': 'e' },
    'folder.yaml': { 'f.yaml': 'f' },
    empty: {},
  });
  const { paths, texts, problems } = await read(dir);
  t.same(paths, ['a.yml', 'b.yaml', 'c.JSON', 'deep/e.json', 'deep/er/d.yaml', 'folder.yaml/f.yaml']);
  t.same(texts, ['a', 'b', '{}', 'e', 'd', 'f']);
  t.same(problems, []);
});

t.test('paths are as the operator gave the folder', async (t) => {
  const dir = relative(process.cwd(), t.testdir({ 'a.yaml': 'a', 'b.yaml': Buffer.from([0xff]) }));
  const { files, problems } = await readResourceFolder(`./${dir}/`);
  t.equal(files[0]?.path, join(dir, 'a.yaml'));
  t.match(problems, [{ file: join(dir, 'b.yaml'), line: 0, column: 0, field: '', message: 'not UTF-8 text', severity: 'error' }]);
});

t.test('names that begin with a dot are left out, files and folders', async (t) => {
  const dir = t.testdir({ '.a.yaml': 'no', '.git': { 'b.yaml': 'no' }, 'c.yaml': 'c' });
  t.same((await read(dir)).paths, ['c.yaml']);
});

t.test('a Kubernetes mount is read once, through its links', async (t) => {
  const dir = t.testdir({ '..2026_01_01': { 'mesh.yaml': 'one' } });
  symlinkSync('..2026_01_01', join(dir, '..data'));
  symlinkSync('..data/mesh.yaml', join(dir, 'mesh.yaml'));
  t.same(await read(dir), { paths: ['mesh.yaml'], texts: ['one'], problems: [] });
});

t.test('folders of a Kubernetes mount are read through their links, in folders too', async (t) => {
  const parent = t.testdir({
    dir: {
      '..2026_01_01': { 'mesh.yaml': 'mesh', denies: { 'x.yaml': 'deny', deep: { 'y.yaml': 'y' } } },
      zones: { '..1': { east: { 'z.yaml': 'z' } } },
    },
  });
  const dir = join(parent, 'dir');
  symlinkSync('..2026_01_01', join(dir, '..data'));
  symlinkSync('..data/mesh.yaml', join(dir, 'mesh.yaml'));
  symlinkSync('..data/denies', join(dir, 'denies'));
  symlinkSync('..1', join(dir, 'zones/..data'));
  symlinkSync('..data/east', join(dir, 'zones/east'));
  t.same(await read(dir), {
    paths: ['denies/deep/y.yaml', 'denies/x.yaml', 'mesh.yaml', 'zones/east/z.yaml'],
    texts: ['y', 'deny', 'mesh', 'z'],
    problems: [],
  });
  symlinkSync('dir', join(parent, 'link'));
  t.same((await read(join(parent, 'link'))).paths.length, 4, 'also where the folder itself is given as a link');
});

t.test('a folder with links to it is read once, by its own path, and circles of links end', async (t) => {
  const dir = t.testdir({ a: {}, real: { 'a.yaml': 'a', back: {} }, '.kept': { 'b.yaml': 'b' } });
  symlinkSync('../real', join(dir, 'a/link'));
  symlinkSync('.', join(dir, 'loop.yaml'));
  symlinkSync('../..', join(dir, 'real/back/up'));
  symlinkSync('../.kept', join(dir, '.kept/again'));
  symlinkSync('.kept', join(dir, 'x'));
  symlinkSync('.kept', join(dir, 'y'));
  const { paths, problems } = await read(dir);
  t.same(problems, []);
  t.equal(paths.length, 2);
  t.equal(paths[0], 'real/a.yaml');
  t.match(paths[1], /^[xy]\/b\.yaml$/);
});

t.test('a link that leads out of the folder or nowhere is an error, whatever its name', async (t) => {
  const parent = t.testdir({ dir: {}, 'dir-not': { 'a.yaml': 'canary' } });
  const dir = join(parent, 'dir');
  symlinkSync('../dir-not', join(dir, 'out'));
  symlinkSync('..', join(dir, 'up.yaml'));
  symlinkSync('missing', join(dir, 'gone.yaml'));
  symlinkSync('missing', join(dir, 'denies'));
  symlinkSync('circle', join(dir, 'circle'));
  t.same(await read(dir), {
    paths: [],
    texts: [],
    problems: [
      'error circle: read: its links go in a circle (ELOOP)',
      'error denies: read: no such file or folder (ENOENT)',
      'error gone.yaml: read: no such file or folder (ENOENT)',
      `error out: a symbolic link to a folder that is not below ${dir}`,
      `error up.yaml: a symbolic link to a folder that is not below ${dir}`,
    ],
  });
});

t.test('a FIFO, a device and a socket are errors and hold nothing up', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'a' });
  makeFifo(join(dir, 'fifo.yaml'));
  symlinkSync('/dev/zero', join(dir, 'zero.json'));
  symlinkSync('fifo.yaml', join(dir, 'to-fifo.yml'));
  t.same(await read(dir), {
    paths: ['a.yaml'],
    texts: ['a'],
    problems: ['fifo.yaml', 'to-fifo.yml', 'zero.json'].map((name) => `error ${name}: not a regular file`),
  });
});

t.test('a file holds at most 4 MiB, also one that says it is empty', async (t) => {
  const dir = t.testdir({ 'most.yaml': Buffer.alloc(MAX_FILE_BYTES, 0x20), 'more.yaml': Buffer.alloc(MAX_FILE_BYTES + 1, 0x20) });
  symlinkSync('/proc/self/status', join(dir, 'proc.yaml'));
  const { paths, texts, problems } = await read(dir);
  t.same(problems, ['error more.yaml: at least 4194305 bytes (limit 4194304)']);
  t.same(paths, ['most.yaml', 'proc.yaml']);
  t.match(texts[1], /^Name:/);
});

t.test('a folder that is missing, or is a file, is one problem', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'a' });
  t.match(await readResourceFolder(join(dir, 'missing')), {
    files: [],
    problems: [{ file: join(dir, 'missing'), message: 'read folder: no such file or folder (ENOENT)' }],
  });
  t.match(await readResourceFolder(join(dir, 'a.yaml')), {
    files: [],
    problems: [{ message: 'read folder: not a folder (ENOTDIR)' }],
  });
});

t.test('what may not be read is a problem, and the rest is read', withoutRoot, async (t) => {
  const dir = t.testdir({ 'a.yaml': 'a', 'b.yaml': 'b', closed: { 'c.yaml': 'c' } });
  chmodSync(join(dir, 'a.yaml'), 0);
  chmodSync(join(dir, 'closed'), 0);
  t.teardown(() => chmodSync(join(dir, 'closed'), 0o700));
  const { paths, problems } = await read(dir);
  t.same(paths, ['b.yaml']);
  t.match(problems, [/closed: read folder: no permission/, /a\.yaml: read: no permission/]);
});

t.test('a byte order mark is not part of the text', async (t) => {
  const dir = t.testdir({ 'a.yaml': '\ufeffkind: Mesh' });
  t.same((await read(dir)).texts, ['kind: Mesh']);
});

t.test('the fingerprint is the same until something changes', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'a' });
  const before = await readResourceFolder(dir);
  t.equal((await readResourceFolder(dir)).fingerprint, before.fingerprint);
  writeFileSync(join(dir, 'readme.md'), 'x');
  t.equal((await readResourceFolder(dir)).fingerprint, before.fingerprint);
  writeFileSync(join(dir, 'b.yaml'), 'x');
  t.not((await readResourceFolder(dir)).fingerprint, before.fingerprint);
});

t.test('hundreds of files are read, in order', async (t) => {
  const names = Array.from({ length: 300 }, (_, i) => `${String(i).padStart(3, '0')}.yaml`);
  const dir = t.testdir(Object.fromEntries(names.map((name) => [name, name])));
  const { paths, texts } = await read(dir);
  t.same(paths, names);
  t.same(texts, names);
});

t.test('a file that a resource names is read from below the folder, also by its whole path', async (t) => {
  const dir = t.testdir({ certs: { 'ca.pem': 'PEM' } });
  symlinkSync('certs', join(dir, 'link'));
  for (const path of ['certs/ca.pem', './certs/../certs/ca.pem', join(dir, 'certs/ca.pem'), 'link/ca.pem']) {
    t.same(readFileBelow(dir, path), { text: 'PEM' }, path);
  }
});

t.test('nothing outside of the folder is read, and no error says what is in a file', async (t) => {
  const parent = t.testdir({ root: { 'in.pem': 'canary' }, 'root-not': { 'a.pem': 'canary' }, 'out.pem': 'canary' });
  const root = join(parent, 'root');
  symlinkSync('../out.pem', join(root, 'out.pem'));
  symlinkSync('..', join(root, 'up'));
  symlinkSync('/proc/self/environ', join(root, 'environ'));
  makeFifo(join(root, 'fifo'));
  mkdirSync(join(root, 'folder'));
  writeFileSync(join(root, 'large'), Buffer.alloc(MAX_FILE_BYTES + 1, 'canary'));
  writeFileSync(join(root, 'binary'), Buffer.from([0x63, 0xff]));
  for (const [path, error] of [
    ['../out.pem', /^it is not below the folder/],
    ['out.pem', /^it is not below the folder/],
    ['up/out.pem', /^it is not below the folder/],
    ['../root-not/a.pem', /^it is not below the folder/],
    ['/etc/passwd', /^it is not below the folder/],
    ['environ', /^it is not below the folder/],
    ['/proc/self/environ', /^it is not below the folder/],
    ['/dev/zero', /^it is not below the folder/],
    ['.', /^it is not below the folder/],
    ['folder', /^not a regular file$/],
    ['fifo', /^not a regular file$/],
    ['large', /^at least 4194305 bytes \(limit 4194304\)$/],
    ['binary', /^not UTF-8 text$/],
    ['missing', /^no such file or folder \(ENOENT\)$/],
    ['in.pem/x', /ENOTDIR/],
    ['in.pem\0', /^not a path$/],
    ['', /^not a path$/],
  ] as const) {
    const found = readFileBelow(root, path);
    t.match(found, { error }, JSON.stringify(path));
    t.notMatch(JSON.stringify(found), /canary/);
  }
  t.match(readFileBelow(join(parent, 'missing'), 'a'), { error: /ENOENT/ });
});
