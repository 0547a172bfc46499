import { withoutKeys } from '../base/key-material.ts';
import type { Problem } from '../base/problem.ts';
import type { Origin } from '../model/compiled.ts';

/**
 * Collects the problems of the files, in any order. Takes everything that looks like a key out of
 * messages and fields.
 */
export interface Findings {
  error(at: Origin, field: string, message: string): void;
  warn(at: Origin, field: string, message: string): void;
  /** Reports an unknown field or kind: an error in strict mode, else a warning. */
  unknown(at: Origin, field: string, message: string): void;
  /**
   * Counts the unknown fields so far. A reader that must not lose a restriction compares the count
   * before and after.
   */
  unknowns(): number;
  /** Returns a collector for one resource: its errors refuse only `refuses`. */
  within(refuses: string): Findings;
  /** Refuses `refuses` too, for an error that is already among the problems. */
  breaks(message: string): void;
  /** Returns the sentence of a refusal for `refuses`; null where no error was found within. */
  broken(): string | null;
  /** Returns the problems, sorted by file, line and column. */
  problems(): readonly Problem[];
}

export function createFindings(strict: boolean): Findings {
  return findingsInto({ strict, problems: [], unknowns: 0 });
}

interface Found {
  readonly strict: boolean;
  readonly problems: Problem[];
  unknowns: number;
}

function findingsInto(found: Found, refuses?: string): Findings {
  const { strict, problems } = found;
  let first: Problem | null = null;
  let more = 0;
  const add = (severity: Problem['severity'], { file, line, column }: Origin, field: string, message: string): void => {
    const problem = { severity, file, line, column, field: shown(field, MAX_FIELD), message: shown(message, MAX_MESSAGE) };
    if (severity === 'warning') return void problems.push(problem);
    problems.push(refuses === undefined ? problem : { ...problem, refuses });
    if (first === null) first = problem;
    else more++;
  };
  return {
    error: (at, field, message) => add('error', at, field, message),
    warn: (at, field, message) => add('warning', at, field, message),
    unknown(at, field, message) {
      found.unknowns++;
      add(strict ? 'error' : 'warning', at, field, message);
    },
    unknowns: () => found.unknowns,
    within: (one) => findingsInto(found, shown(one, MAX_FIELD)),
    breaks(message) {
      first ??= { severity: 'error', file: '', line: 0, column: 0, field: '', message: shown(message, MAX_MESSAGE) };
    },
    broken() {
      const problem: Problem | null = first;
      if (problem === null) return null;
      const { field, message } = problem;
      return `${field === '' ? '' : `${field}: `}${message}${more === 0 ? '' : ` (and ${more} more)`}`;
    },
    problems: () => problems.toSorted(byPlace),
  };
}

/** The longest field path. Paths contain the names of fields and tags, which are input too. */
const MAX_FIELD = 300;
const MAX_MESSAGE = 2_000;

/** Prepares every text of an operator that becomes part of a problem; no other code does it. */
function shown(text: string, max: number): string {
  const safe = withoutKeys(text);
  return safe.length > max ? `${safe.slice(0, max)}…` : safe;
}

function byPlace(a: Problem, b: Problem): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
