/**
 * Rooms import only to the left, and some names are not allowed. It reads the present tree.
 * `UPDATE_README=1` writes the callers of a room into its ROOM.md.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path/posix';
import { fileURLToPath } from 'node:url';
import t from 'tap';

interface File {
  /** Relative to the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

/**
 * A room may import itself and the rooms of earlier lines; rooms of one line do not know each
 * other. Single files count as rooms.
 */
const ORDER: readonly (readonly string[])[] = [
  ['base'],
  ['wire'],
  ['model'],
  ['resources', 'routing'],
  ['files', 'identity', 'endpoints', 'traffic', 'observe', 'explain', 'xds'],
  ['admin'],
  ['worker.ts'],
  ['control'],
  ['config-thread.ts'],
  ['assembly'],
  ['egress.ts'],
  ['testing'],
  ['cli'],
  ['starters.mjs'],
  ['main.ts'],
  ['bin.mjs'],
];

/**
 * Packages with the rooms that may import them: one room, except for those that the fake control
 * plane needs.
 */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  'node-forge': ['identity'],
  pino: ['observe'],
  '@opentelemetry': ['observe'],
  'prom-client': ['observe'],
  re2js: ['admin'],
  yaml: ['resources'],
  '@grpc': ['xds', 'testing'],
  '@bufbuild': ['xds', 'testing'],
};

interface Ban {
  readonly what: string;
  readonly pattern: RegExp;
  /** Paths where it is allowed. */
  readonly except?: RegExp;
}

