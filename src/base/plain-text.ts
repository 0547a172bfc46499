const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/**
 * Tells whether a text is printable ASCII without quotes and backslashes. Such a text reads the
 * same in a sentence, in quotes and in JSON.
 */
export function isPlain(text: string): boolean {
  return PLAIN.test(text);
}

/** Writes a character as `\xNN`. */
export function hexEscape(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
