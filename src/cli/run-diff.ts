import { diffConfigurations } from '../explain/diff.ts';
import type { Side } from '../explain/diff.ts';
import { diffText } from '../explain/print-diff.ts';
import type { DiffCommand } from './commands/diff.ts';
import { loadFolder, untilStopped } from './load-folder.ts';
import type { FolderOptions } from './load-folder.ts';
import type { Terminal } from './terminal.ts';

const EXIT_DIFFERENT = 3;

/**
 * Exits with 0 where an egress serves the same from both, with 3 where not, with 78 where it could
 * not serve one of them.
 */
export function diffCommand({ before, after, output }: DiffCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const diff = diffConfigurations(await sideOf(before, terminal), await sideOf(after, terminal));
    terminal.out(output === 'json' ? `${JSON.stringify(diff, null, 2)}\n` : diffText(diff));
    return diff.isSame ? 0 : EXIT_DIFFERENT;
  });
}

async function sideOf(folder: FolderOptions, terminal: Terminal): Promise<Side> {
  const { snapshot, origins, absent = new Map() } = await loadFolder(folder, terminal);
  return { snapshot, sources: { origins, absent } };
}
