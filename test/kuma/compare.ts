import { NOT_BUILT } from './model.ts';

export interface Comparison {
  /** One line for each path. */
  readonly differences: readonly string[];
  /** Paths with what the other side has and ours lacks so far. */
  readonly notBuilt: readonly string[];
}

/** Compares plain data: Kuma's result and ours for the same input. */
export function compare(expected: unknown, got: unknown, path = ''): Comparison {
  const differences: string[] = [];
  const notBuilt: string[] = [];
  walk(expected, got, path, differences, notBuilt);
  return { differences, notBuilt };
}

function walk(expected: unknown, got: unknown, path: string, differences: string[], notBuilt: string[]): void {
  if (got === NOT_BUILT) {
    if (!isNothing(expected)) notBuilt.push(`${path}: expected ${JSON.stringify(expected)}, ${NOT_BUILT}`);
    return;
  }
  if (isObject(expected) && isObject(got) && Array.isArray(expected) === Array.isArray(got)) {
    const [own, theirs] = [new Map(Object.entries(got)), new Map(Object.entries(expected))];
    for (const key of new Set([...theirs.keys(), ...own.keys()])) {
      walk(theirs.get(key), own.get(key), path + step(key, Array.isArray(expected)), differences, notBuilt);
    }
  } else if (expected !== got) {
    differences.push(`${path}: expected ${show(expected)}, got ${show(got)}`);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0);
}

function step(key: string, isIndex: boolean): string {
  return isIndex ? `[${key}]` : /^[A-Za-z_]\w*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
