import { COMMANDS } from './commands.ts';
import { optionUsage } from './help.ts';
import type { OptionSpec } from './options.ts';

/** Returns the manual page zone-egress(1), made from the commands and their options. */
export function manPage(): string {
  const commands = Object.entries(COMMANDS);
  const lines = [
    '.\\" Made from the tables of commands and options.',
    '.TH ZONE-EGRESS 1 "" "zone-egress" "User Commands"',
    '.SH NAME',
    'zone\\-egress \\- a zone egress for Kuma and Kong Mesh',
    '.SH SYNOPSIS',
    '.B zone\\-egress',
    '.I COMMAND',
    '[options]',
    '.SH DESCRIPTION',
    roff('A variable of the environment wins over its flag, as in kuma-dp, and both win over the file of --config.'),
    ...commands.flatMap(([name, { usage, options }]) => [
      `.SH ${roff(name.toUpperCase())}`,
      `.B ${roff(usage[0])}`,
      '.PP',
      roff(usage[1]),
      ...Object.entries(options).flatMap(([option, spec]) => optionLines(option, spec)),
    ]),
    '.SH SEE ALSO',
    roff('The folder docs of the package, above all docs/reference/options.md, which lists the exit codes.'),
  ];
  return `${lines.join('\n')}\n`;
}

function optionLines(name: string, option: OptionSpec): readonly string[] {
  const { help, fallback, env = [], variableOnly } = option;
  const notes = [fallback === undefined ? '' : `default ${fallback}`, variableOnly === true ? '' : env.join(', ')].filter(
    (note) => note !== '',
  );
  return ['.TP', `.B ${roff(optionUsage(name, option))}`, roff(`${help}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`)];
}

/** Escapes a line of text: a dot at its begin would be a request. */
function roff(text: string): string {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('"', '\\(dq');
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
