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

/**
 * Writes JSON without the characters that a terminal acts on, or that change the direction of
 * writing. JSON escapes those below 0x20 by itself. The value stays the same.
 */
export function safeJson(value: unknown, space?: number): string {
  return withoutControls(JSON.stringify(value, null, space));
}

/** Escapes them in JSON, where they can stand only in texts. */
export function withoutControls(json: string): string {
  return json.replace(/[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, unicodeEscape);
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * Writes a text for a terminal, in one line. Clients choose names, and files may come from
 * anywhere: characters that move a cursor, begin a line or change the direction of writing are
 * written as `\x1b` or `\u{202e}`. Letters of all alphabets stay.
 */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, written);
}

function written(char: string): string {
  const hex = (char.codePointAt(0) ?? 0).toString(16);
  return hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
}
