import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import type { Document, ErrorCode, YAMLError } from 'yaml';
import type { Origin } from '../model/compiled.ts';
import type { Findings } from './findings.ts';
import { parsePlainYaml } from './plain-yaml.ts';
import type { MapEntry, Value } from './yaml-value.ts';

/** A file as it was read. JSON is YAML, so both go the same way. */
export interface SourceFile {
  /** As the operator knows it: problems name it. */
  readonly path: string;
  readonly text: string;
}

const MAX_BYTES = 4 * 1024 * 1024;
/** Kuma's deepest resource needs 12 levels. */
const MAX_DEPTH = 100;
/** A reader that merges maps would let these into a prototype, or let one document rewrite another value. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', '<<']);

/**
 * The documents of a file, YAML 1.2 core schema. Empty ones are left out, and so is a document with a syntax error: its problems are
 * in `findings`. Aliases are refused, so what is read is never larger than what was written.
 */
export function parseYaml(file: SourceFile, findings: Pick<Findings, 'error'>): readonly Value[] {
  if (Buffer.byteLength(file.text) > MAX_BYTES) {
    const start = { file: file.path, line: 0, column: 0 };
    findings.error(start, '', `the file is larger than ${MAX_BYTES} bytes (4 MiB)`);
    return [];
  }
  return parsePlainYaml(file.path, file.text) ?? parseFullYaml(file, findings);
}

/** The same by the full parser, whatever is in the file. */
export function parseFullYaml(file: SourceFile, findings: Pick<Findings, 'error'>): readonly Value[] {
  const start = { file: file.path, line: 0, column: 0 };
  const lines = new LineCounter();
  let documents: readonly Document[];
  try {
    const parsed = parseAllDocuments(file.text, {
      lineCounter: lines,
      version: '1.2',
      schema: 'core',
      merge: false,
      prettyErrors: false,
      logLevel: 'silent',
    });
    documents = Array.isArray(parsed) ? parsed : [];
  } catch (error) {
    // The parser recurses; it has no limit of its own.
    if (!(error instanceof RangeError)) throw error;
    findings.error(start, '', `values are nested too deeply (limit ${MAX_DEPTH})`);
    return [];
  }
  const values: Value[] = [];
  for (const document of documents) {
    const reader: Reader = { file: file.path, lines, findings, failed: false };
    for (const problem of [...document.errors, ...document.warnings]) {
      reader.failed = true;
      findings.error(place(reader, problem.pos[0]), '', syntaxMessage(problem));
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
  failed: boolean;
}

function read(reader: Reader, node: unknown, depth: number): Value | null {
  if (isAlias(node)) return fail(reader, node.range?.[0], 'aliases are not allowed: write the value out');
  if (depth > MAX_DEPTH) return fail(reader, offsetOf(node), `values are nested too deeply (limit ${MAX_DEPTH})`);
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
  for (const { key, value } of node.items) {
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
    const inner = value === null ? { kind: 'scalar' as const, value: null, at: keyAt } : read(reader, value, depth + 1);
    if (inner !== null) entries.set(String(name), { key: keyAt, value: inner });
  }
  return { kind: 'map', entries, at };
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

/** The library's own text for these may quote the file, and a file may hold keys. */
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
