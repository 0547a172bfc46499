import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface FileToWrite {
  /** Below the folder. */
  readonly path: string;
  readonly text: string;
  /** Readable by the owner only. */
  readonly secret?: boolean;
}

/** Writes all or, where one is there already and may not be replaced, none; the paths in the way come back. */
export function writeFiles(dir: string, files: readonly FileToWrite[], options: { readonly force: boolean }): readonly string[] {
  const inTheWay = files.map(({ path }) => join(dir, path)).filter((path) => existsSync(path));
  if (inTheWay.length > 0 && !options.force) return inTheWay;
  for (const { path, text, secret = false } of files) {
    const target = join(dir, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text, { mode: secret ? 0o600 : 0o644 });
    // The mode above counts for new files only.
    if (secret) chmodSync(target, 0o600);
  }
  return [];
}
