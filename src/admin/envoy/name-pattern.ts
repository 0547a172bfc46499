/**
 * Regular expressions on the names of statistics, in time that grows with their length and no
 * faster: whoever may ask for statistics may not hold up sessions with `(a+)+$`. The syntax is the
 * part of RE2 that names need: literals, `.`, classes, `\d \w \s \b`, `^ $`, groups, `|`, `* + ?
 * {n,m}`. It matches anywhere in a name.
 */
export type NamePattern =
  { readonly kind: 'pattern'; readonly matches: (name: string) => boolean } | { readonly kind: 'bad'; readonly why: string };

const MAX_LENGTH = 1_024;
const MAX_STATES = 2_048;
const MAX_GROUPS_DEEP = 32;
const MAX_REPEAT = 1_000;

type Test = (code: number) => boolean;

type Tree =
  | { readonly kind: 'test'; readonly test: Test }
  | { readonly kind: 'assert'; readonly at: '^' | '$' | 'b' | 'B' }
  | { readonly kind: 'sequence'; readonly parts: readonly Tree[] }
  | { readonly kind: 'choice'; readonly parts: readonly Tree[] }
  | { readonly kind: 'repeat'; readonly part: Tree; readonly min: number; readonly max: number };

type State =
  | { readonly kind: 'test'; readonly test: Test; next: number }
  | { readonly kind: 'assert'; readonly at: '^' | '$' | 'b' | 'B'; next: number }
  | { readonly kind: 'split'; next: number; other: number }
  | { readonly kind: 'match' };

class Bad extends Error {}

