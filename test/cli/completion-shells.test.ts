// The completion of zsh and fish in the shells themselves: what they offer, and that no script
// prints an error. Test of bash: completion.test.ts.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';
import { COMMANDS } from '../../src/cli/commands.ts';
import { completion } from '../../src/cli/completion.ts';
import { CONTROL_PLANE_OPTIONS } from '../../src/cli/control-plane-flags.ts';
import { RUN_OPTIONS } from '../../src/cli/run-options.ts';
import { withFish, withZsh } from '../data.ts';

type Offered = ReadonlyMap<string, readonly string[]>;

const dir = mkdtempSync(join(tmpdir(), 'zone-egress-shells-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
const home = join(dir, 'home');
const work = join(dir, 'work');
mkdirSync(home);
mkdirSync(join(work, 'a folder'), { recursive: true });
writeFileSync(join(work, 'file.yaml'), '');
// Nothing of the shells of this user is read.
const { NODE_OPTIONS: _, ...inherited } = process.env;
const env = { ...inherited, HOME: home, ZDOTDIR: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home, TERM: 'dumb' };

const secondOf = (first: string): readonly string[] =>
  Object.keys(COMMANDS).flatMap((name) => (name.startsWith(`${first} `) ? name.slice(first.length + 1) : []));
const firsts = [...new Set(Object.keys(COMMANDS).map((name) => name.replace(/ .*/, '')))];
const runFlags = Object.entries({ ...RUN_OPTIONS, ...CONTROL_PLANE_OPTIONS }).flatMap(([name, { variableOnly }]) =>
  variableOnly === true ? [] : [`--${name}`],
);

/** Each line with all that has to be offered at its end. */
const EXACT: readonly (readonly [line: string, offers: readonly string[]])[] = [
  ['zone-egress tok', ['token']],
  ['zone-egress ', [...firsts, 'version', 'help']],
  ['zone-egress generate ', secondOf('generate')],
  ['zone-egress help gen', ['generate']],
  ['zone-egress run --log-level ', ['debug', 'info', 'warn', 'error', 'off']],
  ['zone-egress run --dataplane-t', ['--dataplane-token', '--dataplane-token-file']],
  ['zone-egress run --strict --drain-', ['--drain-exit-code', '--drain-time']],
  ['zone-egress run --cp-address ', []],
  ['zone-egress generate certs --key-type ', ['ec', 'rsa']],
  ['zone-egress config print --htt', ['--http']],
  ['zone-egress generate zone-token --va', ['--valid-for']],
  ['zone-egress token inspect --he', ['--help']],
];
const SOME: readonly (readonly [line: string, offers: readonly string[]])[] = [
  ['zone-egress run --', [...runFlags, '--help']],
  ['zone-egress run --proxy-type ', ['egress', 'dataplane']],
];

function check(t: Test, offered: Offered): void {
  for (const [line, offers] of EXACT) t.strictSame([...(offered.get(line) ?? [])].sort(), [...offers].sort(), line);
  for (const [line, offers] of SOME) {
    const missing = offers.filter((each) => offered.get(line)?.includes(each) !== true);
    t.strictSame(missing, [], line);
  }
}

const LINES = [...EXACT, ...SOME].map(([line]) => line);
const [FOLDERS, FILES, EQUAL] = ['zone-egress run --resources ', 'zone-egress run --config ', 'zone-egress run --http=of'];

t.test('real zsh offers commands, flags and values, from the first tab on', withZsh, async (t) => {
  writeFileSync(join(dir, '_zone-egress'), completion('zsh'));
  const script = fileURLToPath(new URL('../data/completion/complete.zsh', import.meta.url));
  execFileSync('zsh', ['-f', script, dir, ...LINES, FOLDERS, FILES, EQUAL], { cwd: work, env, stdio: 'pipe' });
  const offered = new Map<string, string[]>();
  let hits: string[] = [];
  for (const line of readFileSync(join(dir, 'hits'), 'utf8').trimEnd().split('\n')) {
    const [, kind, text = ''] = /^(LINE|HIT) (.*)$/.exec(line) ?? [];
    if (kind === 'LINE') offered.set(text, (hits = []));
    else if (!hits.includes(text)) hits.push(text);
  }
  check(t, offered);
  t.strictSame(offered.get(FOLDERS), ['a\\ folder']);
  t.strictSame([...(offered.get(FILES) ?? [])].sort(), ['a\\ folder', 'file.yaml']);
  t.strictSame(offered.get(EQUAL), ['off']);
  t.equal(readFileSync(join(dir, 'errors'), 'utf8'), '', 'no error');
  const sourced = 'autoload -Uz compinit && compinit -u -D && source "$1" && print -r -- $_comps[zone-egress]';
  const said = execFileSync('zsh', ['-f', '-c', sourced, 'zsh', join(dir, '_zone-egress')], { env, encoding: 'utf8' });
  t.equal(said, '_zone_egress\n', 'it may be read by source too');
});

t.test('real fish offers commands, flags and values', withFish, async (t) => {
  const script = join(dir, 'zone-egress.fish');
  writeFileSync(script, completion('fish'));
  const code = 'source $argv[1]; for line in $argv[2..]; echo "LINE $line"; complete -C $line; end 2>&1';
  const argv = ['--no-config', '-c', code, script, ...LINES, FOLDERS, FILES, EQUAL];
  const out = execFileSync('fish', argv, { cwd: work, env, encoding: 'utf8' });
  const offered = new Map<string, string[]>();
  for (const part of out.split(/^LINE /m).slice(1)) {
    const [line = '', ...rest] = part.split('\n');
    offered.set(
      line,
      rest.flatMap((each) => (each === '' ? [] : [each.replace(/\t.*/, '')])),
    );
  }
  check(t, offered);
  t.strictSame(offered.get(FOLDERS), ['a folder/']);
  t.strictSame([...(offered.get(FILES) ?? [])].sort(), ['a folder/', 'file.yaml']);
  t.strictSame(offered.get(EQUAL), ['--http=off']);
});
