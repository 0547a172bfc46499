import t from 'tap';
import { compile } from '../../src/resources/compile.ts';
import { createFindings } from '../../src/resources/findings.ts';
import { createParseCache } from '../../src/resources/parse-cache.ts';
import { ALLOW_ALL, EGRESS, external, lines, MESH, snapshotOf, withIdentities } from './fixtures/compiling.ts';

const zone = { path: 'zone.yaml', text: [EGRESS, MESH, ALLOW_ALL].join('---\n') };
const service = (name: string): { path: string; text: string } => ({ path: 'service.yaml', text: external(name) });

t.test('a file that did not change is not parsed again, one that did is', async (t) => {
  const cache = createParseCache();
  const findings = createFindings(false);
  const [before, other] = [cache.parse([zone, service('a')], findings), cache.parse([zone, service('b')], findings)];
  t.equal(before.length, 4);
  t.ok(before.slice(0, 3).every((value, i) => value === other[i]));
  t.not(before[3], other[3]);
  t.match(
    JSON.stringify(other[3], (_, value: unknown) => (value instanceof Map ? [...value] : value)),
    /"b"/,
  );
});

t.test('a compile with what was parsed before gives what one without gives', async (t) => {
  const cache = createParseCache();
  for (const files of [[zone, service('a')], [zone, service('b')], [zone], [service('a'), zone]]) {
    const compiled = compile(files, { ...withIdentities, cache });
    t.equal(snapshotOf(compiled).version, snapshotOf(compile(files, withIdentities)).version);
  }
});

t.test('an error in a file is reported with every compile, until the file is right or gone', async (t) => {
  const cache = createParseCache();
  const broken = { path: 'broken.yaml', text: 'a: [1, 2\n' };
  const say = (files: readonly { path: string; text: string }[]): readonly string[] =>
    lines(compile(files, { ...withIdentities, cache }));
  const first = say([zone, broken]);
  t.ok(first.length > 0);
  t.same(say([zone, broken]), first);
  t.same(say([zone, { path: 'broken.yaml', text: '# nothing\n' }]), []);
  t.same(say([zone, broken]), first);
  t.same(say([zone]), []);
});

t.test('a file with the content of another keeps its own name in messages', async (t) => {
  const cache = createParseCache();
  const text = 'type: MeshRetry\nmesh: default\nname: x\n';
  compile([zone, { path: 'a.yaml', text }], { ...withIdentities, cache });
  t.match(lines(compile([zone, { path: 'b.yaml', text }], { ...withIdentities, cache })), [/^b\.yaml:1:7 warning/]);
});
