import { withoutKeys } from '../base/key-material.ts';
import type { Problem } from '../base/problem.ts';
import type { Origin } from '../model/compiled.ts';

/** Collects what there is to say about the files, in whatever order it is found. What looks like a key is taken out of messages and fields. */
export interface Findings {
  error(at: Origin, field: string, message: string): void;
  warn(at: Origin, field: string, message: string): void;
  /** A field or kind that nobody knows: an error only for those who asked to be strict. */
  unknown(at: Origin, field: string, message: string): void;
  /** How many unknown fields were found so far; a reader that must not lose a restriction compares before and after. */
  unknowns(): number;
  /** Sorted by file, line and column. */
  problems(): readonly Problem[];
}

export function createFindings(strict: boolean): Findings {
  const problems: Problem[] = [];
  let unknowns = 0;
  const add = (severity: Problem['severity'], { file, line, column }: Origin, field: string, message: string): void => {
    problems.push({ severity, file, line, column, field: shown(field, MAX_FIELD), message: shown(message, MAX_MESSAGE) });
  };
  return {
    error: (at, field, message) => add('error', at, field, message),
    warn: (at, field, message) => add('warning', at, field, message),
    unknown(at, field, message) {
      unknowns++;
      add(strict ? 'error' : 'warning', at, field, message);
    },
    unknowns: () => unknowns,
    problems: () => problems.toSorted(byPlace),
  };
}

/** Paths have the names of fields and tags in them, which are input too. */
const MAX_FIELD = 300;
const MAX_MESSAGE = 2_000;

/** The one way by which anything that an operator wrote gets into a problem. */
function shown(text: string, max: number): string {
  const safe = withoutKeys(text);
  return safe.length > max ? `${safe.slice(0, max)}…` : safe;
}

function byPlace(a: Problem, b: Problem): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
