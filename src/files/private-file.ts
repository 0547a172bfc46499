/** A file with secrets: written in one step for the owner only, and read with suspicion. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { Stats } from 'node:fs';
import { mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import { systemReason } from './scan.ts';

/** `absent`: no such file. `why` may be shown, and has nothing of the content. */
export type PrivateRead =
  | { readonly kind: 'read'; readonly bytes: Uint8Array }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly why: string };

/** A link is refused, and opening a FIFO does not wait for a writer. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

const OTHERS = 0o007;
const OTHERS_WRITE = 0o002;
/** A file that a process left behind when it ended while it wrote. */
const LEFT_BEHIND_MS = 600_000;

/**
 * Reads a file that only its owner and its group may read. Refuses a link, anything that is no
 * regular file, one that others may read or write, one in a folder where others may write, and one
 * over `maxBytes`.
 */
export async function readPrivateFile(path: string, maxBytes: number): Promise<PrivateRead> {
  try {
    const exposed = exposedFolder(dirname(path), await stat(dirname(path)));
    if (exposed !== null) return refused(exposed);
    const file = await open(path, READ);
    try {
      const problem = exposedFile(await file.stat(), maxBytes);
      return problem === null ? await readBounded(file, maxBytes) : refused(problem);
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return { kind: 'absent' };
    return refused(code === 'ELOOP' ? 'it is a symbolic link' : systemReason(error));
  }
}

/**
 * Writes the pieces to a new file of mode 0600 and puts it in the place of `path`, so that a reader
 * finds the old content or the new, never a part. Creates the folder with mode 0700 where there is
 * none. Returns why it could not; null when it is written.
 */
export async function writePrivateFile(path: string, pieces: readonly Uint8Array[]): Promise<string | null> {
  const next = `${path}.${randomBytes(8).toString('hex')}.new`;
  const dir = dirname(path);
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const exposed = exposedFolder(dir, await stat(dir));
    if (exposed !== null) return exposed;
    await removeLeftBehind(path);
    const file = await open(next, CREATE, 0o600);
    try {
      for (const piece of pieces) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, path);
    return null;
  } catch (error) {
    await unlink(next).catch(() => undefined);
    return systemReason(error);
  }
}

async function removeLeftBehind(path: string): Promise<void> {
  const dir = dirname(path);
  const form = /^\.[0-9a-f]{16}\.new$/;
  for (const name of await readdir(dir)) {
    if (!name.startsWith(basename(path)) || !form.test(name.slice(basename(path).length))) continue;
    const { mtimeMs } = await stat(join(dir, name)).catch(() => ({ mtimeMs: Infinity }));
    if (Date.now() - mtimeMs > LEFT_BEHIND_MS) await unlink(join(dir, name)).catch(() => undefined);
  }
}

function exposedFolder(dir: string, about: Stats): string | null {
  if (!about.isDirectory()) return `${dir} is no folder`;
  return (about.mode & OTHERS_WRITE) === 0
    ? null
    : `every user may write in the folder ${dir} (mode ${modeOf(about)}): take that right away (chmod o-w)`;
}

function exposedFile(about: Stats, maxBytes: number): string | null {
  if (!about.isFile()) return 'it is no regular file';
  if ((about.mode & OTHERS) !== 0)
    return `it holds private keys, and every user may read or write it (mode ${modeOf(about)}): allowed is 0600, or 0660 for a group`;
  return about.size > maxBytes ? tooLarge(about.size, maxBytes) : null;
}

async function readBounded(file: FileHandle, maxBytes: number): Promise<PrivateRead> {
  const { size } = await file.stat();
  const buffer = Buffer.alloc(Math.min(size + 4_096, maxBytes + 1));
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
    if (bytesRead === 0) return { kind: 'read', bytes: buffer.subarray(0, length) };
    length += bytesRead;
  }
  return refused(length > maxBytes ? tooLarge(length, maxBytes) : 'it grows while it is read');
}

function tooLarge(bytes: number, maxBytes: number): string {
  return `it has at least ${bytes} bytes; allowed are ${maxBytes}`;
}

function modeOf({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

function refused(why: string): PrivateRead {
  return { kind: 'refused', why };
}
