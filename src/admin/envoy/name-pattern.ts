/**
 * Regular expressions for the names of statistics, clusters and resources, as in Envoy: RE2 parses
 * a pattern and runs it in time linear in the length of the name, so that `(a+)+$` from a caller of
 * an admin page holds up no session. RE2 does not bound the size of a program and the time to
 * compile it tightly enough for a page: `(…900 characters…){1000}` compiles for seconds. So the
 * size is estimated first.
 */
import { RE2JS, RE2JSSyntaxException } from 're2js';

export type NamePattern =
  { readonly kind: 'pattern'; readonly matches: (name: string) => boolean } | { readonly kind: 'bad'; readonly why: string };

const MAX_LENGTH = 1_024;
const MAX_STATES = 2_048;
const MAX_GROUPS_DEEP = 32;

/** Matches anywhere in a name; with `whole`, the whole name. */
export function namePattern(text: string, whole = false): NamePattern {
  if (text.length > MAX_LENGTH) return { kind: 'bad', why: `it has ${text.length} characters (limit ${MAX_LENGTH})` };
  if (!whole && /^[\w:-]*$/.test(text)) return { kind: 'pattern', matches: (name) => name.includes(text) };
  const why = excessOf(text);
  if (why !== null) return { kind: 'bad', why };
  try {
    const pattern = RE2JS.compile(text);
    return { kind: 'pattern', matches: whole ? (name) => pattern.matches(name) : (name) => pattern.test(name) };
  } catch (error) {
    if (error instanceof RE2JSSyntaxException) return { kind: 'bad', why: inEnvoysWords(error) };
    throw error;
  }
}

/** One escape, one class, one repetition, or one character. */
const TOKEN = /\\[^]|\[\^?\]?(?:\\[^]|\[:\^?\w+:\]|[^\]\\])*\]|\{(\d{1,5})(,(\d{0,5}))?\}|[^]/g;

/**
 * Returns why the program would be too large; null where it is not. Each character counts as one
 * state, multiplied by its largest repetition.
 */
function excessOf(text: string): string | null {
  // Between \Q and \E a bracket is a character, which this estimate ignores.
  if (/\\Q/.test(text)) return 'invalid escape sequence: \\Q';
  const groups = [0];
  let last = 0;
  for (const [token, from, comma, to] of text.matchAll(TOKEN)) {
    const size = groups.pop() ?? 0;
    if (token === '(') {
      groups.push(size, 0);
      last = 0;
    } else if (token === ')' && groups.length > 0) {
      last = size + 1;
      groups.push((groups.pop() ?? 0) + last);
    } else if (from !== undefined) {
      const times = Math.max(Number(from), comma === undefined || to === undefined ? 0 : Number(to));
      groups.push(size + last * Math.max(0, times - 1));
      last *= Math.max(1, times);
    } else {
      last = /^[*+?|^$]$/.test(token) ? last : 1;
      groups.push(size + 1);
    }
    if ((groups.at(-1) ?? 0) > MAX_STATES) return `pattern too large (limit ${MAX_STATES} states)`;
    if (groups.length > MAX_GROUPS_DEEP + 1) return `groups are nested more than ${MAX_GROUPS_DEEP} deep`;
  }
  return null;
}

/** The library has the messages of Go's RE2; Envoy has those of the C++ one. */
const WORDS: ReadonlyMap<string, string> = new Map([
  ['missing closing ]', 'missing ]'],
  ['missing closing )', 'missing )'],
  ['missing argument to repetition operator', 'no argument for repetition operator'],
  ['invalid nested repetition operator', 'bad repetition operator'],
  ['invalid repeat count', 'invalid repetition size'],
  ['invalid or unsupported Perl syntax', 'invalid perl operator'],
  ['invalid named capture', 'invalid named capture group'],
  ['duplicate capture group name', 'invalid named capture group'],
  ['expression too large', 'pattern too large'],
]);

function inEnvoysWords(error: RE2JSSyntaxException): string {
  const what = error.getDescription();
  if (what === 'trailing backslash at end of expression') return 'trailing \\';
  const at = error.getPattern();
  return `${WORDS.get(what) ?? what}${at === null ? '' : `: ${at}`}`;
}
