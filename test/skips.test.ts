/**
 * The tests that may be skipped, where and how often. All others run on every machine, independent
 * of what lies beside the clone.
 */
import { globSync, readFileSync } from 'node:fs';
import t from 'tap';

/**
 * For each condition in `data.ts`, the number of tests of a file that use it. `.ci/run` runs the
 * first list once more, without `../shared`.
 */
const UNDER: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  withKuma: {
    'test/admin/envoy/kuma-dashboard.test.ts': 1,
    'test/deploy/kubernetes.test.ts': 1,
    'test/kuma/kuma.test.ts': 1,
    'test/kuma/mutation.test.ts': 2,
    'test/kuma/policies.test.ts': 7,
    'test/resources/mesh-external-service.test.ts': 1,
    'test/resources/plain-yaml.test.ts': 1,
    'test/testing/fake-bootstrap.test.ts': 1,
    'test/xds/bootstrap.test.ts': 2,
    'test/xds/translate-cluster.test.ts': 1,
  },
  withoutRoot: { 'test/cli/write-files.test.ts': 1, 'test/files/read-folder.test.ts': 1, 'test/identity/key-store.test.ts': 1 },
  withCurl: { 'test/egress/http-clients.test.ts': 1 },
  withTmux: { 'test/cli/top/top.test.ts': 1 },
  withGo: { 'test/egress/http-clients.test.ts': 1 },
  withPython: { 'test/egress/http-clients.test.ts': 1 },
  withPrometheus: { 'test/admin/envoy/kuma-dashboard.test.ts': 1, 'test/deploy/monitoring.test.ts': 2 },
  withZsh: { 'test/cli/completion-shells.test.ts': 1 },
  withFish: { 'test/cli/completion-shells.test.ts': 1 },
  withHelm: { 'test/deploy/helm.test.ts': 1 },
  withDevFull: { 'test/observe/recorder.test.ts': 1 },
  withKernelTimers: { 'test/egress/keep-alive.test.ts': 1 },
  withPrlimit: { 'test/egress/no-descriptors.test.ts': 2 },
  withChromium: { 'test/admin/page/browser.test.ts': 1 },
  withNamespaces: { 'test/deploy/image.test.ts': 1 },
  withFreePorts: { 'test/egress/process.test.ts': 1 },
};

/**
 * Ways around the conditions: an own skip, an early end that looks like success, an own path beside
 * the clone.
 */
const AROUND: Readonly<Record<string, RegExp>> = {
  'a skip of its own': /\bt\.(?:skip|todo)\(|\{\s*(?:skip|todo)\s*[:,}]|,\s*(?:skip|todo):/,
  'an early end': /\breturn (?:void )?t\.(?:comment|pass|end)\(/,
  'a path to what lies beside the clone': /\.\.\/shared\b|\bshared\/|\bconformance\//,
};

interface File {
  readonly path: string;
  readonly text: string;
}

const files: readonly File[] = globSync('test/**/*.ts')
  .filter((path) => path !== 'test/data.ts' && path !== 'test/skips.test.ts')
  .map((path) => ({ path: path.replaceAll('\\', '/'), text: readFileSync(path, 'utf8') }));

function codeOf(text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$|^import [^;]*;$/gm, '');
}

function countsOf(condition: string): Readonly<Record<string, number>> {
  const uses = files.map(({ path, text }) => [path, codeOf(text).split(new RegExp(`\\b${condition}\\b`)).length - 1] as const);
  return Object.fromEntries(uses.filter(([, count]) => count > 0));
}

function waysAround({ path, text }: File): readonly string[] {
  return Object.entries(AROUND).flatMap(([what, pattern]) => {
    const match = pattern.exec(codeOf(text));
    return match === null ? [] : [`${path}: ${what}: ${match[0]}`];
  });
}

t.test('what may be skipped is what is listed here, test by test', async (t) => {
  const exported = [...readFileSync('test/data.ts', 'utf8').matchAll(/^export (?:const|function) (with\w+)/gm)];
  t.same(exported.map(([, name]) => name).sort(), Object.keys(UNDER).sort(), 'each condition has its list');
  for (const [condition, counts] of Object.entries(UNDER)) t.same(countsOf(condition), counts, condition);
});

t.test('nothing else is skipped, and nothing else looks beside the clone', async (t) => {
  t.same(files.flatMap(waysAround), []);
});

t.test('what reads Kuma’s files is what is skipped without them', async (t) => {
  const readers = files.filter(({ text }) => /^import \{[^}]*\bKUMA\b[^}]*\} from '.*data\.ts';$/m.test(text));
  t.same(readers.map(({ path }) => path).sort(), Object.keys(UNDER['withKuma'] ?? {}));
});

t.test('a way around is found', async (t) => {
  for (const text of [
    "t.skip('no data')",
    't.todo()',
    "t.test('a', { skip: true }, f)",
    "t.test('a', { timeout: 1, skip: 'no data' }, f)",
    "t.test('a', { skip }, f)",
    "if (!there) return void t.comment('no data');",
    "if (!there) return t.pass('no data');",
    "readFileSync('../shared/a.json')",
    "new URL('../../../shared/conformance/', import.meta.url)",
  ])
    t.equal(waysAround({ path: 'a.test.ts', text }).length > 0, true, text);
  t.same(waysAround({ path: 'a.test.ts', text: "t.test('a', withKuma, f); // { skip: true }" }).length, 1);
  t.same(waysAround({ path: 'a.test.ts', text: "filter.skip('name'); t.comment('b');\n// t.skip('no data')" }), []);
});
