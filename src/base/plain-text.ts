const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/**
 * Printable ASCII without quotes and backslashes: the same when it is quoted, in a sentence and in
 * JSON.
 */
export function isPlain(text: string): boolean {
  return PLAIN.test(text);
}

/** A character as `\xNN`. */
export function hexEscape(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
