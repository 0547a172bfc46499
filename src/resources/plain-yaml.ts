/**
 * Reads plain YAML quickly: block maps and lists of one-line values, the usual form of resource
 * files. It returns what the full parser would return, or null as soon as it meets anything else
 * (comments after values, block scalars, anchors, tags, tabs, text that is not ASCII, every error);
 * the full parser then decides. It is never more lenient than the full parser. It is ten times
 * faster, and parsing is most of the cost of compiling.
 */
import type { ListValue, MapEntry, MapValue, ScalarValue, Value } from './yaml-value.ts';

const MAX_DEPTH = 40;
const KEY = /^([A-Za-z_][A-Za-z0-9_./-]*):(?: +|$)/;
/**
 * A plain scalar: its first character is one of these, and it contains no `: ` and no ` #`, which
 * would end it early.
 */
const PLAIN = /^[A-Za-z0-9_/.](?:[A-Za-z0-9_./+@=,;()*~$^<>%&!?|'"\\-]|:(?=[^ ])| (?=[^ #]))*$/;
const FLOW_PLAIN =
  /[A-Za-z0-9_/.](?:[A-Za-z0-9_./+@=;()*~$^<>%&!|'"\\-]|:(?=[A-Za-z0-9/.])| (?=[A-Za-z0-9_./+@=;()*~$^<>%&!|-]))*/y;
const FLOW_KEY = /([A-Za-z_][A-Za-z0-9_./-]*): +/y;
const DOUBLE = /"[^"\\]*"/y;
const SINGLE = /'[^']*'(?!')/y;
const INTEGER = /^[0-9]{1,15}$/;
/** Other numbers of the core schema. */
const NUMERIC =
  /^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['True', true],
  ['TRUE', true],
  ['false', false],
  ['False', false],
  ['FALSE', false],
  ['null', null],
  ['Null', null],
  ['NULL', null],
]);
const SPECIAL_KEYS: ReadonlySet<string> = new Set([...CONSTANTS.keys(), '__proto__', 'constructor']);

/** Thrown and caught inside of this file for a text that is not plain. */
class NotPlain extends Error {}

interface Line {
  readonly number: number;
  readonly indent: number;
  /** Without its indent. */
  readonly text: string;
}

export function parsePlainYaml(file: string, text: string): readonly Value[] | null {
  if (/[^\n -~]/.test(text)) return null;
  try {
    return documentsOf(text).flatMap((lines) => (lines.length === 0 ? [] : [new Reader(file, lines).document()]));
  } catch (error) {
    if (error instanceof NotPlain) return null;
    throw error;
  }
}

function documentsOf(text: string): readonly (readonly Line[])[] {
  const documents: Line[][] = [[]];
  let number = 0;
  for (const line of text.split('\n')) {
    number++;
    const indent = line.search(/[^ ]/);
    if (indent < 0) {
      if (line !== '') throw new NotPlain();
      continue;
    }
    if (line.charAt(indent) === '#') continue;
    if (indent === 0 && (line.startsWith('---') || line.startsWith('...'))) {
      if (line !== '---') throw new NotPlain();
      documents.push([]);
      continue;
    }
    if (line.endsWith(' ')) throw new NotPlain();
    documents.at(-1)?.push({ number, indent, text: line.slice(indent) });
  }
  return documents;
}

/** Reads the lines of one document from top to bottom. */
class Reader {
  readonly #file: string;
  readonly #lines: readonly Line[];
  #next = 0;

  constructor(file: string, lines: readonly Line[]) {
    this.#file = file;
    this.#lines = lines;
  }

