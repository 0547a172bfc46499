/**
 * What operators wrote, as text. Files are read with bounds, and an error never quotes what is in
 * them.
 */
import { closeSync, constants, fstatSync, openSync, readSync, realpathSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import type { Problem } from '../base/problem.ts';
import { fileProblem, scanFolder, systemReason } from './scan.ts';

export interface FileText {
  /** As the operator gave the folder, joined with what lies below it. */
  readonly path: string;
  readonly text: string;
}

export interface FolderContent {
  /** Sorted by path. */
  readonly files: readonly FileText[];
  readonly problems: readonly Problem[];
  /** Of the moment before the files were read: `watchFolder` takes it as `since`. */
  readonly fingerprint: string;
}

/** `error` is fit to show. */
export type FileBelow = { readonly text: string } | { readonly error: string };

export const MAX_FILE_BYTES: number = 4 * 1024 * 1024;

const AT_ONCE = 16;

/** The `.yaml`, `.yml` and `.json` files of a folder and the folders in it. */
export async function readResourceFolder(dir: string): Promise<FolderContent> {
  const { files: paths, problems: found, fingerprint } = await scanFolder(dir);
  const problems = [...found];
  const files: FileText[] = [];
  for (let i = 0; i < paths.length; i += AT_ONCE) {
    const read = await Promise.all(paths.slice(i, i + AT_ONCE).map(readText));
    for (const one of read) {
      if ('text' in one) files.push(one);
      else problems.push(one);
    }
  }
  return { files, problems, fingerprint };
}

/**
 * A file that a resource names, e.g. `tls.caCert.file`: absolute, or from the root. It must lie
 * below the root when every link on the way is followed, be a regular file, and hold at most 4 MiB
 * of UTF-8. Not a promise, because compiling is not one.
 */
export function readFileBelow(root: string, path: string): FileBelow {
  if (path === '' || path.includes('\0')) return { error: 'not a path' };
  try {
    const base = realpathSync(root);
    const real = realpathSync(resolve(base, path));
    if (!real.startsWith(base.endsWith(sep) ? base : base + sep)) return { error: `it is not below the folder ${root}` };
    return { text: decode(readWhole(real)) };
  } catch (error) {
    return { error: error instanceof Unreadable ? error.message : systemReason(error) };
  }
}

/** The message is ours, and fit to show. */
class Unreadable extends Error {}

async function readText(path: string): Promise<FileText | Problem> {
  try {
    return { path, text: decode(await readBounded(path)) };
  } catch (error) {
    return fileProblem(path, error instanceof Unreadable ? error.message : `read: ${systemReason(error)}`);
  }
}

/** Without a byte order mark, if there was one. */
function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Unreadable('not UTF-8 text');
  }
}

/** To open a FIFO for reading would wait for a writer. */
const OPEN = constants.O_RDONLY | constants.O_NONBLOCK;

async function readBounded(path: string): Promise<Buffer> {
  const file = await open(path, OPEN);
  try {
    const buffer = bufferFor(await file.stat());
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) return buffer.subarray(0, length);
      length += bytesRead;
    }
    throw new Unreadable(tooLarge(length));
  } finally {
    await file.close();
  }
}

/** `path` is a real path: a link in its place has just been put there. */
function readWhole(path: string): Buffer {
  const file = openSync(path, OPEN | constants.O_NOFOLLOW);
  try {
    const buffer = bufferFor(fstatSync(file));
    let length = 0;
    while (length < buffer.length) {
      const bytesRead = readSync(file, buffer, length, buffer.length - length, null);
      if (bytesRead === 0) return buffer.subarray(0, length);
      length += bytesRead;
    }
    throw new Unreadable(tooLarge(length));
  } finally {
    closeSync(file);
  }
}

/**
 * With room for what is added while it is read; to fill it is an error. Decided on what was opened,
 * not on what was listed.
 */
function bufferFor(about: Stats): Buffer {
  if (!about.isFile()) throw new Unreadable('not a regular file');
  if (about.size > MAX_FILE_BYTES) throw new Unreadable(tooLarge(about.size));
  return Buffer.alloc(Math.min(about.size + 4_096, MAX_FILE_BYTES + 1));
}

function tooLarge(bytes: number): string {
  return bytes > MAX_FILE_BYTES ? `at least ${bytes} bytes (limit ${MAX_FILE_BYTES})` : 'it grows while it is read';
}
