import type { Clock, Timer } from '../../base/clock.ts';
import { watchFolder } from '../../files/watch-folder.ts';
import type { FolderWatcher } from '../../files/watch-folder.ts';

/** How long until a folder is read again that could not be read whole. */
const RETRY_MS = 2_000;

/**
 * The watches of one source on its folder. The close ends all of them, and none begins afterwards.
 */
export function watchesOf(
  dir: string,
  clock: Clock | undefined,
): {
  /** `since`: the fingerprint of what was read already. */
  begin(changed: () => void, since: string | undefined): () => void;
  /** Something could not be read that can be later, with nothing changed: asks for another load. */
  retry(): void;
  close(): void;
} {
  const open = new Map<FolderWatcher, () => void>();
  let closed = false;
  let isIncomplete = false;
  let again: Timer | null = null;

  function plan(): void {
    if (clock === undefined || closed || !isIncomplete || open.size === 0) return;
    again ??= clock.after(RETRY_MS, () => {
      again = null;
      isIncomplete = false;
      for (const changed of open.values()) changed();
    });
  }

  return {
    begin(changed, since) {
      if (clock === undefined) throw new Error('a folder source needs a clock to watch');
      if (closed) return () => {};
      const watcher = watchFolder(dir, { clock, onChange: changed, ...(since === undefined ? {} : { since }) });
      open.set(watcher, changed);
      plan();
      return () => {
        open.delete(watcher);
        watcher.close();
      };
    },
    retry() {
      isIncomplete = true;
      plan();
    },
    close() {
      closed = true;
      again?.cancel();
      for (const watcher of open.keys()) watcher.close();
      open.clear();
    },
  };
}