/** Bans in code, without comments and plain strings. */
const SOURCE_BANS: readonly Ban[] = [
  {
    what: 'process is for main.ts and bin.mjs',
    pattern: /(?<![.\w])process\.(?!cpuUsage|memoryUsage|constrainedMemory|uptime|version|nextTick\(|on\()/,
    except: /^src\/(main\.ts|bin\.mjs|starters\.mjs|testing\/egress\/unclosed-fakes\.ts)$/,
  },
  {
    what: 'listeners of the process are for the roots of threads',
    pattern: /(?<![.\w])process\.on\(/,
    // An unclosed fake reports itself at the end of the process.
    except: /^src\/(main\.ts|worker\.ts|testing\/egress\/unclosed-fakes\.ts)$/,
  },
  {
    what: 'the figures of the process are for observe',
    pattern: /(?<![.\w])process\.(cpuUsage|memoryUsage|constrainedMemory|uptime|version)/,
    // The limits of the container decide how much each thread may take.
    except: /^src\/(observe\/.*|control\/worker-memory\.ts|main\.ts|bin\.mjs)$/,
  },
  { what: 'globalThis.process', pattern: /globalThis\.process\b/ },
  {
    what: 'timers are for base/clock.ts',
    pattern: /(?<![.\w])(?:globalThis\.)?set(Timeout|Interval)\(/,
    // The wrapper of a checkout runs on any Node, which may not read the clock's TypeScript.
    except: /^src\/(base\/clock\.ts|starters\.mjs)$/,
  },
  { what: '.pipe(', pattern: /\.pipe\(/ },
  { what: 'removeAllListeners(', pattern: /\.removeAllListeners\(/ },
  { what: 'any', pattern: /:\s*any\b(?!\s*:)|\bas any\b|<any\b/ },
  { what: 'enum', pattern: /^\s*(export\s+)?(const\s+|declare\s+)*enum\s+\w/m },
  { what: 'default export', pattern: /^export default\b/m },
];

/**
 * The judgement consists of these; only `routing/decide.ts` calls them. All other code takes its
 * stages, so that a session, `explain` and `simulate` cannot judge in another order.
 */
const OF_THE_JUDGEMENT =
  /^import \{[^}]*\b(routeOf|authorise|authoriseClaims|choose)\b[^}]*\} from '[./]*(?:routing\/)?(route|authorise|choose)\.ts'/gm;

/** Other callers of one of them, with the purpose. */
const ASKS_PART_OF_IT: ReadonlyMap<string, string> = new Map([
  ['src/traffic/session-recheck.ts', 'a session whose bytes flow: whether its permission still lets it pass'],
  ['src/explain/sentences.ts', 'which rule alone would let a client pass'],
  ['src/explain/access-change.ts', 'whether a client may pass in one of two configurations'],
  ['src/cli/run-explain.ts', 'the mesh whose trust a certificate in a file is checked with'],
]);

function judgesAlone(files: readonly File[]): string[] {
  return files
    .filter(({ path, text }) => path !== 'src/routing/decide.ts' && [...text.matchAll(OF_THE_JUDGEMENT)].length > 0)
    .map(({ path }) => path);
}

const BANNED_NAMES = /(^|\/)(utils?|helpers?|common|managers?|index)(\.\w+)+$|(^|\/)(utils?|helpers?|common|managers?)\//i;

/** Returns every room and sub-room that has a file, e.g. `traffic` and `traffic/http`. */
function roomFolders(files: readonly Pick<File, 'path'>[]): string[] {
  const folders = files.flatMap(({ path }) => {
    const [, room = '', ...inner] = dirname(path).split('/');
    return room === '' ? [] : inner.length === 0 ? [room] : [room, `${room}/${inner.join('/')}`];
  });
  return [...new Set(folders)].sort();
}

/**
 * Returns the places that import each room. A room counts imports by other rooms, including those
 * of its sub-rooms; a sub-room those by other folders, including its room's. A single file is a
 * place of its own.
 */
function callersOf(files: readonly File[]): ReadonlyMap<string, ReadonlySet<string>> {
  const callers = new Map<string, Set<string>>();
  const add = (room: string, caller: string): void => {
    if (room !== caller) callers.set(room, (callers.get(room) ?? new Set()).add(caller));
  };
  const place = (path: string): string =>
    dirname(path) === 'src' ? path.slice('src/'.length) : dirname(path).slice('src/'.length);
  for (const { path, text } of files) {
    for (const name of importsOf(text)) {
      const target = normalize(join(dirname(path), name));
      if (!name.startsWith('.') || !target.startsWith('src/')) continue;
      add(roomOf(target), roomOf(path));
      if (place(target).includes('/')) add(place(target), place(path));
    }
  }
  return callers;
}

/** Joined from pieces, so that this file does not report itself. */
const MACHINE_FOLDERS: readonly string[] = ['work', 'root'];
const MACHINE_PATH = new RegExp(`(^|[^\\w.$}/-]|file://)/(${MACHINE_FOLDERS.join('|')})/[\\w.]`);

function roomOf(path: string): string {
  return path.split('/')[1] ?? '';
}

function rank(room: string): number {
  return ORDER.findIndex((line) => line.includes(room));
}

/**
 * Returns the imports of a file in every form: static, type only, re-export, dynamic, or the URL of
 * a worker.
 */
function importsOf(text: string): string[] {
  const code = withoutComments(text);
  const form = /\b(?:from|import)\s*\(?\s*(['"])(.+?)\1|new URL\(\s*(['"])(\..+?)\3\s*,\s*import\.meta\.url/g;
  return [...code.matchAll(form)].map((match) => match[2] ?? match[4] ?? '');
}

function wrongImports(files: readonly File[]): string[] {
  const found: string[] = [];
  for (const { path, text } of files) {
    const room = roomOf(path);
    if (rank(room) < 0) found.push(`${path}: the room ${room} has no place in the order`);
    for (const name of importsOf(text)) {
      const owner = OWNERS[name.split('/')[0] ?? ''];
      if (owner !== undefined && !owner.includes(room)) found.push(`${path}: ${name} is for src/${owner.join(' and src/')}`);
      if (/^(node:)?timers(\/promises)?$/.test(name)) found.push(`${path}: ${name}`);
      if (/^(node:)?process$/.test(name)) found.push(`${path}: ${name}`);
      if (!name.startsWith('.')) continue;
      const target = normalize(join(dirname(path), name));
      if (!target.startsWith('src/')) {
        // The launcher looks for the built package and for the pinned Node; package.json has the
        // version.
        if (room !== 'bin.mjs' && target !== 'package.json') found.push(`${path}: ${name} is outside src`);
        continue;
      }
      const other = roomOf(target);
      if (other !== room && rank(other) >= rank(room)) found.push(`${path}: ${room} may not import ${other} (${name})`);
    }
  }
  return found;
}

function bannedCode(files: readonly File[]): string[] {
  return files.flatMap(({ path, text }) => {
    const code = withoutComments(text, true);
    return SOURCE_BANS.filter(({ pattern, except }) => except?.test(path) !== true && pattern.test(code)).map(
      ({ what }) => `${path}: ${what}`,
    );
  });
}

function bannedNames(files: readonly Pick<File, 'path'>[]): string[] {
  return files.filter(({ path }) => BANNED_NAMES.test(path)).map(({ path }) => path);
}

function machinePaths(files: readonly File[]): string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) => (MACHINE_PATH.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 100)}`] : [])),
  );
}

/**
 * Removes comments, and with `strings` the content of plain quotes too. A regular expression with a
 * quote in it may hide the rest of its line.
 */
function withoutComments(text: string, strings = false): string {
  const token = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(token, (piece) => {
    if (piece.startsWith('/')) return ' ';
    return strings && !piece.startsWith('`') ? "''" : piece;
  });
}

const root = fileURLToPath(new URL('..', import.meta.url));
/** Files that are not the repository's own, or made by its tools. */
const FOREIGN =
  /^(\.git|\.tap|dist|node_modules|scripts\/((envoy-types|nodes)\/)?node_modules|generated|certs\/local|perf\/results)$/;
const TEXT = /\.(ts|mjs|js|json|md|ya?ml|html|css|sh)$|(^|\/)(Dockerfile|\.dockerignore|\.gitignore|\.npmrc|run)$/;

function read(folder: string): File[] {
  const files: File[] = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (FOREIGN.test(path)) continue;
    if (entry.isDirectory()) files.push(...read(path));
    else if (entry.isFile() && TEXT.test(path)) files.push({ path, text: readFileSync(join(root, path), 'utf8') });
  }
  return files;
}

const CALLED_BY = /^- Called by: .*$/m;
const isUpdate = process.env.UPDATE_README === '1';

const tree = read('');
const contributing = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');
/** Generated files are skipped. */
const sources = tree.filter(({ path }) => /^src\/.*\.(ts|mjs)$/.test(path));
const tests = tree.filter(({ path }) => /^test\/.*\.ts$/.test(path) && path !== 'test/architecture.test.ts');

t.test('rooms import to the left only, and a package stays in its room', async (t) => {
  t.ok(sources.length > 20, `${sources.length} files`);
  t.same(wrongImports(sources), []);
});

t.test('the sources have none of what is banned from them', async (t) => {
  t.same(bannedCode(sources), []);
});

t.test('only decide.ts calls what the judgement is made of', async (t) => {
  t.same(judgesAlone(sources).sort(), [...ASKS_PART_OF_IT.keys()].sort());
});

t.test('the map in CONTRIBUTING names every room and the one order of imports', async (t) => {
  const order = /^base <- .*$/m.exec(contributing)?.[0] ?? '';
  t.same(
    order.split(' <- ').map((line) =>
      line
        .replace(/[{}]/g, '')
        .split(',')
        .map((room) => room.trim())
        .sort(),
    ),
    ORDER.map((line) => [...line].sort()),
  );
  const rooms = [...contributing.matchAll(/^\| `([a-z/-]+|[a-z-]+\.(?:ts|mjs))` \| /gm)].map(([, room = '']) => room);
  const files = ORDER.flat().filter((room) => room.includes('.'));
  t.same(rooms.sort(), [...roomFolders(sources), ...files].sort());
});

t.test('each room opens with what it promises, what it leaves out and who calls it', async (t) => {
  const callers = callersOf(sources);
  for (const room of roomFolders(sources)) {
    const called = [...(callers.get(room) ?? [])].sort().map((caller) => `\`${caller}\``);
    const line = `- Called by: ${called.join(', ')}.`;
    const before = tree.find(({ path }) => path === `src/${room}/ROOM.md`)?.text ?? '';
    const page = isUpdate ? before.replace(CALLED_BY, line) : before;
    if (page !== before) writeFileSync(join(root, 'src', room, 'ROOM.md'), page);
    const lines = page.trimEnd().split('\n');
    t.equal(lines[0], `# ${room}`, `src/${room}/ROOM.md begins with its name`);
    t.ok(lines.length <= 8, `src/${room}/ROOM.md: ${lines.length} lines`);
    t.match(page, /^- Promises: \S.{20,}\.$/m, room);
    t.match(page, /^- Leaves out: \S.{20,}\.$/m, room);
    t.equal(CALLED_BY.exec(page)?.[0], line, `src/${room}/ROOM.md`);
  }
});

t.test('the tour leads to files that are there, and its words are in order', async (t) => {
  const page = readFileSync(join(root, 'docs/tour.md'), 'utf8');
  const links = [...page.matchAll(/\]\((\.\.[^)#]+)\)/g)].map(([, link = '']) => normalize(join('docs', link)));
  t.ok(links.length > 25, `${links.length} links`);
  t.same(
    links.filter((link) => !tree.some(({ path }) => path === link)),
    [],
  );
  const words = [...page.matchAll(/^\| ([A-Za-z][A-Za-z ]*) \| /gm)]
    .map(([, word = '']) => word)
    .filter((word) => word !== 'word');
  t.ok(words.length > 20, `${words.length} words`);
  t.same(
    words,
    [...words].sort((a, b) => a.toLowerCase().localeCompare(b.toLowerCase())),
  );
});

t.test('every file that CONTRIBUTING names is there', async (t) => {
  const named = [...contributing.matchAll(/`([a-z0-9/-]+\.(?:ts|mjs))`/g)].map(([, name = '']) => name);
  t.ok(named.length > 40, `${named.length} files`);
  const places = ['', 'src/', 'src/traffic/', 'test/', 'test/kuma/'];
  const missing = named.filter((name) => !places.some((place) => tree.some(({ path }) => path === place + name)));
  t.same([...new Set(missing)], []);
});

t.test('no file is called after nothing: utils, helpers, common, manager, index', async (t) => {
  t.same(bannedNames([...sources, ...tests]), []);
});

t.test('no text names a folder of the machine it was written on', async (t) => {
  t.same(machinePaths(tree.filter(({ path }) => path !== 'test/architecture.test.ts')), []);
});

t.test('these checks find what they look for', async (t) => {
  const one = (path: string, text: string): File[] => [{ path, text }];

  for (const text of [
    "import { x } from '../traffic/x.ts';",
    "import type { X } from '../traffic/x.ts';",
    "export { x } from '../traffic/x.ts';",
    "import '../traffic/x.ts';",
    "const x = await import('../traffic/x.ts');",
    "new Worker(new URL('../traffic/x.ts', import.meta.url));",
    'import {\n  x,\n} from "../traffic/x.ts";',
  ]) {
    t.match(wrongImports(one('src/routing/a.ts', text)), [/routing may not import traffic/], text);
    t.same(wrongImports(one('src/admin/a.ts', text)), [], `admin: ${text}`);
  }
  t.match(wrongImports(one('src/resources/kinds/a.ts', "import { x } from '../../routing/x.ts';")), [
    /resources may not import routing/,
  ]);
  t.match(wrongImports(one('src/worker.ts', "import { x } from './egress.ts';")), [/may not import egress.ts/]);
  t.match(wrongImports(one('src/attic/a.ts', '')), [/no place/]);
  t.match(wrongImports(one('src/base/a.ts', "import { x } from '../../test/x.ts';")), [/outside src/]);
  t.same(wrongImports(one('src/main.ts', "import { x } from './cli/x.ts';\n// from '../nowhere.ts'")), []);

  for (const name of Object.keys(OWNERS)) t.equal(wrongImports(one('src/wire/a.ts', `import x from '${name}';`)).length, 1, name);
  for (const name of ['node:timers/promises', 'timers', 'node:process']) {
    t.equal(wrongImports(one('src/wire/a.ts', `import x from '${name}';`)).length, 1, name);
  }
  t.same(wrongImports(one('src/observe/a.ts', "import pino from 'pino';")), []);

  for (const text of [
    'process.exit(1)',
    'const { argv } = globalThis.process;',
    'process.memoryUsage()',
    'setTimeout(f, 1)',
    'globalThis.setTimeout(f, 1)',
    'setInterval(f, 1)',
    'a.pipe(b)',
    'a.removeAllListeners()',
    'function f(x: any) {}',
    'const x = y as any;',
    'new Map<any, string>()',
    'export enum X {}',
    'const enum X {}',
    'export default 1',
    "const url = 'http://x'; process.exit(1)",
    'const text = `${process.cwd()}`;',
  ]) {
    t.ok(bannedCode(one('src/admin/a.ts', text)).length > 0, text);
  }
  for (const text of [
    '// process.exit(1)',
    '/* a.pipe(b) */',
    "const x = 'a.pipe(b): any';",
    'socket.setTimeout(1)',
    'scope.process.x',
    "const kind = { kind: 'any' };",
    'const x: { readonly any: string } = y;',
    'let t: NodeJS.Process;',
  ]) {
    t.same(bannedCode(one('src/admin/a.ts', text)), [], text);
  }
  t.same(bannedCode(one('src/main.ts', 'process.exit(1)')), []);
  t.same(bannedCode(one('src/observe/a.ts', 'process.memoryUsage()')), []);
  t.same(bannedCode(one('src/base/clock.ts', 'setTimeout(f, 1)')), []);

  for (const path of [
    'src/utils.ts',
    'src/a/util.ts',
    'src/helpers/x.ts',
    'src/a/common.ts',
    'src/a/Manager.ts',
    'src/a/index.ts',
    'test/helpers.ts',
  ]) {
    t.same(bannedNames([{ path }]), [path]);
  }
  for (const path of ['src/a/uncommon.ts', 'src/a/indexes.ts', 'src/a/name-table.ts']) t.same(bannedNames([{ path }]), []);

  for (const folder of MACHINE_FOLDERS) {
    for (const text of [`see /${folder}/main/x`, `'/${folder}/x'`, `file:///${folder}/x`])
      t.equal(machinePaths(one('README.md', text)).length, 1, text);
    t.same(machinePaths(one('README.md', `see src/${folder}/x and ./${folder}/x and https://a.example/${folder}/x`)), []);
  }
});
