/** Reads operators' files as text. Reads are bounded, and an error never quotes the content. */
import { closeSync, constants, fstatSync, openSync, readSync, realpathSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import type { Problem } from '../base/problem.ts';
import { fileProblem, scanFolder, systemReason } from './scan.ts';

export interface FileText {
  /** The operator's path of the folder, joined with the path below it. */
  readonly path: string;
  readonly text: string;
}

export interface FolderContent {
  /** Sorted by path. */
  readonly files: readonly FileText[];
  readonly problems: readonly Problem[];
  /** Taken before the files were read: `watchFolder` takes it as `since`. */
  readonly fingerprint: string;
}

/** `error` may be shown. */
export type FileBelow = { readonly text: string } | { readonly error: string };

export const MAX_FILE_BYTES: number = 4 * 1024 * 1024;

const AT_ONCE = 16;

/** Reads the `.yaml`, `.yml` and `.json` files of a folder and its sub-folders. */
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
 * Reads a file that a resource names, e.g. `tls.caCert.file`: absolute, or relative to the root.
 * After following every link it must lie below the root, be a regular file, and hold at most 4 MiB
 * of UTF-8. It is synchronous, because compiling is.
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

/** Its message is our own, and may be shown. */
class Unreadable extends Error {}

async function readText(path: string): Promise<FileText | Problem> {
  try {
    return { path, text: decode(await readBounded(path)) };
  } catch (error) {
    return fileProblem(path, error instanceof Unreadable ? error.message : `read: ${systemReason(error)}`);
  }
}

/** Removes a byte order mark. */
function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Unreadable('not UTF-8 text');
  }
}

/** Opening a FIFO for reading would otherwise wait for a writer. */
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

/** `path` is a real path: a link at its place was put there just now. */
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
 * Leaves room for bytes that are added while it is read; filling it is an error. The size is that
 * of the opened file, not of the listed one.
 */
function bufferFor(about: Stats): Buffer {
  if (!about.isFile()) throw new Unreadable('not a regular file');
  if (about.size > MAX_FILE_BYTES) throw new Unreadable(tooLarge(about.size));
  return Buffer.alloc(Math.min(about.size + 4_096, MAX_FILE_BYTES + 1));
}

function tooLarge(bytes: number): string {
  return bytes > MAX_FILE_BYTES ? `at least ${bytes} bytes (limit ${MAX_FILE_BYTES})` : 'it grows while it is read';
}
