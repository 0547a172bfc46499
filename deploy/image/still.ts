import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, openSync, readFileSync, readSync, readdirSync, rmSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOME } from './app.ts';
import { isElf, readElf } from './elf.ts';
import type { Architecture } from './elf.ts';
import { ask } from './engine.ts';
import type { Engine } from './engine.ts';

/** Returns the faults of a tree of files that is meant for one processor; starts none of them. */
export function faultsOf(
  tree: string,
  architecture: Architecture,
): { readonly faults: readonly string[]; readonly programs: number } {
  const faults: string[] = [];
  let programs = 0;
  for (const path of filesOf(tree)) {
    if (!beginsAsElf(path)) continue;
    programs++;
    const { architecture: found } = readElf(readFileSync(path));
    if (found !== architecture) faults.push(`${path.slice(tree.length)} is for ${found ?? 'another processor'}`);
  }
  const text = readFileSync(join(tree, HOME, 'sbom.cdx.json'), 'utf8');
  const { components } = JSON.parse(text) as { readonly components: readonly { readonly purl: string }[] };
  for (const { purl } of components) {
    const [, found] = /\?arch=(\w+)$/.exec(purl) ?? [];
    if (found !== undefined && found !== 'all' && found !== architecture) faults.push(`the SBOM has ${purl}`);
  }
  if (!text.includes(`/libc6@`)) faults.push('the SBOM has no package of Debian');
  return { faults, programs };
}

/** Follows no link: those of the tree may lead out of it. */
function filesOf(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesOf(path);
    return entry.isFile() ? [path] : [];
  });
}

function beginsAsElf(path: string): boolean {
  if (lstatSync(path).size < 64) return false;
  const file = openSync(path, 'r');
  try {
    const start = Buffer.alloc(4);
    readSync(file, start);
    return isElf(start);
  } finally {
    closeSync(file);
  }
}

/**
 * Checks an image for another processor than that of this machine, as far as that goes without
 * running it: prints a line for each check, and returns the number of failures.
 */
export function checkStill(engine: Engine, image: string, architecture: Architecture): number {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-still-'));
  const name = `zone-egress-still-${process.pid}`;
  try {
    const [about] = JSON.parse(ask(engine, ['inspect', '--type', 'image', image])) as [
      { readonly Architecture: string; readonly Size: number; readonly Config: { readonly User: string } },
    ];
    // A container that never starts: only its files are read.
    ask(engine, ['create', '--platform', `linux/${architecture}`, '--name', name, image]);
    const tar = join(dir, 'files.tar');
    ask(engine, ['export', '--output', tar, name]);
    const tree = join(dir, 'tree');
    execFileSync('sh', ['-c', 'mkdir "$2" && tar -C "$2" --no-same-owner --exclude "dev/*" -xf "$1"', 'sh', tar, tree]);
    const { faults, programs } = faultsOf(tree, architecture);
    const failures = [
      ...faults,
      ...(about.Architecture === architecture ? [] : [`its configuration says ${about.Architecture}`]),
      ...(about.Config.User === '5678:5678' ? [] : [`its user is ${about.Config.User}`]),
      ...(programs > 0 ? [] : ['it holds no program']),
    ];
    for (const fault of failures) console.log(`image ${image}: failed: ${fault}`);
    const size = `${Math.round(about.Size / 1e6)} MB`;
    if (failures.length === 0)
      console.log(
        `image ${image}: ${size}, ${programs} programs and libraries, all for ${architecture}, and an SBOM of the same: ok`,
      );
    console.log(`image ${image}: it is for another processor than this machine, so it was not run`);
    return failures.length;
  } finally {
    try {
      ask(engine, ['rm', '-f', name]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
}
