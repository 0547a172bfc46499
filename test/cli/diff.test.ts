import { mkdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { ZONE } from '../explain/zone.ts';
import { runCommand } from './running.ts';

t.test('diff exits with 0 where two folders serve the same, and with 3 where they do not', async (t) => {
  const dir = t.testdir({});
  const folder = (name: string, text: string): string => {
    mkdirSync(`${dir}/${name}`);
    writeFileSync(`${dir}/${name}/zone.yaml`, text);
    return `${dir}/${name}`;
  };
  const before = folder('old', ZONE);
  t.match(await runCommand('diff', before, folder('same', `# a comment\n${ZONE}`)), {
    code: 0,
    err: '',
    out: /^the same: configuration [0-9a-f]{16}\n$/,
  });
  const open = folder('new', ZONE.replace('{ match: { kuma.io/service: frontend } }', "{ match: { kuma.io/service: '*' } }"));
  t.match(await runCommand('diff', before, open), {
    code: 3,
    out: /NEWLY ALLOWED\n {2}api\{mesh=default\}: .*any other client of mesh default \(.*new\/zone\.yaml:\d+\)/,
  });
  const { code, out } = await runCommand('diff', before, open, '-o', 'json');
  t.equal(code, 3);
  t.match(JSON.parse(out), {
    version: 1,
    isSame: false,
    routes: [{ kind: 'changed', sni: 'api{mesh=default}', noLongerAllowed: [] }],
    clusters: [],
    meshes: [],
  });
  t.match(await runCommand('diff', before, folder('bad', 'type: Mesh\nname: "a b"\n')), {
    code: 78,
    out: '',
    err: /bad\/zone\.yaml:2[^]*cannot be used/,
  });
});

t.test('what cannot be compared is a usage error', async (t) => {
  t.match(await runCommand('diff', 'a'), { code: 64, err: /needs two folders/ });
  t.match(await runCommand('diff', 'a', 'b', 'c'), { code: 64, err: /takes two folders, got "c" too/ });
  t.match(await runCommand('diff', 'a', 'b', '-o', 'yaml'), { code: 64, err: /allowed are text and json/ });
});
