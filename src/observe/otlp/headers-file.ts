import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { errorCode } from '../../base/error-code.ts';
import { OtlpError } from './otlp-options.ts';

const MAX_BYTES = 65_536;
/** Opening a FIFO does not wait for a writer. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;
/** The egress sets them, or they would change how the request ends. */
const OWN: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Reads headers, one `name: value` a line; `#` begins a comment. An error names the line and never
 * a value.
 */
export async function readHeadersFile(path: string): Promise<Readonly<Record<string, string>>> {
  return headersIn(await textOf(path), path);
}

export function headersIn(text: string, path: string): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const at = line.indexOf(':');
    const name = line.slice(0, at).trim().toLowerCase();
    const value = line.slice(at + 1).trim();
    const place = `${path}:${index + 1}`;
    if (at < 0 || !isValid(name, value))
      throw new OtlpError(`${place}: allowed is a header as NAME: VALUE; the line is not shown`);
    if (OWN.has(name)) throw new OtlpError(`${place}: the header ${name} is set by the egress`);
    headers[name] = value;
  }
  return headers;
}

function isValid(name: string, value: string): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

async function textOf(path: string): Promise<string> {
  try {
    const file = await open(path, READ);
    try {
      const buffer = Buffer.alloc(MAX_BYTES + 1);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      if (bytesRead > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    const why = errorCode(error) || (error instanceof Error ? error.message : String(error));
    throw new OtlpError(`${path}: the headers for the collector cannot be read: ${why}`, { cause: error });
  }
}
