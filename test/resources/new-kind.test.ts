/**
 * A kind is one file and one line: a copy of the sources gets a new kind that way, and everything
 * else follows: its reader, the checks of all kinds, and the types.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tmpdir } from 'node:os';
import t from 'tap';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The file of the kind. */
const FILE = `import type { Meta } from '../document.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

interface MeshColour { readonly meta: Meta; readonly colour: string }

export const meshColour: PolicyKind<MeshColour, 'colours'> = policyKind('colours', (document) => {
  const spec = document.spec(['colour']);
  const colour = spec.text('colour') ?? '';
  if (colour === 'plaid') spec.error('colour', 'must be one colour');
  return { meta: document.meta, colour };
});
`;
/** The line of the kind. */
const LINE = "export { meshColour as MeshColour } from './kinds/mesh-colour.ts';\n";

const RESOURCES = ['b', 'a', 'plaid', 'a']
  .map((name) => `type: MeshColour\nmesh: default\nname: ${name}\nspec: { colour: ${name} }\n`)
  .join('---\n');

/** Reads the resources; its types only hold if those of the set follow the kind. */
const PROBE = `import { createFindings } from './resources/findings.ts';
import { createParseCache } from './resources/parse-cache.ts';
import { readResources } from './resources/resource-set.ts';

const text = ${JSON.stringify(`type: Mesh\nname: default\n---\n${RESOURCES}---\ntype: MeshColor\nmesh: default\nname: x\n`)};
const findings = createFindings(false);
const [mesh] = readResources([{ path: 'x.yaml', text }], createParseCache(), findings).meshes;
const colours: readonly string[] = (mesh?.colours ?? []).map(({ colour }) => colour);
console.log(JSON.stringify({ colours, problems: findings.problems().map(({ field, message }) => field + ': ' + message) }));
`;

t.test('a kind of resource is one file and one line', async (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'zone-egress-kind-'));
  t.teardown(() => rmSync(copy, { recursive: true, force: true }));
  for (const name of ['src/base', 'src/wire', 'src/model', 'src/resources', 'package.json', 'tsconfig.json'])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));

  writeFileSync(join(copy, 'src/resources/kinds/mesh-colour.ts'), FILE);
  appendFileSync(join(copy, 'src/resources/kinds.ts'), LINE);

  const probe = join(copy, 'src/probe.ts');
  writeFileSync(probe, PROBE);
  const env = { ...process.env, NODE_OPTIONS: '' };
  const { colours, problems } = JSON.parse(execFileSync(process.execPath, [probe], { encoding: 'utf8', env })) as {
    readonly colours: readonly string[];
    readonly problems: readonly string[];
  };
  t.same(colours, ['a', 'b', 'plaid'], 'in the order of names');
  t.same(problems, [
    'spec.colour: must be one colour',
    'name: MeshColour "a" is already defined at x.yaml:9',
    'type: unknown kind "MeshColor", did you mean "MeshColour"?; not used',
  ]);

  const tsc = join(ROOT, 'node_modules/@typescript/native/lib/tsc.js');
  writeFileSync(
    join(copy, 'tsconfig.probe.json'),
    JSON.stringify({ extends: './tsconfig.json', include: [], files: ['src/probe.ts'] }),
  );
  const { stdout, status } = spawnSync(process.execPath, [tsc, '--noEmit', '-p', 'tsconfig.probe.json'], {
    cwd: copy,
    encoding: 'utf8',
    env,
  });
  t.same({ stdout, status }, { stdout: '', status: 0 }, 'the types of the resource set follow');

  writeFileSync(probe, PROBE.replace('({ colour }) => colour', '({ shade }) => shade'));
  const wrong = spawnSync(process.execPath, [tsc, '--noEmit', '-p', 'tsconfig.probe.json'], { cwd: copy, encoding: 'utf8', env });
  t.match(wrong.stdout, /Property 'shade' does not exist on type 'MeshColour'/, 'and they are checked');
});
