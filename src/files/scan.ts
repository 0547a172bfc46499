/** Which resource files a folder has. Reading and watching both go by this list, so that they never differ in what they see. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '../base/problem.ts';

export interface Scan {
  /** Sorted by path; `dir` joined with what lies below it. */
  readonly files: readonly string[];
  readonly folders: readonly ScannedFolder[];
  readonly problems: readonly Problem[];
  /** Equal as long as no file was added, taken away or written, through symbolic links too. */
  readonly fingerprint: string;
}

export interface ScannedFolder {
  readonly path: string;
  /** Another folder under the same path has another one. */
  readonly id: string;
}

const RESOURCE = /\.(?:ya?ml|json)$/i;
const MAX_DEPTH = 32;

/**
 * Names that begin with a dot are left out: editors' files, `.git`, and Kubernetes' `..data`, which the visible names are links into.
 * A link counts as the file behind it, and is not followed to a folder.
 */
export async function scanFolder(dir: string): Promise<Scan> {
  const found: Found = { files: [], folders: [], problems: [], marks: [] };
  await visit(dir, 0, found);
  found.files.sort(byText);
  found.problems.sort((a, b) => byText(a.file, b.file));
  return { ...found, fingerprint: found.marks.sort(byText).join('\n') };
}

export function fileProblem(file: string, message: string, severity: Problem['severity'] = 'error'): Problem {
  return { severity, file, line: 0, column: 0, field: '', message };
}

/** What the system said, without a path of its own in it. */
export function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return message;
  const known = REASONS[code];
  return known === undefined ? code : `${known} (${code})`;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'no permission',
  EPERM: 'no permission',
  ELOOP: 'its links go in a circle',
  ENOTDIR: 'not a folder',
  EMFILE: 'too many open files',
};

interface Found {
  readonly files: string[];
  readonly folders: ScannedFolder[];
  readonly problems: Problem[];
  readonly marks: string[];
}

async function visit(dir: string, depth: number, found: Found): Promise<void> {
  let entries;
  try {
    const { dev, ino } = await stat(dir, { bigint: true });
    found.folders.push({ path: dir, id: `${dev}:${ino}` });
    entries = await readdir(dir, { withFileTypes: true });
  } catch (error) {
    problem(found, fileProblem(dir, `read folder: ${systemReason(error)}`));
    return;
  }
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const path = join(dir, entry.name);
    if (entry.isDirectory()) {
      if (depth >= MAX_DEPTH) problem(found, fileProblem(path, `more than ${MAX_DEPTH} folders deep`));
      else await visit(path, depth + 1, found);
    } else if (entry.isSymbolicLink() || RESOURCE.test(entry.name)) {
      await visitFile(path, { link: entry.isSymbolicLink(), resource: RESOURCE.test(entry.name) }, found);
    }
  }
}

async function visitFile(path: string, is: { readonly link: boolean; readonly resource: boolean }, found: Found): Promise<void> {
  try {
    const about = await stat(path, { bigint: true });
    if (about.isDirectory()) {
      problem(found, fileProblem(path, 'a symbolic link to a folder is not followed', 'warning'));
    } else if (is.resource) {
      if (!about.isFile()) problem(found, fileProblem(path, 'not a regular file'));
      else found.files.push(path);
      // The time of the last status change tells of a mode that makes a file readable, and of a write that kept the other time.
      found.marks.push(`${path} ${about.size} ${about.mtimeNs} ${about.ctimeNs} ${about.dev}:${about.ino}`);
    }
  } catch (error) {
    // A link that leads nowhere and has the name of no resource says nothing about the configuration.
    if (is.resource) problem(found, fileProblem(path, `read: ${systemReason(error)}`));
  }
}

function problem(found: Found, one: Problem): void {
  found.problems.push(one);
  found.marks.push(`${one.file} ${one.message}`);
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
