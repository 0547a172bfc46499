import { oneLine } from '../base/plain-text.ts';

/** Joins lines for a terminal. */
export function linesText(lines: readonly string[]): string {
  return lines.map(oneLine).join('\n');
}

export function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
