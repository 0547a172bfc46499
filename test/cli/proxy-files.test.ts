// The proxies as which a process joins, read from files and folders with a token beside each file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { formatProblem } from '../../src/base/problem.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import { namesSeveral, proxyFiles } from '../../src/cli/proxy-files.ts';
import type { RunOptions } from '../../src/cli/run-options.ts';
import type { ProxyRoster } from '../../src/control/sources/proxy-roster.ts';
import { until } from '../egress/until.ts';

const clock = systemClock();
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (claims: object): string => `${part({ alg: 'RS256', kid: '1' })}.${part(claims)}.c2lnbmF0dXJl`;
const tokenOf = (mesh: string, more: object = {}): string => jwt({ Mesh: mesh, Tags: {}, ...more });

const dataplane = (mesh: string, name = 'egress', port = 10_002): string => `type: Dataplane
mesh: ${mesh}
name: ${name}
labels: { kuma.io/workload: ${name} }
networking:
  address: 192.0.2.8
  listeners: [{ type: ZoneEgress, port: ${port} }]
`;

interface Files {
  readonly dir: string;
  write(name: string, text: string): void;
  remove(name: string): void;
}

function folder(t: Test, files: Readonly<Record<string, string>>): Files {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-proxies-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const write = (name: string, text: string): void => writeFileSync(join(dir, name), text);
  for (const [name, text] of Object.entries(files)) write(name, text);
  return { dir, write, remove: (name) => rmSync(join(dir, name)) };
}

function flagsOf(argv: readonly string[]): NonNullable<RunOptions['controlPlane']> {
  const command = parseCommand(['run', '--cp-address=https://cp:5678', ...argv], {});
  if (command.kind !== 'command') throw new Error(JSON.stringify(command));
  const { controlPlane } = command.parsed as RunOptions;
  if (controlPlane === null) throw new Error('no control plane');
  return controlPlane;
}

async function read(roster: ProxyRoster, dir = '') {
  const { entries, problems } = await roster.read();
  return {
    ids: entries.map(({ controlPlane: { mesh = '', name } }) => `${mesh}.${name}`),
    tokens: await Promise.all(entries.map(({ controlPlane }) => controlPlane.token())),
    warnings: entries.flatMap(({ controlPlane: { warnings } }) => warnings),
    problems: problems.map((problem) => formatProblem(problem).replaceAll(`${dir}/`, '')),
  };
}

t.test('each file of a folder joins with the token beside it', async (t) => {
  const zone = jwt({ Zone: 'zone-1', Scope: ['egress'] });
  const { dir } = folder(t, {
    'a.yaml': dataplane('mesh-a'),
    'a.token': `${tokenOf('mesh-a')}\n`,
    'b.json': JSON.stringify({ type: 'ZoneEgress', name: 'old', networking: { address: '192.0.2.8', port: 10_003 } }),
    'b.token': zone,
    'notes.txt': 'not a proxy',
    '.hidden.yaml': 'type: Dataplane',
  });
  const flags = flagsOf([`--dataplane-file=${dir}`]);
  t.equal(await namesSeveral(flags), true);
  const { ids, tokens, problems, warnings } = await read(proxyFiles(flags, clock));
  t.same(ids, ['mesh-a.egress', '.old']);
  t.same(tokens, [tokenOf('mesh-a'), zone]);
  t.same([...problems, ...warnings], []);
});

