/**
 * Keeps keys and tokens out of printed text. Operators put a key into the wrong field, and a
 * message that quotes the field would carry it into logs, tickets and chats. Certificates in PEM
 * are treated as keys: the two look alike, and a message loses nothing without them.
 */

/** Replaces text that was taken out. */
export const NOT_SHOWN = '<not shown: it looks like a key>';

/** The longest value that is quoted in full; a longer one is cut and followed by its length. */
const MAX_QUOTED = 80;

/** Quotes a value from input for a sentence: cut, and without anything that looks like a key. */
export function quote(value: string): string {
  const shown = JSON.stringify(cut(value));
  return value.length > MAX_QUOTED && !holdsKey(value) ? `${shown} (${value.length} characters)` : shown;
}

/**
 * Does the same without quotes. A value that holds a key is left out, not cut: half a key is still
 * a secret.
 */
export function cut(value: string): string {
  if (holdsKey(value)) return NOT_SHOWN;
  return value.length > MAX_QUOTED ? `${value.slice(0, MAX_QUOTED)}…` : value;
}

function holdsKey(value: string): boolean {
  return withoutKeys(value) !== value;
}

/**
 * Takes everything that looks like a key or a token out of the text. It takes out too much rather
 * than too little.
 */
export function withoutKeys(text: string): string {
  if (text.length < MIN_RUN) return text;
  return text
    .replace(PEM, NOT_SHOWN)
    .replace(TOKEN, NOT_SHOWN)
    .replace(JWK_MEMBER, `$1${NOT_SHOWN}`)
    .replace(COLON_HEX, NOT_SHOWN)
    .replace(LINES, (lines) =>
      lines.split(LINE_END).some((run) => looksEncoded(run) || LONG_HEX.test(run)) ? NOT_SHOWN : lines,
    );
}

/**
 * Tells whether a value that has to be a name, a tag or an address is really a key. It is stricter
 * than `withoutKeys`: a random name of 30 characters is a name. The caller refuses such a value, so
 * that no key reaches the pages that show the configuration.
 */
export function isKeyMaterial(value: string): boolean {
  if (value.length < MIN_KEY) return false;
  if (new RegExp(PEM).test(value) || new RegExp(TOKEN).test(value) || new RegExp(JWK_MEMBER).test(value)) return true;
  if (new RegExp(COLON_HEX).test(value)) return true;
  const dense = value.replace(/\s+/g, '');
  return (dense.match(RUNS) ?? []).some((run) => run.length >= MIN_KEY && looksEncoded(run));
}

/**
 * The fewest characters of a key. Every private key is longer: 32 bytes are 43 characters of
 * base64.
 */
const MIN_KEY = 40;
const MIN_RUN = 20;

const PEM = /-{2,5}\s*BEGIN\b[\s\S]*?(?:-{2,5}\s*END\b[^-]*-*|$)/g;
/** A JSON Web Token: three parts of JSON in base64url, of which the first begins with `{"`. */
const TOKEN = /\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*/g;
/** The private members of a JSON Web Key, also where its quotes are escaped, however often. */
const JWK_MEMBER = /(\\*["'](?:d|p|q|dp|dq|qi|k)\\*["']\s*:\s*)\\*["'][^"'\\]{8,}/g;
const COLON_HEX = /\b(?:[0-9a-fA-F]{2}:){15,}[0-9a-fA-F]{2}\b/g;
/**
 * A raw key, or the digest of an image. It is not printed, but it is no reason to refuse a value.
 */
const LONG_HEX = /^[0-9a-fA-F]{64,}$/;
const LINE_END = /(?:\r?\n|\\r|\\n)[ \t]*/;
/** A run of base64 with the shorter lines that follow it. */
const LINES = /[A-Za-z0-9+/_=-]{20,}(?:(?:\r?\n|\\r|\\n)[ \t]*[A-Za-z0-9+/_=-]+)*/g;
const RUNS = /[A-Za-z0-9+/_=-]{20,}/g;

/** `-----BEGIN` in base64, wherever its first byte falls. */
const ENCODED_PEM = /LS0tLS1CRUdJ|0tLS0tQkVHSU|tLS0tLUJFR0lO/;

function looksEncoded(run: string): boolean {
  if (run.length < MIN_RUN) return false;
  if (ENCODED_PEM.test(run) || isDer(run)) return true;
  return changes(run) >= (run.length < MIN_KEY ? 0.5 : 0.3);
}

/**
 * Returns how often capitals, small letters and digits alternate: 0.6 in random base64, 0.1 to 0.25
 * in names and paths. Returns 0 where capitals or small letters are missing, as in names of
 * Kubernetes and in UUIDs. A short run also needs a digit; one key of 43 characters in 1,400 has
 * none.
 */
function changes(run: string): number {
  if (!/[a-z]/.test(run) || !/[A-Z]/.test(run)) return 0;
  if (run.length < MIN_KEY && !/[0-9]/.test(run)) return 0;
  let pairs = 0;
  let turns = 0;
  for (let i = 1; i < run.length; i++) {
    const [before, now] = [classOf(run.charCodeAt(i - 1)), classOf(run.charCodeAt(i))];
    if (before === 0 || now === 0) continue;
    pairs++;
    if (before !== now) turns++;
  }
  return pairs < MIN_RUN / 2 ? 0 : turns / pairs;
}

/** 0 is a sign that is neither a letter nor a digit. */
function classOf(code: number): 0 | 1 | 2 | 3 {
  if (code >= 97 && code <= 122) return 1;
  if (code >= 65 && code <= 90) return 2;
  return code >= 48 && code <= 57 ? 3 : 0;
}

/**
 * Tells whether the run, as base64, base64url or hex, holds a SEQUENCE of DER whose length fits: a
 * key in DER.
 */
function isDer(run: string): boolean {
  if (/^(?:30|MC|MD|ME|MF|MG|MH|MI)/.test(run)) {
    const bytes = /^(?:[0-9a-fA-F]{2})+$/.test(run) ? Buffer.from(run, 'hex') : Buffer.from(run, 'base64');
    const [tag, first = 0, second = 0, third = 0] = bytes;
    if (tag !== 0x30) return false;
    const [head, length] = first < 0x80 ? [2, first] : first === 0x81 ? [3, second] : [4, second * 256 + third];
    return (
      (first < 0x80 || first === 0x81 || first === 0x82) && bytes.length >= 16 && Math.abs(bytes.length - head - length) <= 3
    );
  }
  return false;
}
