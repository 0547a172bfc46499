/**
 * The file of tokens that allow changes over TCP. It is read for each change, so that a token that
 * is written, or taken out, counts at once; also where a Secret of Kubernetes replaces the file by
 * a link.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Problem } from '../../base/problem.ts';
import { exposure, readSmallFile } from '../small-file.ts';

export type FoundToken =
  | { readonly kind: 'found'; readonly name: string }
  | { readonly kind: 'wrong' }
  /** The file cannot be read, or no line of it is a token; `onDoubt` has the reason. */
  | { readonly kind: 'unreadable' };

export interface TokenFileOptions {
  readonly path: string;
  /** Called with a sentence when there is a new doubt about the file, or a new failure. */
  readonly onDoubt: (sentence: string) => void;
}

interface Token {
  readonly name: string;
  readonly digest: Buffer;
}

/** `line` is 0 where no line of the file is at fault. */
interface Unreadable {
  readonly kind: 'unreadable';
  readonly line: number;
  readonly why: string;
}

type Read = { readonly kind: 'tokens'; readonly tokens: readonly Token[]; readonly doubt: string | null } | Unreadable;

/** Fewer characters could be guessed. */
const MIN_CHARACTERS = 32;

export class TokenFile {
  readonly #options: TokenFileOptions;
  readonly #key = randomBytes(32);
  #reading: Promise<Read> | null = null;
  #said: string | null = null;

  constructor(options: TokenFileOptions) {
    this.#options = options;
  }

  /** Resolves with the reason why no token can be read; null where one can. */
  async problem(): Promise<Problem | null> {
    const read = await this.#read();
    if (read.kind !== 'unreadable') return null;
    const { line, why } = read;
    return { severity: 'error', file: this.#options.path, line, column: line === 0 ? 0 : 1, field: '', message: why };
  }

  /** Takes the same time for each wrong token, and for each right one of the file. */
  async find(token: string): Promise<FoundToken> {
    const read = await this.#read();
    if (read.kind === 'unreadable') return read;
    const digest = this.#digestOf(token);
    let found: FoundToken = { kind: 'wrong' };
    for (const known of read.tokens) if (timingSafeEqual(known.digest, digest)) found = { kind: 'found', name: known.name };
    return found;
  }

  /** Callers at the same time share a read: a disk that hangs holds one thread of Node's pool. */
  #read(): Promise<Read> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<Read> {
    const { path, onDoubt } = this.#options;
    const read = await this.#readNow(path);
    const doubt = read.kind === 'tokens' ? read.doubt : `the token file ${path} allows no change: ${read.why}`;
    if (doubt !== null && doubt !== this.#said) onDoubt(doubt);
    this.#said = doubt;
    return read;
  }

  async #readNow(path: string): Promise<Read> {
    const file = await readSmallFile(path);
    if (file.kind === 'unreadable') return unreadable(file.why);
    const tokens = this.#tokensIn(file.text);
    return 'why' in tokens ? tokens : { kind: 'tokens', tokens, doubt: exposure('the token file', path, file.mode) };
  }

  /** Returns the tokens, or why there is none. Never quotes a line, which may be a token. */
  #tokensIn(text: string): readonly Token[] | Unreadable {
    const tokens: Token[] = [];
    for (const [i, line] of text.split('\n').entries()) {
      const words = line.trim().split(/\s+/);
      if (words[0] === '' || words[0]?.startsWith('#') === true) continue;
      const [token = '', name] = words.length === 1 ? words : [words[1], words[0]];
      const why = words.length > 2 ? 'allowed is a token, or a name and a token' : lineProblem(token, name);
      if (why !== null) return unreadable(why, i + 1);
      tokens.push({ name: name ?? `of line ${i + 1}`, digest: this.#digestOf(token) });
    }
    return tokens.length === 0 ? unreadable('it has no token: write one in a line of its own') : tokens;
  }

  #digestOf(token: string): Buffer {
    return createHmac('sha256', this.#key).update(token).digest();
  }
}

function unreadable(why: string, line = 0): Unreadable {
  return { kind: 'unreadable', line, why };
}

function lineProblem(token: string, name: string | undefined): string | null {
  if (name !== undefined && !/^[\w.@-]{1,64}$/.test(name))
    return 'allowed in the name of a token are up to 64 letters, digits and . @ _ -';
  if (!/^[\x21-\x7e]+$/.test(token)) return 'allowed in a token is printable ASCII';
  if (token.length < MIN_CHARACTERS)
    return `a token has at least ${MIN_CHARACTERS} characters, as \`openssl rand -hex 32\` makes it`;
  return null;
}
