/**
 * Joins lines for a terminal. Clients choose names, and files may come from anywhere: characters
 * that move a cursor, begin a line or change the direction of writing are written as `\x1b` or
 * `\u{202e}`. Letters of all alphabets stay.
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