t.test('one token for all, or one for each file in the same order', async (t) => {
  const { dir } = folder(t, {
    'a.yaml': dataplane('mesh-a'),
    'b.yaml': dataplane('mesh-b'),
    '1': tokenOf('mesh-a'),
    '2': tokenOf('mesh-b'),
  });
  const files = [`--dataplane-file=${dir}/a.yaml`, `--dataplane-file=${dir}/b.yaml`];
  const each = flagsOf([...files, `--dataplane-token-file=${dir}/1`, `--dataplane-token-file=${dir}/2`]);
  t.same((await read(proxyFiles(each, clock))).tokens, [tokenOf('mesh-a'), tokenOf('mesh-b')]);
  const one = await read(proxyFiles(flagsOf([...files, `--dataplane-token-file=${dir}/1`]), clock));
  t.same(one.tokens, [tokenOf('mesh-a'), tokenOf('mesh-a')]);
  t.match(one.warnings, [
    /^the token is for mesh mesh-a, and this is the Dataplane egress of mesh mesh-b: generate one with `kumactl/,
  ]);
  t.equal(await namesSeveral(flagsOf([files[0] ?? ''])), false, 'one file is one proxy');
});

t.test('what cannot be one list is refused, with what is allowed', async (t) => {
  const refusal = (...argv: readonly string[]): string => {
    const command = parseCommand(['run', ...argv], {});
    return command.kind === 'usage-error' ? command.message : 'taken';
  };
  t.match(refusal('-d', 'a', '-d', '-'), /--dataplane-file is given 2 times, once as -: standard input can be the only one/);
  t.match(refusal('-d', 'a', '-d', 'b', '--dataplane=type: x'), /^--dataplane and several --dataplane-file/);
  t.match(
    refusal('-d', 'a', '-d', 'b', '-d', 'c', '--dataplane-token-file=1', '--dataplane-token-file=2'),
    /--dataplane-token-file is given 2 times, and --dataplane-file 3 times: allowed is one token for each file/,
  );
});

t.test('a file with an error says where it is, and the others join', async (t) => {
  const { dir } = folder(t, {
    'a.yaml': dataplane('mesh-a'),
    'a.token': tokenOf('mesh-a'),
    'b.yaml': dataplane('mesh-b').replace('port: 10002', 'port: 0'),
    'b.token': tokenOf('mesh-b'),
    'c.yaml': dataplane('mesh-c'),
    'd.yaml': 'type: Dataplane\nname: [\n',
    'd.token': tokenOf('mesh-d'),
    'e.yaml': '',
    'e.token': tokenOf('mesh-e'),
    'f.yaml': dataplane('mesh-a'),
    'f.token': tokenOf('mesh-a'),
  });
  const { ids, problems } = await read(proxyFiles(flagsOf([`--dataplane-file=${dir}`]), clock), dir);
  t.same(ids, ['mesh-a.egress']);
  t.match(problems, [
    /^b\.yaml:7:\d+ networking\.listeners\[0\]\.port: port must be in the range \[1, 65535\]$/,
    /^c\.yaml has no token: put it into c\.token, or give --dataplane-token-file$/,
    /^d\.yaml:\d+:\d+ /,
    /^e\.yaml has no resource in it/,
    /^f\.yaml is the same proxy as a\.yaml, which joins alone: remove one of the files/,
  ]);
});

t.test('a change of a file or a token is noticed, and an error keeps what was there', async (t) => {
  const files = folder(t, { 'a.yaml': dataplane('mesh-a'), 'a.token': tokenOf('mesh-a') });
  const { dir } = files;
  const roster = proxyFiles(flagsOf([`--dataplane-file=${dir}`]), clock);
  const first = await roster.read();
  let told = 0;
  const stop = roster.watch(() => void told++);
  t.teardown(stop);
  const noticed = async (what: string, change: () => void): Promise<Awaited<ReturnType<typeof read>>> => {
    const before = told;
    change();
    await until(what, () => told > before);
    return read(roster, dir);
  };
  t.same((await noticed('a new file', () => files.write('b.yaml', dataplane('mesh-b')))).problems, [
    'b.yaml has no token: put it into b.token, or give --dataplane-token-file',
  ]);
  const both = await noticed('its token', () => files.write('b.token', tokenOf('mesh-b')));
  t.same(both.ids, ['mesh-a.egress', 'mesh-b.egress']);
  const broken = await noticed('an error', () => files.write('b.yaml', 'type: Dataplane\nname: [\n'));
  t.same(broken.ids, ['mesh-a.egress', 'mesh-b.egress'], 'it stays what it was');
  t.match(broken.problems, [/^b\.yaml:/]);
  const gone = await noticed('a file that is gone', () => files.remove('b.yaml'));
  t.same(gone, { ids: ['mesh-a.egress'], tokens: [tokenOf('mesh-a')], warnings: [], problems: [] });
  await noticed('another token', () => files.write('a.token', tokenOf('mesh-a', { Name: 'egress' })));
  const { entries } = await roster.read();
  t.not(entries[0]?.tokenMark, first.entries[0]?.tokenMark);
});

t.test('a token that does not fit is reported before the control plane is asked', async (t) => {
  const past = Math.floor(Date.now() / 1_000) - 60;
  for (const [claims, sentence] of [
    [
      { Zone: 'zone-1', Scope: ['egress'] },
      /^the token is a zone token, and the Dataplane egress of mesh mesh-a needs a dataplane token: generate one with `kumactl generate dataplane-token --mesh mesh-a --workload egress/,
    ],
    [{ Mesh: 'mesh-b' }, /^the token is for mesh mesh-b, and this is the Dataplane egress of mesh mesh-a: /],
    [{ Mesh: 'mesh-a', Name: 'other' }, /^the token is for the Dataplane other, and this is the Dataplane egress/],
    [
      { Mesh: 'mesh-a', Workload: 'w' },
      /^the token is for the workload w, and this is the Dataplane egress of mesh mesh-a with the workload egress: /,
    ],
    [{ Mesh: 'mesh-a', exp: past }, /^the token has expired \d{4}-/],
    [{ Mesh: 'mesh-a', nbf: past + 3_600 }, /^the token is valid from .* only: compare the clocks/],
    [{ Mesh: 'mesh\u001b[2J' }, /^the token is for mesh "mesh\\u001b\[2J"/],
  ] as const) {
    const { dir } = folder(t, { 'a.yaml': dataplane('mesh-a'), 'a.token': jwt(claims) });
    t.match((await read(proxyFiles(flagsOf([`--dataplane-file=${dir}`]), clock))).warnings, [sentence], JSON.stringify(claims));
  }
  const { dir } = folder(t, {
    'a.yaml': dataplane('mesh-a').replace(/labels.*\n/, ''),
    'a.token': tokenOf('mesh-a', { Workload: 'w' }),
    'zone.yaml': 'type: ZoneEgress\nname: old\nnetworking: { address: 192.0.2.8, port: 10002 }\n',
    'zone.token': tokenOf('mesh-a'),
  });
  const { warnings } = await read(proxyFiles(flagsOf([`--dataplane-file=${dir}`]), clock));
  t.match(warnings, [
    /has no kuma\.io\/workload/,
    /^the token is for the workload w, and the Dataplane egress of mesh mesh-a has no label kuma\.io\/workload: add it/,
    /^the token is a dataplane token of mesh mesh-a, and the ZoneEgress old needs a zone token: /,
  ]);
});
