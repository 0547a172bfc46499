import { stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

/** Returns whether another file, or none, is at the path of an open one: log rotation moved it. */
export async function isMovedAway(handle: FileHandle, path: string): Promise<boolean> {
  const [own, there] = await Promise.all([handle.stat(), stat(path).catch(() => null)]);
  return own.ino !== there?.ino || own.dev !== there.dev;
}
