import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import type { Terminal } from './terminal.ts';

export interface FileToWrite {
  /** Relative to the folder. */
  readonly path: string;
  readonly text: string;
  /** True makes it readable for its owner only. */
  readonly secret?: boolean;
}

/** From sysexits. */
const EXIT_CANNOT_CREATE = 73;
const EXIT_NO_PERMISSION = 77;

/**
 * Writes all files, or none where one exists and must not be replaced. Returns the exit code: 0, or
 * another after it printed the reason. A refusal of the system ends it at that file.
 */
export function writeFiles(
  dir: string,
  files: readonly FileToWrite[],
  { force, terminal }: { readonly force: boolean; readonly terminal: Terminal },
): number {
  const inTheWay = files.map(({ path }) => join(dir, path)).filter((path) => existsSync(path));
  if (inTheWay.length > 0 && !force) {
    terminal.err(`zone-egress: these files exist already; --force replaces them: ${inTheWay.join(', ')}\n`);
    return EXIT_CANNOT_CREATE;
  }
  for (const file of files) {
    const target = join(dir, file.path);
    try {
      write(target, file);
    } catch (error) {
      const code = errorCode(error);
      if (code === '') throw error;
      terminal.err(`zone-egress: write ${target}: ${REASONS[code] ?? 'the system refuses it'} (${code})\n`);
      return NO_PERMISSION.has(code) ? EXIT_NO_PERMISSION : EXIT_CANNOT_CREATE;
    }
  }
  return 0;
}

function write(target: string, { text, secret = false }: FileToWrite): void {
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text, { mode: secret ? 0o600 : 0o644 });
  // The mode above takes effect only for new files.
  if (secret) chmodSync(target, 0o600);
}

const NO_PERMISSION: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS']);

const REASONS: Readonly<Record<string, string>> = {
  EEXIST: 'a file is where a folder is needed',
  ENOTDIR: 'a file is where a folder is needed',
  EISDIR: 'a folder is where a file is needed',
  ENOENT: 'a link on the way leads nowhere',
  ELOOP: 'its links go in a circle',
  EACCES: 'no permission',
  EPERM: 'no permission',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left',
};
