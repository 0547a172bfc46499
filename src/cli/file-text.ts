import { readFileSync } from 'node:fs';
import { errorCode } from '../base/error-code.ts';
import { EXIT_CONFIG, EXIT_NO_INPUT } from './exit-codes.ts';
import { Stopped } from './load-folder.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a folder',
};

/** Reads the text of a file from the command line; `-` is standard input. Throws `Stopped`. */
export function fileText(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    const code = errorCode(error) || 'unknown error';
    throw new Stopped(EXIT_NO_INPUT, `read ${path}: ${REASONS[code] ?? 'it cannot be read'} (${code})`);
  }
}

/** Parses the text of a file from the command line. Throws `Stopped`, with the error of `parse`. */
export function parsedFile<Value>(path: string, parse: (text: string) => Value): Value {
  const text = fileText(path);
  try {
    return parse(text);
  } catch (error) {
    throw new Stopped(EXIT_CONFIG, `${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
