import { oneLine } from './plain-text.ts';

/**
 * A finding about what an operator wrote. It says where, which field, and what is allowed; it never
 * quotes a secret. Printed as `file:line:col field: message`; without a field (a syntax error) as
 * `file:line:col message`.
 */
export interface Problem {
  readonly severity: 'error' | 'warning';
  /** Path as the operator gave it, or a source like `--name`. */
  readonly file: string;
  /** 1-based; 0 where the finding belongs to no place in the file. */
  readonly line: number;
  /** 1-based; 0 where the finding belongs to no place in the file. */
  readonly column: number;
  /**
   * Kuma's path of the field, e.g. `networking.port`; empty for a finding about the whole document.
   */
  readonly field: string;
  readonly message: string;
  /**
   * For an error, what it refuses, e.g. `MeshExternalService default/partner`; everything else is
   * served. An error without this field refuses the whole configuration.
   */
  readonly refuses?: string;
}

export function formatProblem(problem: Problem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  const subject = problem.field === '' ? problem.message : `${problem.field}: ${problem.message}`;
  // A message may quote a name from any file, or a text of a control plane.
  return oneLine(problem.severity === 'warning' ? `${place} warning: ${subject}` : `${place} ${subject}`);
}

/** Tells whether the configuration with these problems must not go live. */
export function forbids(problems: readonly Problem[]): boolean {
  return problems.some(({ severity, refuses }) => severity === 'error' && refuses === undefined);
}

export function hasErrors(problems: readonly Problem[]): boolean {
  return problems.some((problem) => problem.severity === 'error');
}
