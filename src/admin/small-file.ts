/** Reads a small file that an operator names, again and again, without waiting for a writer. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { errorCode } from '../base/error-code.ts';

/** `why` may be shown, and has nothing of the content. */
export type SmallFile =
  { readonly kind: 'read'; readonly text: string; readonly mode: number } | { readonly kind: 'unreadable'; readonly why: string };

const MAX_BYTES = 65_536;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is no file',
};

/** A link is followed: a Secret of Kubernetes replaces its files by links. The text is Latin-1. */
export async function readSmallFile(path: string): Promise<SmallFile> {
  try {
    // Opening a FIFO for reading would otherwise wait for a writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await file.stat();
      if (!stats.isFile()) return unreadable('it is no file');
      const buffer = Buffer.alloc(MAX_BYTES + 1);
      let length = 0;
      for (let more = 1; more > 0 && length <= MAX_BYTES; length += more)
        more = (await file.read(buffer, length, buffer.length - length, null)).bytesRead;
      if (length > MAX_BYTES) return unreadable(`it has more than ${MAX_BYTES} bytes`);
      return { kind: 'read', text: buffer.toString('latin1', 0, length), mode: stats.mode };
    } finally {
      await file.close();
    }
  } catch (error) {
    return unreadable(REASONS[errorCode(error)] ?? `it cannot be read (${errorCode(error) || 'unknown error'})`);
  }
}

const BY_OTHERS = 0o077;

/** Returns a sentence where other users can read or write a file with a secret; null where not. */
export function exposure(what: string, path: string, mode: number): string | null {
  if ((mode & BY_OTHERS) === 0) return null;
  const shown = (mode & 0o777).toString(8).padStart(4, '0');
  return `${what} ${path} has the mode ${shown}, so other users can read or write it: chmod 600, or fsGroup with defaultMode 0400 in Kubernetes`;
}

function unreadable(why: string): SmallFile {
  return { kind: 'unreadable', why };
}
