import { oneLine } from '../base/plain-text.ts';

/** Joins lines for a terminal. */
export function linesText(lines: readonly string[]): string {
  return lines.map(oneLine).join('\n');
}
