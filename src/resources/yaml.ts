import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, parseAllDocuments } from 'yaml';
import type { Document, ErrorCode, YAMLError } from 'yaml';
import type { Origin } from '../model/compiled.ts';
import type { Findings } from './findings.ts';
import { parsePlainYaml } from './plain-yaml.ts';
import type { MapEntry, MapValue, Value } from './yaml-value.ts';

/** A file as it was read. JSON is YAML, so one reader serves both. */
export interface SourceFile {
  /** The path that the operator knows; problems contain it. */
  readonly path: string;
  readonly text: string;
}

const MAX_BYTES = 4 * 1024 * 1024;
/** Kuma's deepest resource needs 12 levels. */
const MAX_DEPTH = 100;
/**
 * The parser takes 2 µs for each token: names, values, brackets, blanks between them. A
 * hand-written file of 4 MiB has fewer.
 */
const MAX_TOKENS = 500_000;
/**
 * The most block indicators (`-`, `?`, `:`) in one line: each may be a level, and a level costs
 * more than a token.
 */
const MAX_SIGNS = 200;
/** The most values that aliases and merges may add to those that are written. */
const MAX_ALIASED = 50_000;
/** A file that is no YAML has one error in each line. */
const MAX_ERRORS = 20;
/** Merging a map with these keys could change a prototype. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', '<<']);

/**
 * Parses the documents of a file, YAML 1.2 core schema. Leaves out empty documents and those with a
 * syntax error, whose problems are in `findings`. Reads aliases and merge keys (`<<`) as Go does,
 * up to a limit.
 */
export function parseYaml(file: SourceFile, findings: Pick<Findings, 'error'>): readonly Value[] {
  if (Buffer.byteLength(file.text) > MAX_BYTES) {
    const start = { file: file.path, line: 0, column: 0 };
    findings.error(start, '', `the file is larger than ${MAX_BYTES} bytes (4 MiB)`);
    return [];
  }
  return parsePlainYaml(file.path, file.text) ?? parseFullYaml(file, findings);
}

/** Does the same with the full parser for every file. */
export function parseFullYaml(file: SourceFile, findings: Pick<Findings, 'error'>): readonly Value[] {
  const start = { file: file.path, line: 0, column: 0 };
  const excess = excessOf(file.text);
  if (excess !== null) {
    findings.error({ ...start, ...placeAt(file.text, excess.offset) }, '', excess.message);
    return [];
  }
  const lines = new LineCounter();
  let documents: readonly Document[];
  // Most of the cost of a parser's error object is its stack, which is never read.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    const parsed = parseAllDocuments(file.text, {
      lineCounter: lines,
      version: '1.2',
      schema: 'core',
      merge: false,
      // The library compares each key with all others; the reader below looks keys up.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'silent',
    });
    documents = Array.isArray(parsed) ? parsed : [];
  } catch (error) {
    // The parser recurses without a limit of its own.
    if (!(error instanceof RangeError)) throw error;
    findings.error(start, '', TOO_DEEP);
    return [];
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  const values: Value[] = [];
  let told = 0;
  const few: Pick<Findings, 'error'> = {
    error(at, field, message) {
      if (told++ < MAX_ERRORS) findings.error(at, field, message);
    },
  };
  for (const document of documents) {
    const reader: Reader = {
      file: file.path,
      lines,
      findings: few,
      anchors: new Map(),
      sizes: new Map(),
      aliased: 0,
      failed: false,
    };
    const problems = [...document.errors, ...document.warnings];
    if (problems.length > 0) reader.failed = true;
    for (const problem of problems) {
      reader.findings.error(place(reader, problem.pos[0]), '', syntaxMessage(problem));
    }
    if (document.contents === null) continue;
    const value = read(reader, document.contents, 0);
    if (!reader.failed && value !== null && !isNothing(value)) values.push(value);
  }
  return values;
}

interface Reader {
  readonly file: string;
  readonly lines: LineCounter;
  readonly findings: Pick<Findings, 'error'>;
  /** Null while the value is being read: it cannot contain itself. */
  readonly anchors: Map<string, Value | null>;
  /** The number of values inside of each anchored value. */
  readonly sizes: Map<Value, number>;
  aliased: number;
  failed: boolean;
}

const TOO_DEEP = `values are nested too deeply (limit ${MAX_DEPTH})`;

/**
 * Finds what would take the parser too long. The parser's own lexer is quick, and the search stops
 * at the first excess.
 */
function excessOf(text: string): { readonly offset: number; readonly message: string } | null {
  let offset = 0;
  let tokens = 0;
  let depth = 0;
  let signs = 0;
  for (const token of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS)
      return { offset, message: `the file has more than ${MAX_TOKENS} parts: split it into several files` };
    switch (token) {
      case '[':
      case '{':
        depth++;
        break;
      case ']':
      case '}':
        depth--;
        break;
      case '-':
      case '?':
      case ':':
        if (depth <= 0) signs++;
        break;
      case '\n':
      case '\r\n':
        signs = 0;
    }
    if (depth > MAX_DEPTH + 1 || signs > MAX_SIGNS) return { offset, message: TOO_DEEP };
    // These tokens stand for no text.
    if (token !== '\u0002' && token !== '\u0018' && token !== '\u001f') offset += token.length;
  }
  return null;
}

function placeAt(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}