/** `whole`: the name must match from its first character to its last. */
export function namePattern(text: string, whole = false): NamePattern {
  if (text.length > MAX_LENGTH) return { kind: 'bad', why: `it has ${text.length} characters (limit ${MAX_LENGTH})` };
  if (!whole && /^[\w:-]*$/.test(text)) return { kind: 'pattern', matches: (name) => name.includes(text) };
  try {
    const tree = new Parser(text).whole();
    const edge = (at: '^' | '$'): Tree => ({ kind: 'assert', at });
    const states = compile(whole ? { kind: 'sequence', parts: [edge('^'), tree, edge('$')] } : tree);
    return { kind: 'pattern', matches: matcher(states) };
  } catch (error) {
    if (error instanceof Bad) return { kind: 'bad', why: error.message };
    throw error;
  }
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Tree {
    const tree = this.#choice();
    if (this.#at < this.#text.length) throw new Bad(`unexpected ): ${this.#text}`);
    return tree;
  }

  #choice(): Tree {
    const parts = [this.#sequence()];
    while (this.#eat('|')) parts.push(this.#sequence());
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: 'choice', parts };
  }

  #sequence(): Tree {
    const parts: Tree[] = [];
    while (this.#at < this.#text.length && !')|'.includes(this.#peek())) parts.push(this.#repeated());
    return { kind: 'sequence', parts };
  }

  #repeated(): Tree {
    const part = this.#single();
    const range = this.#range();
    if (range === null) return part;
    this.#eat('?');
    if (this.#range() !== null) throw new Bad(`bad repetition operator: ${this.#text}`);
    return { kind: 'repeat', part, ...range };
  }

  #range(): { readonly min: number; readonly max: number } | null {
    if (this.#eat('*')) return { min: 0, max: Infinity };
    if (this.#eat('+')) return { min: 1, max: Infinity };
    if (this.#eat('?')) return { min: 0, max: 1 };
    const counted = /^\{(\d{1,5})(,(\d{0,5}))?\}/.exec(this.#text.slice(this.#at));
    if (counted === null) return null;
    this.#at += counted[0].length;
    const min = Number(counted[1]);
    const max = counted[2] === undefined ? min : counted[3] === '' ? Infinity : Number(counted[3]);
    if (min > MAX_REPEAT || (max !== Infinity && max > MAX_REPEAT) || max < min)
      throw new Bad(`invalid repetition size: ${counted[0]}`);
    return { min, max };
  }

  #single(): Tree {
    const char = this.#take();
    switch (char) {
      case '(':
        return this.#group();
      case '[':
        return { kind: 'test', test: this.#class() };
      case '.':
        return { kind: 'test', test: () => true };
      case '^':
      case '$':
        return { kind: 'assert', at: char };
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw new Bad(`no argument for repetition operator: ${char}`);
      default:
        return literal(char);
    }
  }

  #group(): Tree {
    if (this.#peek() === '?' && !this.#text.startsWith('?:', this.#at))
      throw new Bad(`invalid perl operator: (${this.#text.slice(this.#at, this.#at + 2)}`);
    if (this.#text.startsWith('?:', this.#at)) this.#at += 2;
    if (++this.#depth > MAX_GROUPS_DEEP) throw new Bad(`groups are nested more than ${MAX_GROUPS_DEEP} deep`);
    const inner = this.#choice();
    this.#depth--;
    if (!this.#eat(')')) throw new Bad(`missing ): ${this.#text}`);
    return inner;
  }

  #escape(): Tree {
    if (this.#at >= this.#text.length) throw new Bad('trailing \\');
    const char = this.#take();
    if (char === 'b' || char === 'B') return { kind: 'assert', at: char };
    if (char === 'A') return { kind: 'assert', at: '^' };
    if (char === 'z') return { kind: 'assert', at: '$' };
    const named = NAMED[char];
    if (named !== undefined) return { kind: 'test', test: named };
    if (/[A-Za-z0-9]/.test(char)) throw new Bad(`invalid escape sequence: \\${char}`);
    return literal(char);
  }

  #class(): Test {
    const negated = this.#eat('^');
    const tests: Test[] = [];
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      if (this.#at >= this.#text.length) throw new Bad(`missing ]: ${this.#text}`);
      const from = this.#classItem();
      if (typeof from !== 'string') {
        tests.push(from);
        continue;
      }
      if (this.#peek() !== '-' || this.#text[this.#at + 1] === ']' || this.#at + 1 >= this.#text.length) {
        tests.push(codeTest(from.charCodeAt(0), from.charCodeAt(0)));
        continue;
      }
      this.#take();
      const to = this.#classItem();
      if (typeof to !== 'string' || to < from) throw new Bad('invalid character class range');
      tests.push(codeTest(from.charCodeAt(0), to.charCodeAt(0)));
    }
    this.#take();
    return (code) => tests.some((test) => test(code)) !== negated;
  }

  #classItem(): string | Test {
    const char = this.#take();
    if (char !== '\\') return char;
    if (this.#at >= this.#text.length) throw new Bad('trailing \\');
    const escaped = this.#take();
    return NAMED[escaped] ?? escaped;
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #take(): string {
    return this.#text[this.#at++] ?? '';
  }

  #eat(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }
}

const isDigit = codeTest(48, 57);
const isWord: Test = (code) => isDigit(code) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122) || code === 95;
const isSpace: Test = (code) => code === 32 || (code >= 9 && code <= 13 && code !== 11);
const NAMED: Readonly<Record<string, Test>> = {
  d: isDigit,
  D: (code) => !isDigit(code),
  w: isWord,
  W: (code) => !isWord(code),
  s: isSpace,
  S: (code) => !isSpace(code),
};

function codeTest(from: number, to: number): Test {
  return (code) => code >= from && code <= to;
}

function literal(char: string): Tree {
  const wanted = char.charCodeAt(0);
  return { kind: 'test', test: (code) => code === wanted };
}

/** The last state is the match; every other leads to a later one or, in a loop, to an earlier. */
function compile(tree: Tree): readonly State[] {
  const states: State[] = [];
  const add = (state: State): number => {
    if (states.length >= MAX_STATES) throw new Bad(`pattern too large (limit ${MAX_STATES} states)`);
    return states.push(state) - 1;
  };
  let built = 0;
  const build = (part: Tree): void => {
    // Empty groups that are repeated add no state.
    if (++built > 4 * MAX_STATES) throw new Bad(`pattern too large (limit ${MAX_STATES} states)`);
    switch (part.kind) {
      case 'test':
      case 'assert':
        add({ ...part, next: states.length + 1 });
        return;
      case 'sequence':
        for (const each of part.parts) build(each);
        return;
      case 'choice':
        return buildChoice(part.parts);
      case 'repeat':
        return buildRepeat(part);
      default:
        return part satisfies never;
    }
  };
  const jump = (): Extract<State, { kind: 'split' }> => {
    const state = { kind: 'split' as const, next: states.length + 1, other: states.length + 1 };
    add(state);
    return state;
  };
  const buildChoice = (parts: readonly Tree[]): void => {
    const exits: Extract<State, { kind: 'split' }>[] = [];
    for (const [i, each] of parts.entries()) {
      const last = i === parts.length - 1;
      const fork = last ? null : jump();
      build(each);
      if (!last) exits.push(jump());
      if (fork !== null) fork.other = states.length;
    }
    for (const exit of exits) exit.next = exit.other = states.length;
  };
  const buildRepeat = ({ part, min, max }: Extract<Tree, { kind: 'repeat' }>): void => {
    for (let i = 0; i < min; i++) build(part);
    if (max === Infinity) {
      const start = states.length;
      const fork = jump();
      build(part);
      const back = jump();
      back.next = back.other = start;
      fork.other = states.length;
      return;
    }
    const forks: Extract<State, { kind: 'split' }>[] = [];
    for (let i = min; i < max; i++) {
      forks.push(jump());
      build(part);
    }
    for (const fork of forks) fork.other = states.length;
  };
  build(tree);
  add({ kind: 'match' });
  return states;
}

/**
 * All states at once, one character after another: no state is looked at twice for one character.
 */
function matcher(states: readonly State[]): (name: string) => boolean {
  const seen = new Int32Array(states.length);
  let mark = 0;
  let current: number[] = [];
  let next: number[] = [];
  return (name) => {
    current.length = 0;
    for (let at = 0; ; at++) {
      const isEnd = at >= name.length;
      const code = isEnd ? -1 : name.charCodeAt(at);
      if (++mark >= 0x7fffffff) {
        seen.fill(0);
        mark = 1;
      }
      next.length = 0;
      // A match may begin at every character.
      current.push(0);
      for (let index = current.pop(); index !== undefined; index = current.pop()) {
        if (seen[index] === mark) continue;
        seen[index] = mark;
        const state = states[index];
        if (state === undefined) continue;
        if (state.kind === 'match') return true;
        if (state.kind === 'split') current.push(state.next, state.other);
        else if (state.kind === 'test') {
          if (!isEnd && state.test(code)) next.push(state.next);
        } else if (holds(state.at, name, at)) current.push(state.next);
      }
      if (isEnd) return false;
      [current, next] = [next, current];
    }
  };
}

function holds(what: '^' | '$' | 'b' | 'B', name: string, at: number): boolean {
  if (what === '^') return at === 0;
  if (what === '$') return at === name.length;
  const before = at > 0 && isWord(name.charCodeAt(at - 1));
  const after = at < name.length && isWord(name.charCodeAt(at));
  return (before !== after) === (what === 'b');
}
