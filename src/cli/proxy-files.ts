import { readdir, stat } from 'node:fs/promises';
import { join, parse } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { errorCode } from '../base/error-code.ts';
import type { Problem } from '../base/problem.ts';
import type { ProxyRoster, RosterEntry } from '../control/sources/proxy-roster.ts';
import type { ControlPlaneOptions } from '../xds/bootstrap/control-plane-options.ts';
import { flagWarnings, loadControlPlane, thisMachine } from './control-plane.ts';
import type { Machine } from './control-plane.ts';
import type { ControlPlaneFlags } from './control-plane-flags.ts';
import { proxyTypeOf } from './proxy-type-of.ts';
import { renderTemplate } from './template.ts';

/** How often the files are looked at. A change counts when two looks in a row see the same. */
const LOOK_MS = 500;
const RESOURCE = /\.(?:ya?ml|json)$/i;

/** Tells whether the flags name several proxies: several files, or a folder. */
export async function namesSeveral({ resourceFiles: files }: ControlPlaneFlags): Promise<boolean> {
  const [first] = files;
  if (first === undefined || files.length > 1) return files.length > 1;
  return (await stat(first).catch(() => null))?.isDirectory() === true;
}

/**
 * Reads the proxies as which the process joins from files and folders of files. The token of
 * `NAME.yaml` is `NAME.token` beside it, where there is one; else `--dataplane-token-file` and
 * `--dataplane-token` count. A file that has an error keeps the proxy that it was before.
 */
export function proxyFiles(
  flags: ControlPlaneFlags,
  clock: Clock,
  { stateDir, machine = thisMachine }: { readonly stateDir?: string; readonly machine?: Machine } = {},
): ProxyRoster {
  return new ProxyFiles(flags, clock, { machine, kept: stateDir === undefined ? {} : { stateDir } });
}

interface Found {
  readonly file: string;
  readonly tokenFile: string | null;
  /** Differ after each change of one of the two files. */
  readonly mark: string;
  readonly tokenMark: string;
}

class ProxyFiles implements ProxyRoster {
  readonly about: string;
  readonly warnings: readonly string[];
  readonly #flags: ControlPlaneFlags;
  readonly #clock: Clock;
  readonly #machine: Machine;
  readonly #kept: Pick<ControlPlaneOptions, 'stateDir'>;
  /** The last good entry of each file. */
  #entries = new Map<string, RosterEntry>();
  #read = '';

  constructor(
    flags: ControlPlaneFlags,
    clock: Clock,
    { machine, kept }: { readonly machine: Machine; readonly kept: Pick<ControlPlaneOptions, 'stateDir'> },
  ) {
    this.#kept = kept;
    this.#flags = flags;
    this.#clock = clock;
    this.#machine = machine;
    this.warnings = flagWarnings(flags);
    this.about = `${new URL(flags.url).origin}, as the proxies in ${flags.resourceFiles.join(', ')}`;
  }

  async read(): ReturnType<ProxyRoster['read']> {
    const { files, problems: listed } = await this.#list();
    const problems: Problem[] = [...listed];
    const owners = new Map<string, string>();
    const entries: RosterEntry[] = [];
    const next = new Map<string, RosterEntry>();
    for (const found of files) {
      const read = await this.#entry(found);
      if ('why' in read) problems.push(...problemsIn(found.file, read.why));
      const entry = 'why' in read ? this.#entries.get(found.file) : read;
      if (entry === undefined) continue;
      const { mesh = '', name } = entry.controlPlane;
      const owner = owners.get(`${mesh} ${name}`);
      owners.set(`${mesh} ${name}`, owner ?? found.file);
      if (owner !== undefined) {
        problems.push(
          ...problemsIn(
            found.file,
            `is the same proxy as ${owner}, which joins alone: remove one of the files, or give it another name`,
          ),
        );
        continue;
      }
      next.set(found.file, entry);
      entries.push(entry);
    }
    this.#entries = next;
    this.#read = marksOf(files);
    return { entries, problems };
  }

  watch(changed: () => void): () => void {
    let before = this.#read;
    let isLooking = false;
    const look = async (): Promise<void> => {
      const now = marksOf((await this.#list()).files);
      if (now === before && now !== this.#read) changed();
      before = now;
    };
    const timer = this.#clock.every(LOOK_MS, () => {
      if (isLooking) return;
      isLooking = true;
      void look().finally(() => void (isLooking = false));
    });
    return () => timer.cancel();
  }

  async #list(): Promise<{ readonly files: readonly Found[]; readonly problems: readonly Problem[] }> {
    const { resourceFiles, tokenFiles } = this.#flags;
    const files: Found[] = [];
    const problems: Problem[] = [];
    for (const [i, path] of resourceFiles.entries()) {
      const given = tokenFiles[tokenFiles.length > 1 ? i : 0] ?? null;
      try {
        for (const file of await filesAt(path)) files.push(await found(file, given));
      } catch (error) {
        problems.push(...problemsIn(path, `could not be read: ${errorCode(error) || String(error)}`));
      }
    }
    return { files, problems };
  }

  async #entry({ file, tokenFile, tokenMark }: Found): Promise<RosterEntry | { readonly why: string }> {
    const flags = { ...this.#flags, resource: null, resourceFile: file };
    try {
      const text = renderTemplate(await this.#machine.readFile(file), flags.vars);
      const token = tokenFile === null ? {} : { token: null, tokenFile };
      const own = { ...flags, ...token, proxyType: proxyTypeOf(file, text) };
      if (own.token === null && own.tokenFile === null)
        throw new Error(`has no token: put it into ${ownTokenFile(file)}, or give --dataplane-token-file`);
      const controlPlane = await loadControlPlane(own, this.#machine);
      const warnings = controlPlane.warnings.filter((text) => !this.warnings.includes(text));
      return { controlPlane: { ...controlPlane, ...this.#kept, warnings }, tokenMark };
    } catch (error) {
      return { why: error instanceof Error ? error.message : String(error) };
    }
  }
}

async function filesAt(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => !name.startsWith('.') && RESOURCE.test(name));
  return names.sort().map((name) => join(path, name));
}

async function found(file: string, given: string | null): Promise<Found> {
  const beside = ownTokenFile(file);
  const [mark, besideMark] = [await markOf(file), await markOf(beside)];
  const tokenFile = besideMark !== '' ? beside : given;
  return { file, tokenFile, mark, tokenMark: `${tokenFile ?? ''} ${besideMark || (given === null ? '' : await markOf(given))}` };
}

function ownTokenFile(file: string): string {
  const { dir, name } = parse(file);
  return join(dir, `${name}.token`);
}

/** Empty where there is no such file. The change time shows a new mode and a kept write time. */
async function markOf(file: string): Promise<string> {
  const about = await stat(file, { bigint: true }).catch(() => null);
  return about === null ? '' : `${about.size} ${about.mtimeNs} ${about.ctimeNs} ${about.dev}:${about.ino}`;
}

function marksOf(files: readonly Found[]): string {
  return files.map(({ file, mark, tokenMark }) => `${file} ${mark} ${tokenMark}`).join('\n');
}

/** Makes a problem of each line of an error; a line may begin with its place in the file. */
function problemsIn(file: string, text: string): readonly Problem[] {
  return text.split('\n').map((line) => {
    const rest = line.startsWith(file) ? line.slice(file.length) : line;
    const [, row = '0', column = '0', message = rest.replace(/^: /, '')] = /^:(\d+):(\d+) (.*)$/.exec(rest) ?? [];
    return { severity: 'error', file, line: Number(row), column: Number(column), field: '', message, refuses: file };
  });
}
