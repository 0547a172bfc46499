/**
 * Lines for a terminal. Clients choose names, files may come from anybody: what would move a
 * cursor, begin a line of its own or turn the direction of writing is written out as `\x1b` or
 * `\u{202e}`. Other letters of any alphabet stay.
 */
export function linesText(lines: readonly string[]): string {
  return lines.map(oneLine).join('\n');
}

export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, written);
}

function written(char: string): string {
  const hex = (char.codePointAt(0) ?? 0).toString(16);
  return hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
}
