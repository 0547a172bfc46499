import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Returns what tap has to be given for an argument of `npm test`: for a folder its tests, because
 * tap takes a folder for a test file; the argument itself otherwise. Paths are relative to `root`.
 */
export function testsOf(root, arg) {
  if (arg.startsWith('-') || !statSync(join(root, arg), { throwIfNoEntry: false })?.isDirectory()) return [arg];
  const names = readdirSync(join(root, arg), { recursive: true }).filter((name) => name.endsWith('.test.ts'));
  return names.length === 0 ? [arg] : names.sort().map((name) => join(arg, name));
}
