import { withoutKeys } from '../base/key-material.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import { COMMANDS } from './commands.ts';
import type { Invocation } from './command-spec.ts';
import { ConfigFileError } from './config-file.ts';
import { insteadOf } from './misplaced.ts';
import { UnknownOption } from './options.ts';
import type { Env } from './options.ts';

/**
 * Turns argv and environment into one Command; pure but for the file of `--config`. A variable
 * wins over its flag, as in kuma-dp. Unknown flags and invalid values are errors that list what is
 * allowed.
 */
export type Command =
  | ({ readonly kind: 'command'; readonly name: string } & Invocation)
  | { readonly kind: 'version' }
  | { readonly kind: 'help'; readonly topic: string }
  /** `code`: the exit code, where it is not that of wrong usage. */
  | { readonly kind: 'usage-error'; readonly message: string; readonly code?: number };

export function parseCommand(argv: readonly string[], env: Env): Command {
  const [first, ...rest] = argv;
  try {
    if (first === undefined || HELP.includes(first)) return helpOn(rest.filter((word) => !HELP.includes(word)));
    if (rest.includes('--help') || rest.includes('-h')) return helpOn(namedBy([first, ...rest]));
    if (first === 'version' || first === '--version') {
      if (rest[0] !== undefined) throw new Error(`version takes nothing, got ${JSON.stringify(rest[0])}`);
      return { kind: 'version' };
    }
    return find([first, ...rest], env);
  } catch (error) {
    // After a flag with a misspelt name, the error may quote its value.
    const message = withoutKeys(error instanceof Error ? error.message : String(error));
    return error instanceof ConfigFileError
      ? { kind: 'usage-error', message, code: error.code }
      : { kind: 'usage-error', message };
  }
}

const HELP: readonly string[] = ['help', '--help', '-h'];

/** Finds the command of one word, or of two where the first has several commands under it. */
function find(argv: readonly string[], env: Env): Command {
  const name = namedBy(argv).join(' ');
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) throw unknownCommand(name);
  try {
    return { kind: 'command', name, ...entry.invoke(argv.slice(name.split(' ').length), env) };
  } catch (error) {
    if (error instanceof UnknownOption)
      throw new Error(`${error.message}${insteadOf(error.option, name)}; zone-egress help ${name} lists them`);
    throw error;
  }
}

/** Returns the words of `argv` that name a command. */
function namedBy([first = '', second = '']: readonly string[]): readonly string[] {
  return under(first).length > 0 && second !== '' && !second.startsWith('-') ? [first, second] : [first];
}

/** Returns the second words of commands that share their first. */
function under(first: string): readonly string[] {
  return Object.keys(COMMANDS).flatMap((name) => (name.startsWith(`${first} `) ? name.slice(first.length + 1) : []));
}

function helpOn(words: readonly string[]): Command {
  const topic = words.join(' ');
  if (topic === '' || topic === 'version' || Object.hasOwn(COMMANDS, topic) || under(topic).length > 0)
    return { kind: 'help', topic };
  const [name, rest] = [namedBy(words).join(' '), words.slice(namedBy(words).length)];
  if (rest[0] !== undefined && Object.hasOwn(COMMANDS, name))
    throw new Error(`help takes one command, got ${JSON.stringify(rest[0])} too`);
  throw unknownCommand(topic);
}

function unknownCommand(name: string): Error {
  const [first = '', second = ''] = name.split(' ');
  const below = under(first);
  if (below.length > 0)
    return new Error(`${first} ${second}`.trim() + `: allowed are ${listed(below)}${didYouMean(second, below)}`);
  const words = [...new Set(Object.keys(COMMANDS).map((each) => each.replace(/ .*/, ''))), 'version', 'help'];
  return new Error(`unknown command ${JSON.stringify(first)}: allowed are ${listed(words)}${didYouMean(first, words)}`);
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`;
}
