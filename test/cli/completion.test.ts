// Shell completion and the manual page, made from the table of commands.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { COMMANDS } from '../../src/cli/commands.ts';
import { completion } from '../../src/cli/completion.ts';
import { manPage } from '../../src/cli/man-page.ts';
import { CONTROL_PLANE_OPTIONS } from '../../src/cli/control-plane-flags.ts';
import { RUN_OPTIONS } from '../../src/cli/run-options.ts';

const MAN = new URL('../../docs/zone-egress.1', import.meta.url);

const dir = mkdtempSync(join(tmpdir(), 'zone-egress-completion-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
mkdirSync(join(dir, 'a folder'));
writeFileSync(join(dir, 'file.yaml'), '');
writeFileSync(join(dir, 'completion.bash'), completion('bash'));

/** Completes each list of words in one real bash, as the shell does at the last of them. */
function completed(...lines: readonly (readonly string[])[]): readonly (readonly string[])[] {
  const quoted = (word: string): string => `'${word}'`;
  const script = [
    'source ./completion.bash',
    ...lines.map(
      (words) =>
        `COMP_WORDS=(zone-egress ${words.map(quoted).join(' ')}); COMP_CWORD=${words.length}; _zone_egress; printf '%s\\t' "\${COMPREPLY[@]}"; echo`,
    ),
    'complete -p zone-egress',
  ].join('\n');
  const out = execFileSync('bash', ['--norc', '-eu', '-c', script], { cwd: dir, encoding: 'utf8' }).split('\n');
  t.equal(out[lines.length], 'complete -F _zone_egress zone-egress');
  return out.slice(0, lines.length).map((line) => line.split('\t').filter((word) => word !== ''));
}

t.test('real bash completes commands, options and values', async (t) => {
  const [first, part, second, options, some, level, equal, equalPart, dirs, files, none, short, more, help] = completed(
    [''],
    ['tok'],
    ['generate', ''],
    ['run', '-'],
    ['run', '--dataplane-t'],
    ['run', '--log-level', ''],
    ['run', '--log-level', '='],
    ['run', '--http', '=', 'of'],
    ['run', '--resources', ''],
    ['run', '--config', ''],
    ['run', '--cp-address', ''],
    ['run', '-d', ''],
    ['generate', 'certs', '--key-type', ''],
    ['help', 'gen'],
  );
  const words = [...new Set(Object.keys(COMMANDS).map((name) => name.replace(/ .*/, '')))];
  t.strictSame(first, [...words, 'version', 'help']);
  t.strictSame(part, ['token']);
  const generate = Object.keys(COMMANDS).flatMap((name) => (name.startsWith('generate ') ? name.slice('generate '.length) : []));
  t.strictSame(second, generate);
  for (const [name, { variableOnly }] of Object.entries({ ...RUN_OPTIONS, ...CONTROL_PLANE_OPTIONS }))
    t.equal(options?.includes(`--${name}`), variableOnly !== true, name);
  t.ok(options?.includes('--proxy-type') && options.includes('-d') && options.includes('--help'));
  t.strictSame(some, ['--dataplane-token-file', '--dataplane-token']);
  t.strictSame(level, ['debug', 'info', 'warn', 'error', 'off']);
  t.strictSame(equal, level, 'after --log-level=');
  t.strictSame(equalPart, ['off']);
  t.strictSame(dirs, ['a folder'], 'only folders, with their spaces');
  t.strictSame([...(files ?? [])].sort(), ['a folder', 'completion.bash', 'file.yaml']);
  t.strictSame(none, [], 'a URL is not completed');
  t.strictSame([...(short ?? [])].sort(), [...(files ?? [])].sort());
  t.strictSame(more, ['rsa', 'ec']);
  t.strictSame(help, ['generate']);
});

t.test('every command and option is in the script of each shell and in the manual page', async (t) => {
  const [bash, zsh, fish, man] = [completion('bash'), completion('zsh'), completion('fish'), manPage()];
  for (const [command, { options }] of Object.entries(COMMANDS)) {
    t.ok(bash.includes(`    '${command}')`), `bash ${command}`);
    t.ok(zsh.includes(`    '${command}') _arguments`), `zsh ${command}`);
    t.ok(man.includes(`\n.SH ${command.toUpperCase().replaceAll('-', '\\-')}\n`), `man ${command}`);
    const lines = zsh.split('\n').find((line) => line.startsWith(`    '${command}') `)) ?? '';
    for (const [name, { variableOnly }] of Object.entries(options)) {
      if (variableOnly === true) continue;
      t.match(lines, new RegExp(`'\\*--${name}(?:=|\\[)`), `zsh ${command} --${name}`);
      t.match(fish, new RegExp(` -l ${name} `), `fish ${command} --${name}`);
      t.ok(man.includes(`.B \\-\\-${name.replaceAll('-', '\\-')}`), `man ${command} --${name}`);
    }
  }
});

t.test('the manual page that is checked in is that of the options', async (t) => {
  if (process.env.UPDATE_README === '1') writeFileSync(MAN, manPage());
  t.equal(readFileSync(MAN, 'utf8'), manPage(), 'UPDATE_README=1 writes it');
});
