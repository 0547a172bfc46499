/**
 * A unix socket that only its owner may open, under any umask: it is made in a folder that only the
 * owner may enter, and moves to its path when it has its mode.
 */
import { chmodSync, linkSync, lstatSync, mkdtempSync, renameSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { connect } from 'node:net';
import type { Server } from 'node:net';
import { dirname, join } from 'node:path';
import { errorCode } from '../base/error-code.ts';

export interface BoundSocket {
  /** The user who may open it, besides root. */
  readonly uid: number;
  /** A sentence where other users could put another socket at the path; null where they cannot. */
  readonly doubt: string | null;
  /** Removes the socket from its path, unless another one is there by now. */
  remove(): void;
}

/** The shortest limit of the systems that Node runs on. */
const MAX_PATH_BYTES = 103;
const OWNER_ONLY = 0o600;
const PRIVATE_FOLDER = 0o700;

/** Rejects, with a code of the system, where the path cannot be used or something lives there. */
export async function listenOnSocket(server: Server, path: string): Promise<BoundSocket> {
  const failure = (why: string, code: string): Error =>
    Object.assign(new Error(`listen on ${path} for the admin socket: ${why}`), { code });
  const longest = Math.max(Buffer.byteLength(path), Buffer.byteLength(join(dirname(path), '.s-XXXXXX', 's')));
  if (path.includes('\0')) throw failure('it is no path', 'EINVAL');
  if (longest > MAX_PATH_BYTES) throw failure(`the path is too long: the system takes ${MAX_PATH_BYTES} bytes`, 'ENAMETOOLONG');
  let folder = '';
  let taken: string | null = null;
  try {
    const before = await leftover(path);
    if (typeof before === 'string') {
      taken = before;
      throw failure(before, 'EADDRINUSE');
    }
    folder = mkdtempSync(join(dirname(path), '.s-'));
    chmodSync(folder, PRIVATE_FOLDER);
    const made = join(folder, 's');
    await listenAt(server, made);
    chmodSync(made, OWNER_ONLY);
    const own = lstatSync(made);
    if (before !== null && isSame(before, found(path))) unlinkSync(path);
    moveTo(made, path);
    return {
      uid: own.uid,
      doubt: folderDoubt(dirname(path)),
      remove() {
        if (isSame(own, found(path))) unlinkSync(path);
      },
    };
  } catch (error) {
    if (taken !== null) throw error;
    const code = errorCode(error);
    const why = WHY[code] ?? (error instanceof Error ? error.message : String(error));
    throw failure(code === '' ? why : `${why} (${code})`, code || 'EINVAL');
  } finally {
    if (folder !== '') tries(() => rmdirSync(folder));
  }
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'its folder is none',
  EACCES: 'this user may not write into its folder',
  EPERM: 'this user may not write into its folder',
  EROFS: 'its folder cannot be written',
  EEXIST: 'something was put there at this moment',
};

function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

/** A link fails where the path is taken, and a rename would replace what is there. */
function moveTo(made: string, path: string): void {
  try {
    linkSync(made, path);
    unlinkSync(made);
  } catch (error) {
    // Some file systems have no links.
    if (errorCode(error) === 'EEXIST' || found(path) !== null) throw error;
    renameSync(made, path);
  }
}

/**
 * Returns the socket that a process left behind without listening any more; null where the path is
 * free, or why it cannot be used.
 */
async function leftover(path: string): Promise<Stats | string | null> {
  const stats = found(path);
  if (stats === null) return null;
  if (stats.isSymbolicLink()) return 'it is a symbolic link, which may lead anywhere: remove it';
  if (!stats.isSocket()) return 'something that is no socket has this path: remove it, or choose another path';
  const code = await dialled(path);
  if (code === 'ECONNREFUSED') return stats;
  if (code === 'ENOENT') return null;
  return code === '' ? 'another process listens there' : `it cannot be known whether another process listens there (${code})`;
}

/** Resolves with the code of the failure; empty where a process accepts connections. */
function dialled(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('');
    });
    socket.once('error', (error) => resolve(errorCode(error) || 'unknown error'));
  });
}

function found(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

function isSame(a: Stats, b: Stats | null): boolean {
  return b !== null && a.ino === b.ino && a.dev === b.dev;
}

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

function folderDoubt(folder: string): string | null {
  const { mode } = statSync(folder);
  if ((mode & WRITABLE_BY_OTHERS) === 0 || (mode & STICKY) !== 0) return null;
  return `other users can write into ${folder}, and put a socket of their own in place of the admin socket: chmod go-w`;
}

function tries(act: () => void): void {
  try {
    act();
  } catch {
    // It stays behind, empty.
  }
}
