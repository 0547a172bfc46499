/**
 * Lists the resource files of a folder. Reading and watching both use this list, so that they see
 * the same files.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ownLack } from '../base/own-lack.ts';
import type { Problem } from '../base/problem.ts';

export interface Scan {
  /** Sorted by path; `dir` joined with the path below it. */
  readonly files: readonly string[];
  readonly folders: readonly ScannedFolder[];
  readonly problems: readonly Problem[];
  /** Stays equal until a file is added, removed or written, through symbolic links too. */
  readonly fingerprint: string;
}

export interface ScannedFolder {
  readonly path: string;
  /** Another folder under the same path has another id. */
  readonly id: string;
}

const RESOURCE = /\.(?:ya?ml|json)$/i;
const MAX_DEPTH = 32;

/**
 * Lists the files. Names that begin with a dot are left out: editors' files, `.git`, and
 * Kubernetes' `..data`, which the visible names link into. A link counts as its target: a file
 * anywhere, or a folder below `dir`. Each folder is read once, under its own path before any
 * link's. A link that cannot be followed is an error under any name, because it may stand for a
 * policy.
 */
export async function scanFolder(dir: string): Promise<Scan> {
  const found: Found = { files: [], folders: [], problems: [], marks: [], links: [], seen: new Set() };
  await visit({ path: dir, depth: 0, linked: false }, found);
  // The list grows during the loop: a link's target may contain links.
  for (const link of found.links) await visitLink(dir, link, found);
  const { files, folders, problems, marks } = found;
  files.sort(byText);
  problems.sort((a, b) => byText(a.file, b.file));
  return { files, folders, problems, fingerprint: marks.sort(byText).join('\n') };
}

export function fileProblem(file: string, message: string, severity: Problem['severity'] = 'error'): Problem {
  return { severity, file, line: 0, column: 0, field: '', message };
}

/** Returns the system's reason, without a path of its own in it. */
export function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return message;
  const lack = ownLack(code);
  if (lack !== null) return lack;
  const known = REASONS[code];
  return known === undefined ? code : `${known} (${code})`;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'no permission',
  EPERM: 'no permission',
  ELOOP: 'its links go in a circle',
  ENOTDIR: 'not a folder',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left',
  EDQUOT: 'no space is left of the quota',
  ENAMETOOLONG: 'the name is too long',
};

interface Found {
  readonly files: string[];
  readonly folders: ScannedFolder[];
  readonly problems: Problem[];
  readonly marks: string[];
  /** Links to folders, followed when all folders are known that need no link. */
  readonly links: Folder[];
  /** Ids of the folders that were read. */
  readonly seen: Set<string>;
}

interface Folder {
  readonly path: string;
  readonly depth: number;
  /** True where it, or a folder on the way to it, is a link. */
  readonly linked: boolean;
}

async function visit({ path: dir, depth, linked }: Folder, found: Found): Promise<void> {
  let entries;
  try {
    const { dev, ino } = await stat(dir, { bigint: true });
    const id = `${dev}:${ino}`;
    if (linked && found.seen.has(id)) return;
    found.seen.add(id);
    found.folders.push({ path: dir, id });
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
      else await visit({ path, depth: depth + 1, linked }, found);
    } else if (entry.isSymbolicLink() || RESOURCE.test(entry.name)) {
      await visitFile({ path, depth: depth + 1, linked: true }, found);
    }
  }
}

async function visitFile(at: Folder, found: Found): Promise<void> {
  const { path } = at;
  try {
    const about = await stat(path, { bigint: true });
    if (about.isDirectory()) {
      found.links.push(at);
    } else if (RESOURCE.test(path)) {
      if (!about.isFile()) problem(found, fileProblem(path, 'not a regular file'));
      else found.files.push(path);
      // The time of the last status change reveals a mode that makes a file readable, and a write
      // that kept the other time.
      found.marks.push(`${path} ${about.size} ${about.mtimeNs} ${about.ctimeNs} ${about.dev}:${about.ino}`);
    }
  } catch (error) {
    problem(found, fileProblem(path, `read: ${systemReason(error)}`));
  }
}

async function visitLink(root: string, link: Folder, found: Found): Promise<void> {
  try {
    const [base, real] = await Promise.all([realpath(root), realpath(link.path)]);
    if (real !== base && !real.startsWith(base.endsWith(sep) ? base : base + sep)) {
      problem(found, fileProblem(link.path, `a symbolic link to a folder that is not below ${root}`));
    } else if (link.depth > MAX_DEPTH) {
      problem(found, fileProblem(link.path, `more than ${MAX_DEPTH} folders deep`));
    } else {
      await visit(link, found);
    }
  } catch (error) {
    problem(found, fileProblem(link.path, `read folder: ${systemReason(error)}`));
  }
}

function problem(found: Found, one: Problem): void {
  found.problems.push(one);
  found.marks.push(`${one.file} ${one.message}`);
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
