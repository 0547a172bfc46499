import { withoutKeys } from '../base/key-material.ts';
import { COMMANDS } from './commands.ts';
import type { Invocation } from './command-spec.ts';
import type { Env } from './options.ts';

/**
 * argv and environment -> one Command, pure. Where a flag and a variable are both given the variable wins, as in kuma-dp.
 * Unknown flags and values that cannot be are errors that say what is allowed.
 */
export type Command =
  | ({ readonly kind: 'command'; readonly name: string } & Invocation)
  | { readonly kind: 'version' }
  | { readonly kind: 'help'; readonly topic: string }
  | { readonly kind: 'usage-error'; readonly message: string };

export function parseCommand(argv: readonly string[], env: Env): Command {
  const [first, ...rest] = argv;
  if (first === undefined || first === 'help' || first === '--help' || first === '-h')
    return { kind: 'help', topic: rest[0] ?? '' };
  if (first === 'version' || first === '--version') return { kind: 'version' };
  if (rest.includes('--help') || rest.includes('-h'))
    return { kind: 'help', topic: first === 'generate' ? `generate ${rest[0] ?? ''}` : first };
  try {
    return find(first, rest, env);
  } catch (error) {
    // A flag with a slip in its name leaves its value where an error quotes it.
    return { kind: 'usage-error', message: withoutKeys(error instanceof Error ? error.message : String(error)) };
  }
}

/** Of one word, or of two where the first has several commands under it. */
function find(first: string, rest: readonly string[], env: Env): Command {
  const [second = '', ...others] = rest;
  for (const [name, { invoke }] of Object.entries(COMMANDS)) {
    if (name === first) return { kind: 'command', name, ...invoke(rest, env) };
    if (name === `${first} ${second}`) return { kind: 'command', name, ...invoke(others, env) };
  }
  const names = Object.keys(COMMANDS);
  const under = names.filter((name) => name.startsWith(`${first} `)).map((name) => name.slice(first.length + 1));
  if (under.length > 0) throw new Error(`${first} ${second}: allowed are ${under.join(' and ')}`);
  const words = [...new Set(names.map((name) => name.replace(/ .*/, '')))];
  throw new Error(`unknown command ${JSON.stringify(first)}: allowed are ${words.join(', ')}, version, help`);
}
