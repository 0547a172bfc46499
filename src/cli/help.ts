import { COMMANDS } from './commands.ts';
import type { OptionSpec } from './options.ts';

/**
 * Returns the help of all commands, of those under one word (`generate`), or of the named one:
 * `run`, `generate certs`.
 */
export function helpText(topic: string): string {
  const spec = Object.hasOwn(COMMANDS, topic) ? COMMANDS[topic] : undefined;
  if (spec === undefined) {
    const under = Object.entries(COMMANDS).filter(([name]) => name.startsWith(`${topic} `));
    const lines = (under.length > 0 ? under.map(([, entry]) => entry) : Object.values(COMMANDS)).map(
      ({ usage: [line, what] }) => `  ${line}\n      ${what}`,
    );
    return `zone-egress: a zone egress for Kuma and Kong Mesh\n\n${lines.join('\n')}\n  zone-egress version\n\nzone-egress help COMMAND lists the options of one.\n`;
  }
  const rows = Object.entries(spec.options).map(([name, option]) => {
    const { help, fallback, env = [], variableOnly } = option;
    const notes = [fallback === undefined ? '' : `default ${fallback}`, variableOnly ? '' : env.join(', ')].filter(
      (note) => note !== '',
    );
    return `  ${optionUsage(name, option).padEnd(30)} ${help}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
  });
  const body = rows.length === 0 ? '' : `\n${rows.join('\n')}\n`;
  return `${spec.usage.join('\n')}\n${body}`;
}

/** Formats `--drain-time DUR`, or the variable of an option without a flag. */
export function optionUsage(name: string, { value, short, env = [], variableOnly }: OptionSpec): string {
  if (variableOnly) return env.join(', ');
  const taken = value === undefined ? '' : ` ${value}`;
  return `--${name}${taken}${short === undefined ? '' : `, -${short}${taken}`}`;
}