  document(): Value {
    const [first] = this.#lines;
    if (first?.indent !== 0) throw new NotPlain();
    const value = this.#map(first, 0, 0);
    if (this.#next < this.#lines.length) throw new NotPlain();
    return value;
  }

  /** `line` is the first line, or the rest of a line after its `- `. */
  #map(line: Line, indent: number, depth: number): MapValue {
    if (depth > MAX_DEPTH) throw new NotPlain();
    const at = { file: this.#file, line: line.number, column: indent + 1 };
    const entries = new Map<string, MapEntry>();
    for (let current: Line | undefined = line; current?.indent === indent; current = this.#lines[this.#next]) {
      const match = KEY.exec(current.text);
      const [matched = '', name = ''] = match ?? [];
      if (name === '' || entries.has(name) || SPECIAL_KEYS.has(name)) throw new NotPlain();
      this.#next++;
      const rest = current.text.slice(matched.length);
      const key = { file: this.#file, line: current.number, column: indent + 1 };
      const value =
        rest === '' ? this.#block(indent, depth + 1) : this.#inline(rest, current.number, indent + matched.length + 1, depth + 1);
      entries.set(name, { key, value });
    }
    return { kind: 'map', entries, at };
  }

  /** Reads the value on the lines below a key; a list may have the indent of the key. */
  #block(indent: number, depth: number): Value {
    const line = this.#lines[this.#next];
    if (line === undefined || line.indent < indent) throw new NotPlain();
    if (line.text.startsWith('- ')) return this.#list(line.indent, depth);
    if (line.indent === indent) throw new NotPlain();
    return this.#map(line, line.indent, depth);
  }

  #list(indent: number, depth: number): ListValue {
    if (depth > MAX_DEPTH) throw new NotPlain();
    const first = this.#lines[this.#next];
    const at = { file: this.#file, line: first?.number ?? 0, column: indent + 1 };
    const items: Value[] = [];
    for (let line = first; line?.indent === indent && line.text.startsWith('- '); line = this.#lines[this.#next]) {
      const text = line.text.slice(2).trimStart();
      const inner = indent + line.text.length - text.length;
      if (KEY.test(text)) items.push(this.#map({ number: line.number, indent: inner, text }, inner, depth + 1));
      else {
        this.#next++;
        items.push(this.#inline(text, line.number, inner + 1, depth + 1));
      }
    }
    return { kind: 'list', items, at };
  }

  #inline(text: string, line: number, column: number, depth: number): Value {
    const first = text.charAt(0);
    if (first === '{' || first === '[' || first === '"' || first === "'") {
      const flow = new Flow(this.#file, text, line, column);
      const value = flow.value(depth);
      if (!flow.isAtEnd()) throw new NotPlain();
      return value;
    }
    if (!PLAIN.test(text)) throw new NotPlain();
    return scalar(text, { file: this.#file, line, column });
  }
}

/** Reads one line with brackets or quotes. */
class Flow {
  readonly #file: string;
  readonly #text: string;
  readonly #line: number;
  readonly #column: number;
  #at = 0;

  constructor(file: string, text: string, line: number, column: number) {
    this.#file = file;
    this.#text = text;
    this.#line = line;
    this.#column = column;
  }

  isAtEnd(): boolean {
    return this.#at === this.#text.length;
  }

  value(depth: number): Value {
    if (depth > MAX_DEPTH) throw new NotPlain();
    const at = this.#place();
    switch (this.#text.charAt(this.#at)) {
      case '{':
        return { kind: 'map', entries: this.#entries(depth), at };
      case '[':
        return { kind: 'list', items: this.#items(depth), at };
      case '"':
        return { kind: 'scalar', value: this.#take(DOUBLE).slice(1, -1), at };
      case "'":
        return { kind: 'scalar', value: this.#take(SINGLE).slice(1, -1), at };
      default:
        return scalar(this.#take(FLOW_PLAIN), at);
    }
  }

  #entries(depth: number): ReadonlyMap<string, MapEntry> {
    const entries = new Map<string, MapEntry>();
    this.#each('}', () => {
      const key = this.#place();
      const name = this.#take(FLOW_KEY).replace(/: +$/, '');
      if (entries.has(name) || SPECIAL_KEYS.has(name)) throw new NotPlain();
      entries.set(name, { key, value: this.value(depth + 1) });
    });
    return entries;
  }

  #items(depth: number): readonly Value[] {
    const items: Value[] = [];
    this.#each(']', () => {
      items.push(this.value(depth + 1));
      // `[a: b]` contains a map.
      if (this.#text.charAt(this.#at) === ':') throw new NotPlain();
    });
    return items;
  }

  #each(end: string, read: () => void): void {
    this.#at++;
    this.#spaces();
    if (this.#text.charAt(this.#at) === end) {
      this.#at++;
      return;
    }
    for (;;) {
      read();
      this.#spaces();
      const next = this.#text.charAt(this.#at++);
      if (next === end) return;
      if (next !== ',' || this.#text.charAt(this.#at) !== ' ') throw new NotPlain();
      this.#spaces();
    }
  }

  #spaces(): void {
    while (this.#text.charAt(this.#at) === ' ') this.#at++;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found === undefined) throw new NotPlain();
    this.#at += found.length;
    return found;
  }

  #place(): ScalarValue['at'] {
    return { file: this.#file, line: this.#line, column: this.#column + this.#at };
  }
}

function scalar(text: string, at: ScalarValue['at']): ScalarValue {
  const constant = CONSTANTS.get(text);
  if (constant !== undefined) return { kind: 'scalar', value: constant, at };
  if (INTEGER.test(text)) return { kind: 'scalar', value: Number(text), at };
  if (NUMERIC.test(text)) throw new NotPlain();
  return { kind: 'scalar', value: text, at };
}