/** Reads a node, and keeps its anchor where it has one. */
function read(reader: Reader, node: unknown, depth: number): Value | null {
  const anchor = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined;
  if (anchor === undefined) return readNode(reader, node, depth);
  reader.anchors.set(anchor, null);
  const value = readNode(reader, node, depth);
  if (value !== null) reader.anchors.set(anchor, value);
  return value;
}

/** Returns the value of the anchor at the place of the alias. */
function aliased(reader: Reader, name: string, offset: number | undefined): Value | null {
  const value = reader.anchors.get(name);
  if (value === undefined) return fail(reader, offset, 'the alias has no anchor before it');
  if (value === null) return fail(reader, offset, 'the alias stands inside of its own anchor');
  reader.aliased += sizeOf(reader, value);
  return reader.aliased > MAX_ALIASED ? fail(reader, offset, `aliases stand for more than ${MAX_ALIASED} values`) : value;
}

/**
 * Counts values; an alias counts as much as its anchor, so the limit is reached long before memory
 * runs out.
 */
function sizeOf(reader: Reader, value: Value): number {
  if (value.kind === 'scalar') return 1;
  const known = reader.sizes.get(value);
  if (known !== undefined) return known;
  const inner = value.kind === 'list' ? value.items : [...value.entries.values()].map((entry) => entry.value);
  const size = inner.reduce((sum, each) => sum + sizeOf(reader, each), 1);
  reader.sizes.set(value, size);
  return size;
}

function readNode(reader: Reader, node: unknown, depth: number): Value | null {
  if (isAlias(node)) return aliased(reader, node.source, node.range?.[0]);
  if (depth > MAX_DEPTH) return fail(reader, offsetOf(node), TOO_DEEP);
  const at = place(reader, offsetOf(node));
  if (isScalar(node)) {
    const { value } = node;
    if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      return { kind: 'scalar', value, at };
    }
    return fail(reader, offsetOf(node), 'must be a string, a number, a boolean or null');
  }
  if (isSeq(node)) {
    const items = node.items.map((item) => read(reader, item, depth + 1));
    return { kind: 'list', items: items.filter((item) => item !== null), at };
  }
  if (!isMap(node)) return fail(reader, offsetOf(node), 'this is no value of YAML');
  const entries = new Map<string, MapEntry>();
  const merged: MapValue[] = [];
  for (const { key, value } of node.items) {
    if (isScalar(key) && key.value === '<<' && key.type === 'PLAIN') {
      merged.push(...mergedMaps(reader, read(reader, value, depth + 1), offsetOf(key)));
      continue;
    }
    const name = isScalar(key) ? key.value : null;
    if (typeof name !== 'string' && typeof name !== 'number' && typeof name !== 'boolean') {
      fail(reader, offsetOf(key) ?? offsetOf(node), 'keys must be strings');
      continue;
    }
    const keyAt = place(reader, offsetOf(key));
    if (FORBIDDEN_KEYS.has(String(name))) {
      fail(reader, offsetOf(key), `the key "${name}" is not allowed`);
      continue;
    }
    if (entries.has(String(name))) {
      fail(reader, offsetOf(key), 'map keys must be unique');
      continue;
    }
    const inner = value === null ? { kind: 'scalar' as const, value: null, at: keyAt } : read(reader, value, depth + 1);
    if (inner !== null) entries.set(String(name), { key: keyAt, value: inner });
  }
  // Written entries win over merged ones, and earlier merged ones over later.
  for (const map of merged) for (const [name, entry] of map.entries) if (!entries.has(name)) entries.set(name, entry);
  return { kind: 'map', entries, at };
}

/** Returns the maps of `<<`: one map, or several in a list. */
function mergedMaps(reader: Reader, value: Value | null, offset: number | undefined): readonly MapValue[] {
  if (value === null) return [];
  const items = value.kind === 'list' ? value.items : [value];
  return items.flatMap((item) => {
    if (item.kind === 'map') return [item];
    fail(reader, offset, 'the value of << must be a map, or a list of maps');
    return [];
  });
}

function fail(reader: Reader, offset: number | undefined, message: string): null {
  reader.failed = true;
  reader.findings.error(place(reader, offset), '', message);
  return null;
}

function place({ file, lines }: Reader, offset: number | undefined): Origin {
  const { line, col } = lines.linePos(offset ?? 0);
  return { file, line, column: col };
}

function offsetOf(node: unknown): number | undefined {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : undefined;
}

function isNothing(value: Value): boolean {
  return value.kind === 'scalar' && value.value === null;
}

/** Replaces messages of the library that may quote the file, which may contain keys. */
const QUOTING: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_ALIAS: 'an alias or anchor is not valid',
  BAD_COLLECTION_TYPE: 'the tag does not fit the value',
  BAD_DIRECTIVE: 'the directive is not known',
  BAD_DQ_ESCAPE: 'an escape sequence in a double-quoted string is not valid',
  BAD_SCALAR_START: 'a plain value cannot start with this character: quote it',
  IMPOSSIBLE: 'this cannot be read',
  TAG_RESOLVE_FAILED: 'the tag is not known in the core schema',
  UNEXPECTED_TOKEN: 'unexpected here: a quote, a bracket or an indent is missing or too much',
};

function syntaxMessage({ code, message }: YAMLError): string {
  return QUOTING[code] ?? `${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}
